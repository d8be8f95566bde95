"""How two types of one value relate: could both be true, and what do both say?"""

from __future__ import annotations

from collections.abc import Iterable

from orpheus_core.types import (
    UNKNOWN,
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    UnknownType,
    ValueType,
)


def merge(left: ValueType, right: ValueType) -> ValueType | None:
    """The most precise type that holds for both, or None when there is none."""
    if isinstance(left, UnknownType) or isinstance(right, UnknownType):
        return UNKNOWN
    if isinstance(left, TensorType) and isinstance(right, TensorType):
        if left.dtype is not right.dtype:
            return None
        if left.shape is None or right.shape is None or len(left.shape) != len(right.shape):
            return left.with_shape(None)
        return left.with_shape(tuple(a if a == b else None for a, b in zip(left.shape, right.shape)))
    for kind in (SequenceType, OptionalType):
        if isinstance(left, kind) and isinstance(right, kind):
            inner = merge(left.element, right.element)
            return None if inner is None else kind(inner)
    # A branch may give the element where the other gives an optional of it.
    if isinstance(left, OptionalType):
        inner = merge(left.element, right)
        return None if inner is None else OptionalType(inner)
    if isinstance(right, OptionalType):
        return merge(right, left)
    return left if left == right else None


def agree(left: ValueType, right: ValueType, *, dims: bool = True) -> bool:
    """Whether one value could have both types. ``dims=False`` compares element types and ranks only."""
    if isinstance(left, UnknownType) or isinstance(right, UnknownType):
        return True
    if isinstance(left, TensorType) and isinstance(right, TensorType):
        if left.dtype is not right.dtype:
            return False
        if left.shape is None or right.shape is None:
            return True
        if len(left.shape) != len(right.shape):
            return False
        pairs: Iterable[tuple[object, object]] = zip(left.shape, right.shape) if dims else ()
        return all(a == b for a, b in pairs if isinstance(a, int) and isinstance(b, int))
    for kind in (SequenceType, OptionalType):
        if isinstance(left, kind) and isinstance(right, kind):
            return agree(left.element, right.element, dims=dims)
    if isinstance(left, MapType) and isinstance(right, MapType):
        return left.key is right.key and agree(left.value, right.value, dims=dims)
    # A value that may be absent stands where its element is declared, and the other way round.
    if isinstance(left, OptionalType):
        return agree(left.element, right, dims=dims)
    if isinstance(right, OptionalType):
        return agree(left, right.element, dims=dims)
    return left == right
