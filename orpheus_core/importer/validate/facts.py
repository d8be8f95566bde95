"""Questions that validators ask of a node. Unknown facts never lead to a refusal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orpheus_core.graph import Node
from orpheus_core.importer.reading import settled
from orpheus_core.types import Array, Dim, DType, TensorType

#: Sizes of windows, strides and blocks beyond this are an attack or damage, not a layer.
LARGEST_STEP = 2**31 - 1


def shape(node: Node, index: int) -> tuple[Dim, ...] | None:
    """The shape of an input, or None when it is absent or unknown."""
    value = node.input(index)
    return value.type.shape if value is not None and isinstance(value.type, TensorType) else None


def rank(node: Node, index: int) -> int | None:
    """The rank of an input, or None."""
    found = shape(node, index)
    return None if found is None else len(found)


def dtype(node: Node, index: int) -> DType | None:
    """The element type of an input, or None."""
    value = node.input(index)
    return value.type.dtype if value is not None and isinstance(value.type, TensorType) else None


def const(node: Node, index: int) -> Array | None:
    """The array of a constant input, or None."""
    value = node.input(index)
    return None if value is None or value.const is None else settled(value.const)


def attribute(node: Node, name: str, default: Any = None) -> Any:
    """An attribute's value."""
    return node.attributes.get(name, default)


def differ(left: Dim, right: Dim) -> bool:
    """Whether two dimensions are both numbers and not the same."""
    return isinstance(left, int) and isinstance(right, int) and left != right


def differ_anywhere(left: Sequence[Dim] | None, right: Sequence[Dim] | None) -> bool:
    """Whether two shapes, if known, cannot be the same."""
    if left is None or right is None:
        return False
    return len(left) != len(right) or any(differ(a, b) for a, b in zip(left, right))


def bad_axis(axis: int, dims: int | None) -> bool:
    """Whether an axis lies outside a known rank."""
    return dims is not None and not -dims <= axis < dims


def bad_axes(axes: Sequence[int], dims: int | None) -> bool:
    """Whether an axis lies outside a known rank or is named twice."""
    if dims is None:
        return len(set(axes)) != len(axes)
    return any(bad_axis(a, dims) for a in axes) or len({a % dims for a in axes}) != len(axes)
