"""What the tensor kernels share: checking axes and indices, and filling a given output."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

import numpy as np

from orpheus_core.types import Array

#: One entry per output: the array to fill, or None to allocate.
Outputs: TypeAlias = "Sequence[Array | None]"
#: The default of ``out``: allocate the only output.
NEW: tuple[None] = (None,)


def store(out: Outputs, value: Array) -> Array:
    """``value`` itself (possibly a view), or the first output's array after copying ``value`` into it."""
    target = out[0]
    if target is None:
        return value
    np.copyto(target, value)
    return target


def axis_of(axis: Any, rank: int, op: str) -> int:
    """``axis`` counted from the front; ValueError outside ``[-rank, rank - 1]``."""
    axis = operator.index(axis)
    if not -rank <= axis < rank:
        raise ValueError(f"{op}: axis {axis} is outside [-{rank}, {rank - 1}]")
    return int(axis % rank)


def axes_of(axes: Iterable[Any], rank: int, op: str) -> tuple[int, ...]:
    """Several axes counted from the front; ValueError for one out of range or repeated."""
    found = tuple(axis_of(axis, rank, op) for axis in axes)
    if len(set(found)) != len(found):
        raise ValueError(f"{op}: axes {found} repeat an axis")
    return found


def indices_of(indices: Array, size: int, op: str) -> Array:
    """Indices counted from the front, int64; ValueError for one outside ``[-size, size - 1]``."""
    indices = np.asarray(indices).astype(np.int64, copy=False)
    if indices.size == 0:
        return indices
    low, high = int(indices.min()), int(indices.max())
    if low < -size or high >= size:
        worst = low if low < -size else high
        raise ValueError(f"{op}: index {worst} is outside [-{size}, {size - 1}]")
    return indices if low >= 0 else np.where(indices < 0, indices + size, indices)


def numbers(values: Array) -> list[int]:
    """The elements of an integer tensor of any shape as Python integers."""
    return [int(v) for v in np.asarray(values).reshape(-1)]


def shape_of(values: Array, op: str) -> tuple[int, ...]:
    """A shape given as a tensor; ValueError for a negative dimension."""
    shape = tuple(numbers(values))
    if any(d < 0 for d in shape):
        raise ValueError(f"{op}: shape {shape} has a negative dimension")
    return shape


def scalar(value: Array, op: str, name: str) -> Any:
    """The only element of a tensor as a Python value; ValueError when it has none or several."""
    value = np.asarray(value)
    if value.size != 1:
        raise ValueError(f"{op}: {name} must hold one element, its shape is {value.shape}")
    return value.reshape(()).item()


def zero_of(dtype: np.dtype[Any]) -> Array:
    """A zero of any ONNX element type, shape []: the empty string for strings."""
    return np.array("", dtype=object) if dtype.kind == "O" else np.zeros((), dtype)
