"""Memory of a program: views through concatenation, in-place kernels, lifetimes, arenas per device."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from orpheus_core.plan.arena import ALIGNMENT, Arena, Buffer, plan_arena
from orpheus_core.plan.chains import find_chains
from orpheus_core.plan.lower import Program
from orpheus_core.plan.operands import Kind, Operand, Operation, Storage
from orpheus_core.types import Device, TensorType


def share_memory(program: Program, alignments: Mapping[Device, int]) -> None:
    """Give operands a parent where one buffer serves two: Concat inputs, Split outputs, in-place kernels.

    ``alignments``: where an array may begin on a device that asks for more than an element's own alignment.

    Also settles which operations their backend computes together: that needs memory apart.
    """
    pinned = {o.root()[0] for o in (*program.inputs, *program.outputs)}
    kept = []
    for operation in program.operations:
        if _concat_in_place(operation, pinned, alignments) or _split_in_place(operation, alignments):
            program.elided.append((operation.node, f"core:{operation.node.op}/offset"))
        else:
            kept.append(operation)
    program.operations[:] = kept
    find_chains(program)
    _in_place_kernels(program, pinned)


def plan_memory(
    program: Program, alignments: Mapping[Device, int], levels: Mapping[Operation, int]
) -> tuple[dict[Operand, int], dict[Device, Arena]]:
    """Offsets of every buffer that owns arena memory, aligned as its device asks, and one arena per device.

    What operations of one level use is in use throughout that level.
    """
    lifetimes = _lifetimes(program, levels)
    by_device: dict[Device, list[tuple[Operand, Buffer]]] = {}
    for owner, (first, last) in lifetimes.items():
        assert isinstance(owner.type, TensorType)
        device = owner.type.device
        buffer = Buffer(owner.nbytes, first, last, alignment=alignments.get(device, ALIGNMENT))
        by_device.setdefault(device, []).append((owner, buffer))
    offsets: dict[Operand, int] = {}
    arenas: dict[Device, Arena] = {}
    for device, owned in by_device.items():
        arenas[device] = plan_arena([b for _, b in owned])
        offsets.update({owner: buffer.offset for owner, buffer in owned})
    return offsets, arenas


def _lifetimes(program: Program, levels: Mapping[Operation, int]) -> dict[Operand, tuple[int, int]]:
    """First and last step at which each memory owner must hold its bytes; inputs from -1, outputs to the end."""
    spans: dict[Operand, tuple[int, int]] = {}

    def touch(operand: Operand, step: int) -> None:
        owner = operand.root()[0]
        if owner.storage is Storage.ARENA:
            first, last = spans.get(owner, (step, step))
            spans[owner] = (min(first, step), max(last, step))

    for operand in program.inputs:
        touch(operand, -1)
    extents = _extents(program.operations, levels)
    for operation in program.operations:
        # All operands of a chain are in use while it runs.
        chain = operation.chain.operations if operation.chain else (operation,)
        for operand in (
            *operation.reads,
            *operation.writes,
            *([operation.workspace] if operation.workspace else []),
        ):
            touch(operand, extents[chain[0]][0])
            touch(operand, extents[chain[-1]][1])
    for operand in program.outputs:
        touch(operand, len(program.operations))
    return spans


def _extents(
    operations: Sequence[Operation], levels: Mapping[Operation, int]
) -> dict[Operation, tuple[int, int]]:
    """The steps throughout which an operation keeps what it uses: its own, or those of its level.

    Levels of several operations keep theirs for one level more, since branches do not advance in step.
    """
    spans: dict[int, tuple[int, int]] = {}
    for step, operation in enumerate(operations):
        spans[levels[operation]] = (spans.get(levels[operation], (step, step))[0], step)
    found: dict[Operation, tuple[int, int]] = {}
    for operation in operations:
        first, last = spans[levels[operation]]
        if last > first and last + 1 < len(operations):
            last = spans[levels[operations[last + 1]]][1]
        found[operation] = (first, last)
    return found


def _begins_well(piece: Operand, offset: int, alignments: Mapping[Device, int]) -> bool:
    """Whether a piece of an aligned buffer may begin there: anywhere on the host, aligned on a device that asks."""
    assert isinstance(piece.type, TensorType)
    return offset % alignments.get(piece.type.device, 1) == 0


def _concat_in_place(operation: Operation, pinned: set[Operand], alignments: Mapping[Device, int]) -> bool:
    """Concat without a copy: each input is computed where it belongs in the output.

    Possible when what lies before the axis has size one, so that inputs are contiguous pieces of the output.
    """
    if operation.node.op != "Concat" or operation.node.domain or operation.kind is not Kind.KERNEL:
        return False
    (target,) = operation.outputs
    inputs = [o for o in operation.inputs if o is not None]
    if target is None or len(inputs) != len(set(inputs)) or not _is_leading(operation, target):
        return False
    if target.storage is not Storage.ARENA:
        return False
    offset = 0
    for operand in inputs:
        free = operand.storage is Storage.ARENA and operand.parent is None and operand not in pinned
        if not free or not _same_place(operand, target) or not _begins_well(operand, offset, alignments):
            return False
        offset += operand.nbytes
    offset = 0
    for operand in inputs:
        operand.parent, operand.offset = target, offset
        offset += operand.nbytes
    return offset == target.nbytes


def _split_in_place(operation: Operation, alignments: Mapping[Device, int]) -> bool:
    """Split without a copy: outputs are contiguous pieces of the input."""
    if operation.node.op != "Split" or operation.node.domain or operation.kind is not Kind.KERNEL:
        return False
    source = operation.inputs[0]
    pieces = operation.outputs
    if source is None or source.storage is not Storage.ARENA or any(p is None for p in pieces):
        return False
    if not _is_leading(operation, source):
        return False
    if any(p.storage is not Storage.ARENA or p.parent or not _same_place(p, source) for p in pieces if p):
        return False
    if sum(p.nbytes for p in pieces if p) != source.nbytes:
        return False
    offset = 0
    for piece in pieces:
        assert piece is not None
        if not _begins_well(piece, offset, alignments):
            return False
        offset += piece.nbytes
    offset = 0
    for piece in pieces:
        assert piece is not None
        piece.parent, piece.offset = source, offset
        offset += piece.nbytes
    return True


def _is_leading(operation: Operation, whole: Operand) -> bool:
    """Whether the axis that is cut is the outermost one of size above one, in memory."""
    type_ = whole.type
    if not isinstance(type_, TensorType) or type_.static_shape is None:
        return False
    axis = operation.node.attributes.get("axis", 0)
    assert isinstance(axis, int)
    shape = type_.static_shape
    axis = axis + len(shape) if axis < 0 else axis
    if type_.layout.name == "plain":
        return prod(shape[:axis]) == 1
    if type_.layout.block > 1:
        # In a blocked layout the channel axis stays outermost; every piece must fill whole blocks.
        pieces = operation.outputs if operation.node.op == "Split" else operation.inputs
        channels = [p.type.static_shape[1] for p in pieces if p and _has_shape(p)]  # type: ignore[union-attr,index]
        return axis == 1 and shape[0] == 1 and all(c % type_.layout.block == 0 for c in channels)
    return False


def _has_shape(operand: Operand) -> bool:
    return isinstance(operand.type, TensorType) and operand.type.static_shape is not None


def _same_place(a: Operand, b: Operand) -> bool:
    same = isinstance(a.type, TensorType) and isinstance(b.type, TensorType)
    return same and (a.type.layout, a.type.device, a.type.dtype) == (  # type: ignore[union-attr]
        b.type.layout, b.type.device, b.type.dtype)  # type: ignore[union-attr]  # fmt: skip


def _in_place_kernels(program: Program, pinned: set[Operand]) -> None:
    """Let an output take its input's buffer where the kernel allows it and nothing reads the input later."""
    last_use: dict[Operand, int] = {}
    for step, operation in enumerate(program.operations):
        for operand in operation.reads:
            last_use[operand.root()[0]] = step
    for operand in program.outputs:
        last_use[operand.root()[0]] = len(program.operations)
    inputs = {o.root()[0] for o in program.inputs}
    for step, operation in enumerate(program.operations):
        if operation.candidate is None:
            continue
        for out, source in operation.candidate.kernel.inplace:
            target = operation.outputs[out] if out < len(operation.outputs) else None
            reused = operation.inputs[source] if source < len(operation.inputs) else None
            if target is None or reused is None or target.parent is not None or target in pinned:
                continue
            owner, offset = reused.root()
            if operation.chain and any(
                o is not operation and owner in [p.root()[0] for p in (*o.reads, *o.writes)]
                for o in operation.chain.operations
            ):
                continue  # the other layers of the chain still read it
            others = [o.root()[0] for i, o in enumerate(operation.inputs) if o is not None and i != source]
            fits = (
                reused.storage is Storage.ARENA
                and target.storage is Storage.ARENA
                and _same_place(reused, target)
                and reused.nbytes == target.nbytes == owner.nbytes
                and offset == 0
                and owner not in inputs
                and owner not in others
                and last_use.get(owner) == step
            )
            if fits:
                target.parent, target.offset = owner, 0
                last_use[owner] = max(step, last_use.pop(target, step))
                break
