"""Levels: operations of one backend that do not wait for each other, for backends that run these at the same time."""

from __future__ import annotations

from itertools import groupby

from orpheus_core.plan.lower import Program
from orpheus_core.plan.operands import Operand, Operation


def sort_by_level(program: Program) -> dict[Operation, int]:
    """Reorder operations of concurrent backends by how many of their neighbours they wait for; the level of each.

    Levels count up through the program, so that those of one number are neighbours. An operation of another backend
    has one to itself. :func:`orpheus_core.plan.memory.plan_memory` keeps apart what one level uses. That is to leave
    room for overlap, not to make it safe: branches do not advance level by level, and kernels in place share memory.
    """
    levels: dict[Operation, int] = {}
    ordered: list[Operation] = []
    groups = groupby(enumerate(program.operations), key=lambda pair: _owner(*pair))
    for _, group in groups:
        members = [operation for _, operation in group]
        depth = _depths(members)
        first = len(ordered)
        for operation in sorted(members, key=depth.__getitem__):
            levels[operation] = first + depth[operation]
            ordered.append(operation)
    program.operations[:] = ordered
    return levels


def _owner(position: int, operation: Operation) -> object:
    """Who may run it at the same time as its neighbours; itself where nobody does."""
    candidate = operation.candidate
    concurrent = candidate is not None and candidate.backend.concurrent and operation.late is None
    return candidate.backend.name if candidate is not None and concurrent else position


def _depths(operations: list[Operation]) -> dict[Operation, int]:
    """Of each operation the longest way to it through the others, in operations."""
    found: dict[Operation, int] = {}
    written: dict[Operand, int] = {}
    for operation in operations:
        found[operation] = max((written.get(o.root()[0], 0) for o in operation.reads), default=0)
        written.update((o.root()[0], found[operation] + 1) for o in operation.writes)
    return found
