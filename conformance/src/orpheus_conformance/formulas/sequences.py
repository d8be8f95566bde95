"""Sequences and optionals. Sources: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Case, Maybe
from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance


@formula("SequenceInsert", why="it takes the position modulo the length, so that it never inserts at the end")
def sequence_insert(instance: Instance) -> tuple[Any, ...]:
    """Before the position; the length itself means the end, as does no position."""
    items, tensor, *rest = instance.arrays
    result = list(items)
    result.insert(int(rest[0].reshape(-1)[0]) if rest else len(items), tensor)
    return (result,)


def _is_empty(case: Case) -> bool:
    return isinstance(case.inputs[0], Maybe) and case.inputs[0].held is None


@formula("Identity", when=_is_empty, why="it has no value for an optional that holds nothing")
def identity(instance: Instance) -> tuple[Any, ...]:
    """Nothing."""
    return (None,)


@formula("Optional", why="it makes lists of what an optional holds")
def optional(instance: Instance) -> tuple[Any, ...]:
    """The value, or nothing."""
    return (instance.arrays[0] if instance.arrays else None,)
