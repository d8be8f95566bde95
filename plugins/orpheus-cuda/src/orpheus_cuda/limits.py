"""What rules cannot say: None, or why a kernel does not take a layer."""

from __future__ import annotations

from math import isnan

from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType

_MOST = 2**31 - 1


def small(problem: Problem) -> str | None:
    """Tensors whose elements 32 bits can count."""
    for type_ in (*problem.inputs, *problem.outputs):
        if isinstance(type_, TensorType) and (type_.size or 0) > _MOST:
            return f"needs at most {_MOST} elements, has {type_.size}"
    return None


def filled(problem: Problem) -> str | None:
    """Tensors with elements, not too many."""
    if any(isinstance(t, TensorType) and t.size == 0 for t in (*problem.inputs, *problem.outputs)):
        return "needs operands with elements, has an empty one"
    return small(problem)


def clip(problem: Problem) -> str | None:
    """Constant bounds that are numbers."""
    bounds = [float(problem.constants[i].reshape(())) for i in sorted(problem.constants) if i]
    return small(problem) or ("needs bounds that are numbers" if any(map(isnan, bounds)) else None)


def pair(problem: Problem) -> str | None:
    """Two operands, of an operator that takes any number of them."""
    count = len(problem.inputs)
    return small(problem) or (None if count == 2 else f"needs two operands, has {count}")  # noqa: PLR2004
