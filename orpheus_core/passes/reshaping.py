"""Facts about Reshape: what a constant target makes of a shape, and which constant target gives a shape."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.ops import make_node
from orpheus_core.passes.match import is_known_same, is_op
from orpheus_core.passes.rewriting import Context
from orpheus_core.types import Dim

#: Operators that keep the elements and their order.
RESHAPING = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def is_reshaping(node: Node | None) -> bool:
    """Whether the node keeps the elements of its first input and their order."""
    return is_op(node, *RESHAPING)


def target_for(result: Sequence[Dim] | None, source: Sequence[Dim] | None) -> tuple[int, ...] | None:
    """A constant Reshape target (0 copies a dimension, -1 is inferred) from ``source`` to ``result``.

    None when no constant says it: two dimensions that are neither numbers nor copied from the same place. A
    dimension that is copied beside an inferred one must not be 0 at run time, which ONNX forbids anyway.
    """
    if result is None:
        return None
    unknown = [i for i, d in enumerate(result) if not isinstance(d, int)]
    if not unknown:
        return tuple(d for d in result if isinstance(d, int))
    if any(d == 0 for d in result):
        return None
    source = () if source is None else source
    copied: set[int] = set()
    if len(unknown) > 1:
        copied = {i for i in unknown if i < len(source) and is_known_same(result[i], source[i])}
        if len(unknown) - len(copied) > 1:
            return None
    return tuple(d if isinstance(d, int) else 0 if i in copied else -1 for i, d in enumerate(result))


def shape_after(
    source: Sequence[Dim] | None, target: Sequence[Dim], allowzero: bool = False
) -> tuple[Dim, ...]:
    """The shape that a Reshape to a target gives, as far as both are known."""
    shape: list[Dim] = []
    for i, d in enumerate(target):
        if d == 0 and not allowzero:
            shape.append(source[i] if source is not None and i < len(source) else None)
        else:
            shape.append(None if d == -1 else d)
    if -1 in target and source is not None:
        index = list(target).index(-1)
        shape[index] = _remaining(source, [d for i, d in enumerate(shape) if i != index])
    return tuple(shape)


def _remaining(source: Sequence[Dim], known: Sequence[Dim]) -> Dim:
    """The one dimension that makes ``known`` as many elements as ``source``; symbols of both sides cancel."""
    above, below = list(source), list(known)
    for d in known:
        if not isinstance(d, int) and d is not None and d in above:
            above.remove(d)
            below.remove(d)
    numbers = [d for d in above if isinstance(d, int)]
    rest = [d for d in above if not isinstance(d, int)]
    divisors = [d for d in below if isinstance(d, int)]
    if len(divisors) != len(below):
        return None
    over, under = math.prod(numbers), math.prod(divisors)
    if under == 0 or over % under:
        return None
    if not rest:
        return over // under
    return rest[0] if len(rest) == 1 and over == under else None


def make_reshape(context: Context, x: Value, target: tuple[int, ...], result: Value, name: str) -> Node:
    """A Reshape of ``x`` to a constant target that defines ``result``."""
    shape = context.new_constant(f"{result.name}_shape", np.array(target, dtype=np.int64))
    # A 0 without any -1 is the number 0 when the whole target is numbers.
    literal = 0 in target and -1 not in target and result_is_empty(result)
    return make_node("Reshape", [x, shape], [result], {"allowzero": int(literal)}, name=name)


def result_is_empty(value: Value) -> bool:
    """Whether the value certainly has no elements."""
    return getattr(value.type, "size", None) == 0
