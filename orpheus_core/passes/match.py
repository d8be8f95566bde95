"""Questions that rules ask about nodes and values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.types import Array, Dim, DType, TensorType


def is_op(node: Node | None, *ops: str) -> bool:
    """Whether the node is one of these operators of the default ONNX domain."""
    return node is not None and node.op in ops and not node.domain


def const_of(value: Value | None) -> Array | None:
    """The array of a constant, else None."""
    return None if value is None else value.const


def dtype_of(value: Value | None) -> DType | None:
    """The element type, or None when it is unknown or the value is no tensor."""
    return value.type.dtype if value is not None and isinstance(value.type, TensorType) else None


def shape_of(value: Value | None) -> tuple[Dim, ...] | None:
    """The shape, symbols and unknown dimensions included, or None when even the rank is unknown."""
    return value.type.shape if value is not None and isinstance(value.type, TensorType) else None


def static_shape_of(value: Value | None) -> tuple[int, ...] | None:
    """The shape when every dimension is a number, else None."""
    return value.type.static_shape if value is not None and isinstance(value.type, TensorType) else None


def rank_of(value: Value | None) -> int | None:
    """The number of dimensions, or None when it is unknown."""
    shape = shape_of(value)
    return None if shape is None else len(shape)


def is_known_same(a: Dim, b: Dim) -> bool:
    """Whether two dimensions are certainly equal: the same number or the same symbol."""
    return a is not None and a == b


def are_known_same(a: Sequence[Dim] | None, b: Sequence[Dim] | None) -> bool:
    """Whether two shapes are certainly equal."""
    return a is not None and b is not None and len(a) == len(b) and all(map(is_known_same, a, b))


def uniform_of(value: Value | None) -> Any:
    """The number that every element of a constant equals (NaN excluded), else None."""
    array = const_of(value)
    if array is None or array.size == 0 or array.dtype == object:
        return None
    first = array.reshape(-1)[0]
    return first.item() if array.size == 1 or bool((array == first).all()) else None


def ints_of(node: Node, index: int | None, attribute: str | None) -> tuple[int, ...] | None:
    """A list of integers that older opsets give as an attribute and newer ones as input ``index``.

    None when it was omitted or is computed at run time; see :func:`is_given` to tell these apart.
    """
    if attribute is not None and attribute in node.attributes:
        given: Any = node.attributes[attribute]
        return (given,) if isinstance(given, int) else tuple(given)
    array = const_of(node.input(index)) if index is not None else None
    return None if array is None else tuple(int(i) for i in np.asarray(array).reshape(-1))


def is_given(node: Node, index: int | None, attribute: str | None) -> bool:
    """Whether the attribute or the input that :func:`ints_of` reads is there at all."""
    return attribute in node.attributes or (index is not None and node.input(index) is not None)
