"""A plan: everything about one graph at one set of shapes that does not change between runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from orpheus_core import beside, memory
from orpheus_core.errors import KernelError, LimitError
from orpheus_core.graph import Graph
from orpheus_core.plan.arena import Arena
from orpheus_core.plan.context import place
from orpheus_core.plan.late import LateDispatch
from orpheus_core.plan.levels import sort_by_level
from orpheus_core.plan.lower import Program, lower
from orpheus_core.plan.memory import plan_memory, share_memory
from orpheus_core.plan.operands import Operand, Operation, Storage
from orpheus_core.plan.subgraph import Runs
from orpheus_core.plan.transfers import Transfers, find_transfers
from orpheus_core.plugin import Runtime
from orpheus_core.selection.decision import Selection
from orpheus_core.selection.invoke import HOST, alignment_of, load, prepare, runtime_of
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.types import CPU, Device, DType, TensorType

#: Compiles a subgraph: graph to Executable.
Compile = Callable[[Graph], Runs]


@dataclass(eq=False)
class Plan:
    """A lowered program with memory planned and kernels prepared; contexts are made from it.

    ``lock_needed`` tells that a prepared kernel does not allow overlapping calls. ``packed_bytes`` are those of the
    constants that kernels hold packed.
    """

    graph: Graph
    selection: Selection
    program: Program
    offsets: dict[Operand, int]
    arenas: dict[Device, Arena]
    runtimes: Mapping[Device, Runtime]
    executables: dict[Operation, dict[str, tuple[Runs, tuple[Operand, ...]]]]
    operands: list[Operand] = field(default_factory=list)
    index: dict[Operand, int] = field(default_factory=dict)
    lock_needed: bool = False
    packed_bytes: int = 0
    _constants: dict[Operand, Any] = field(default_factory=dict)

    def constant(self, operand: Operand) -> Any:
        """A constant on its device, uploaded once."""
        if operand not in self._constants:
            array = operand.array
            assert array is not None and isinstance(operand.type, TensorType)
            device = operand.type.device
            if device == CPU:
                self._constants[operand] = _frozen(array)
            else:
                runtime = self.runtimes[device]
                target = runtime.empty(array.shape, array.dtype)
                runtime.upload(np.ascontiguousarray(array), target)
                runtime.synchronize()  # contexts read it in streams of their own
                self._constants[operand] = target
        return self._constants[operand]

    @cached_property
    def transfers(self) -> Transfers:
        """How inputs come to devices and results from them."""
        return find_transfers(self.program)

    @cached_property
    def packed(self) -> frozenset[Operand]:
        """Constants that no step is bound to, since every kernel that reads them holds its own packed copy."""
        bound: set[Operand] = {*self.program.outputs}
        for operation in self.program.operations:
            packed = frozenset(getattr(operation.prepared, "packed", ()))
            bound.update(o for i, o in enumerate(operation.inputs) if o is not None and i not in packed)
            bound.update(operation.captures)
        return frozenset(o for o in self.operands if o.storage is Storage.CONSTANT) - bound

    @property
    def arena_bytes(self) -> int:
        """Bytes of every device's block, for one context."""
        return sum(a.nbytes for a in self.arenas.values())

    @property
    def arena_lower_bound(self) -> int:
        """The largest sums of bytes alive at once: no plan needs less."""
        return sum(a.lower_bound for a in self.arenas.values())

    @property
    def weight_bytes(self) -> int:
        """Bytes of all constants as steps read them, packed ones included; not of those of subgraphs."""
        bound = (o for o in self.operands if o not in self.packed)
        return self.packed_bytes + sum(o.array.nbytes for o in bound if o.array is not None)


@beside.joined()
def make_plan(graph: Graph, selection: Selection, options: SelectionOptions, compile_graph: Compile) -> Plan:
    """Lower, share and place memory, and prepare every kernel.

    Raises KernelError when a kernel's code cannot be loaded or its preparation fails, LimitError when the arena would
    exceed the machine's memory.
    """
    program = lower(graph, selection, options)
    packed_bytes = 0
    with memory.pooled() as taken:
        for operation in program.operations:
            before = taken()
            _prepare(operation, options)
            packed_bytes += taken() - before or _packed_bytes(operation)
    runtimes: dict[Device, Runtime] = {CPU: HOST}
    for backend in options.backends:
        if backend.device not in runtimes:
            runtimes[backend.device] = runtime_of(backend)
    alignments = {d: alignment_of(r) for d, r in runtimes.items() if hasattr(r, "alignment")}
    levels = sort_by_level(program)
    share_memory(program, alignments)
    offsets, arenas = plan_memory(program, alignments, levels)
    _check_size(arenas)
    operands = _used(program)
    plan = Plan(
        graph,
        selection,
        program,
        offsets,
        arenas,
        runtimes,
        executables=_compile_subgraphs(program, compile_graph),
        operands=operands,
        index={o: i for i, o in enumerate(operands)},
        lock_needed=any(
            o.candidate is not None and o.candidate.kernel.prepare and not o.candidate.kernel.overlap
            for o in program.operations
        ),
        packed_bytes=packed_bytes,
    )
    _release_slots(plan)
    return plan


def _prepare(operation: Operation, options: SelectionOptions) -> None:
    candidate, problem = operation.candidate, operation.problem
    if candidate is None or problem is None:
        return
    try:
        if candidate.kernel.prepare is None:
            load(candidate)
            return
        if candidate.late:
            operation.late = LateDispatch(operation.node, candidate, options)
            return
        operation.prepared = prepare(candidate, problem)
    except KernelError as error:
        raise KernelError(f"{place(operation)}: {error}") from error
    nbytes = int(getattr(operation.prepared, "workspace", 0))
    if nbytes:
        type_ = TensorType(DType.UINT8, (nbytes,), device=candidate.backend.device)
        operation.workspace = Operand(f"{operation.node.name}.workspace", type_, Storage.ARENA)


def _packed_bytes(operation: Operation) -> int:
    """Bytes of the constants that a kernel packed elsewhere, a device's above all: those that they have unpacked."""
    packed = getattr(operation.prepared, "packed", ())
    given = (o for i, o in enumerate(operation.inputs) if o is not None and i in packed)
    return sum(o.array.nbytes for o in given if o.array is not None)


def _used(program: Program) -> list[Operand]:
    """Operands that a step, an input or an output refers to, no repeats."""
    found = dict.fromkeys((*program.inputs, *program.outputs))
    for operation in program.operations:
        found.update(dict.fromkeys((*operation.reads, *operation.writes)))
        if operation.workspace is not None:
            found[operation.workspace] = None
    return list(found)


def _compile_subgraphs(
    program: Program, compile_graph: Compile
) -> dict[Operation, dict[str, tuple[Runs, tuple[Operand, ...]]]]:
    table: dict[Operation, dict[str, tuple[Runs, tuple[Operand, ...]]]] = {}
    for operation in program.operations:
        captured = iter(operation.captures)
        for name, graph in operation.node.attributes.items():
            if isinstance(graph, Graph):
                own = tuple(next(captured) for _ in graph.captures)
                table.setdefault(operation, {})[name] = (compile_graph(graph), own)
    return table


def _release_slots(plan: Plan) -> None:
    """Tell each operation which run-made objects nobody reads after it, so that they are freed early."""
    keep = set(plan.program.outputs)
    last: dict[Operand, Operation] = {}
    for operation in plan.program.operations:
        for operand in (*operation.reads, *operation.writes):
            if operand.storage is Storage.SLOT and operand not in keep:
                last[operand] = operation
    for operand, operation in last.items():
        operation.dead_slots.append(plan.index[operand])


def _check_size(arenas: Mapping[Device, Arena]) -> None:
    arena = arenas.get(CPU)
    if arena is None or not hasattr(os, "sysconf"):
        return
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if arena.nbytes > memory:
        raise LimitError(
            f"the model needs {arena.nbytes / 2**20:.0f} MiB for intermediate tensors at these shapes; this machine"
            f" has {memory / 2**20:.0f} MiB in all. Run it at smaller shapes."
        )


def _frozen(array: Any) -> Any:
    """A contiguous view that a kernel cannot write to."""
    view = np.ascontiguousarray(array) if array.ndim else array
    view = view.view() if view is array else view
    view.flags.writeable = False
    return view
