"""Runs of operations that their backend computes together, so that what lies between them stays in the cache."""

from __future__ import annotations

from collections import Counter
from weakref import ref

from orpheus_core.errors import KernelError
from orpheus_core.plan.lower import Program
from orpheus_core.plan.operands import Chain, Operand, Operation, Storage
from orpheus_core.plugin import Joined, resolve


def find_chains(program: Program) -> None:
    """Offer every backend its private runs, and note on each operation the chain that it was put into.

    Raises KernelError when a backend's answer is not a list of runs of what it was offered.
    """
    uses = Counter(o.root()[0] for operation in program.operations for o in operation.reads)
    uses.update(o.root()[0] for o in (*program.outputs, *program.inputs))
    uses.update(
        o.parent for operation in program.operations for o in operation.writes if o.parent is not None
    )
    run: list[Operation] = []
    for operation in program.operations:
        if not (run and _follows(run[-1], operation, uses)):
            _offer(run)
            run = []
        run.append(operation)
    _offer(run)


def _follows(before: Operation, after: Operation, uses: Counter[Operand]) -> bool:
    """Whether ``after`` alone reads what ``before`` writes, as its first input, for a backend that joins."""
    if not (_joins(before) and _joins(after)) or _backend(before) != _backend(after):
        return False
    between = before.outputs[0]
    return (
        between is not None
        and between.storage is Storage.ARENA
        and between.parent is None
        and after.inputs[:1] == (between,)
        and uses[between] == 1
    )


def _joins(operation: Operation) -> bool:
    return operation.prepared is not None and operation.late is None and _backend(operation)[1] is not None


def _backend(operation: Operation) -> tuple[str, str | None]:
    candidate = operation.candidate
    return ("", None) if candidate is None else (candidate.backend.name, candidate.backend.chain)


def _offer(run: list[Operation]) -> None:
    if len(run) < 2:
        return
    name, reference = _backend(run[0])
    try:
        found: list[Joined] = list(resolve(reference or "")([o.prepared for o in run]))
    except Exception as error:
        raise KernelError(f"backend {name}: chain {reference}: {type(error).__name__}: {error}") from error
    end = 0
    for joined in found:
        if not isinstance(joined, Joined):
            raise KernelError(f"backend {name}: chain {reference} gives {joined!r}, which is not a Joined")
        if not end <= joined.first < joined.last - 1 < len(run):
            raise KernelError(
                f"backend {name}: chain {reference} joins layers {joined.first} to {joined.last} of {len(run)};"
                " runs must hold two layers or more, in order, each layer once"
            )
        end = joined.last
        members = tuple(run[joined.first : joined.last])
        chain = Chain(tuple(map(ref, members)), joined.join)
        for operation in members:
            others = ", ".join(_name(o) for o in members if o is not operation)
            operation.chain = chain
            operation.why = "; ".join(filter(None, (operation.why, f"{joined.note}, together with {others}")))


def _name(operation: Operation) -> str:
    return operation.node.name or next((v.name for v in operation.node.results), "")
