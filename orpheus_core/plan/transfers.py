"""Which operations bring inputs to devices and results back, so that what lies there already need not take the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from orpheus_core.plan.lower import Program
from orpheus_core.plan.operands import Kind, Operand, Operation
from orpheus_core.types import CPU, Device, TensorType


@dataclass(frozen=True)
class Uploads:
    """Moves of a whole input to devices; ``on_host``: something reads it on the host, too."""

    moves: tuple[Operation, ...]
    on_host: bool

    def only_to(self, device: Device) -> bool:
        """Whether nothing reads the input but on ``device``."""
        return not self.on_host and all(device_of(o.outputs[0]) == device for o in self.moves)


@dataclass(frozen=True)
class Download:
    """The move that brings a result from a device; ``on_host``: something reads it on the host afterwards."""

    move: Operation
    on_host: bool


@dataclass(frozen=True)
class Transfers:
    """Of graph inputs and outputs by operand, and operands in which a kernel writes over what it reads."""

    uploads: Mapping[Operand, Uploads]
    downloads: Mapping[Operand, Download]
    written: frozenset[Operand]

    def alone(self, source: Operand, device: Device) -> Operand | None:
        """The one operand on ``device`` that an input is brought to, whose memory may be the caller's; None else."""
        found = self.uploads.get(source)
        if found is None or len(found.moves) != 1 or not found.only_to(device):
            return None
        target = found.moves[0].outputs[0]
        assert target is not None
        return target if target.parent is None and target not in self.written else None

    def origin(self, target: Operand, device: Device) -> Operand | None:
        """The operand on ``device`` that a result is brought from, whose memory may be the caller's; None else."""
        found = self.downloads.get(target.root()[0])
        if found is None or found.on_host or not is_whole(target):
            return None
        source = found.move.inputs[0]
        assert source is not None
        return source if device_of(source) == device and is_whole(source) else None


def find_transfers(program: Program) -> Transfers:
    """The transfers of a program whose memory is settled."""
    moves: dict[Operand, list[Operation]] = {}
    on_host: set[Operand] = set()
    arrivals: dict[Operand, Operation] = {}
    written: set[Operand] = set()
    for operation in program.operations:
        if operation.kind is Kind.MOVE:
            (source,), (target,) = operation.inputs, operation.outputs
            assert source is not None and target is not None
            if device_of(source) != CPU and target.parent is None:
                arrivals[target] = operation
            elif device_of(source) == CPU and is_whole(source):
                moves.setdefault(source.root()[0], []).append(operation)
                continue
        else:
            written.update(o.root()[0] for o in operation.writes)
        on_host.update(o.root()[0] for o in operation.reads)
    shown = {o.root()[0] for o in program.outputs}
    return Transfers(
        {o: Uploads(tuple(moves.get(o, ())), o in on_host or o in shown) for o in program.inputs},
        {o: Download(arrivals[o], o in on_host or o in moves) for o in shown if o in arrivals},
        frozenset(written),
    )


def is_whole(operand: Operand) -> bool:
    """Whether it is all of the memory that it lies in."""
    owner, offset = operand.root()
    return offset == 0 and operand.nbytes == owner.nbytes


def device_of(operand: Operand | None) -> Device:
    """Where it lies."""
    type_ = None if operand is None else operand.type
    return type_.device if isinstance(type_, TensorType) else CPU
