"""Constant, ConstantOfShape, Range, EyeLike, OneHot, Trilu: tensors made from a rule."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.types import Array, DType
from orpheus_numpy.tensor._axes import axis_of, scalar, shape_of, zero_of


def constant(
    *,
    value: Array | None = None,
    sparse_value: Any = None,
    value_float: float | None = None,
    value_floats: Sequence[float] | None = None,
    value_int: int | None = None,
    value_ints: Sequence[int] | None = None,
    value_string: str | None = None,
    value_strings: Sequence[str] | None = None,
) -> Array:
    """ONNX Constant: the tensor, sparse tensor (as a dense one), number, string or list given as attribute.

    ``sparse_value`` is an array, or a ``SparseTensorProto`` (indices linear or one row for each element). Raises
    ValueError when no attribute is given.
    """
    if value is not None:
        return value
    if sparse_value is not None:
        return sparse_value if isinstance(sparse_value, np.ndarray) else _dense(sparse_value)
    for given, dtype in (
        (value_float, np.float32),
        (value_floats, np.float32),
        (value_int, np.int64),
        (value_ints, np.int64),
        (value_string, object),
        (value_strings, object),
    ):
        if given is not None:
            return np.array(given, dtype)
    raise ValueError("Constant: has none of its value attributes")


def _dense(sparse: Any) -> Array:
    from onnx import numpy_helper

    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    result = np.full(tuple(sparse.dims), zero_of(values.dtype))
    index = np.unravel_index(indices, result.shape) if indices.ndim == 1 else tuple(indices.T)
    result[index] = values
    return result


def constant_of_shape(shape: Array, *, value: Array | None = None) -> Array:
    """ONNX ConstantOfShape: a tensor of ``shape`` filled with the one element of ``value`` (0.0, float32)."""
    fill = np.zeros((), np.float32) if value is None else value
    if fill.size != 1:
        raise ValueError(f"ConstantOfShape: value must hold one element, its shape is {fill.shape}")
    return np.full(shape_of(shape, "ConstantOfShape"), fill.reshape(()), fill.dtype)


def range_(start: Array, limit: Array, delta: Array, *, stash_type: int = 1) -> Array:
    """ONNX Range: ``start + i * delta`` below ``limit`` (above it, for a negative step); 1-D, the inputs' type.

    float16 and bfloat16 are computed in ``stash_type``. Raises ValueError for a step of 0 and for numbers that
    give no finite length.
    """
    dtype = start.dtype
    wide = dtype
    if dtype.itemsize == 2 and DType.from_numpy(dtype).is_float:
        wide = DType.from_onnx(stash_type).numpy
    first, last, step = (v.astype(wide).reshape(()) for v in (start, limit, delta))
    if step == 0:
        raise ValueError("Range: delta is 0")
    if wide.kind in "iu":
        count = max(-((int(first) - int(last)) // int(step)), 0)
    else:
        exact = (float(last) - float(first)) / float(step)
        if not math.isfinite(exact):
            raise ValueError(f"Range: from {first} to {last} by {step} has no finite length")
        count = max(math.ceil(exact), 0)
    return np.asarray(first + np.arange(count).astype(wide) * step).astype(dtype, copy=False)


def eye_like(data: Array, *, dtype: int | None = None, k: int = 0) -> Array:
    """ONNX EyeLike: ones on diagonal ``k`` of a zero matrix with the shape of ``data``."""
    if data.ndim != 2:
        raise ValueError(f"EyeLike: needs a matrix, has shape {data.shape}")
    rows, columns = data.shape
    result = np.zeros((rows, columns), data.dtype if dtype is None else DType.from_onnx(dtype).numpy)
    if -rows < k < columns:
        start, end = max(0, -k), min(rows, columns - k)
        result[np.arange(start, end), np.arange(start + k, end + k)] = 1
    return result


def one_hot(indices: Array, depth: Array, values: Array, *, axis: int = -1) -> Array:
    """ONNX OneHot: ``values[1]`` at each index on a new axis of size ``depth``, ``values[0]`` elsewhere.

    Indices of -depth to -1 count from the end; those further out give no hot element.
    """
    classes = int(scalar(depth, "OneHot", "depth"))
    if classes < 0 or values.size != 2:
        raise ValueError(f"OneHot: depth {classes} must not be negative, and values {values.shape} hold two")
    axis = axis_of(axis, indices.ndim + 1, "OneHot")
    places = np.expand_dims(np.asarray(indices).astype(np.int64), axis)
    places = np.where(places < 0, places + classes, places)
    line = [1] * places.ndim
    line[axis] = classes
    off, on = values.reshape(2, 1)
    return np.where(places == np.arange(classes).reshape(line), on, off)


def trilu(data: Array, k: Array | None = None, *, upper: int = 1) -> Array:
    """ONNX Trilu: the matrices ``(..., rows, columns)`` with zeros below (above) diagonal ``k``."""
    if data.ndim < 2:
        raise ValueError(f"Trilu: needs at least two dimensions, has shape {data.shape}")
    rows, columns = data.shape[-2:]
    diagonal = 0 if k is None else int(scalar(k, "Trilu", "k"))
    offset = np.arange(columns) - np.arange(rows)[:, None]
    kept = offset >= diagonal if upper else offset <= diagonal
    return np.where(kept, data, zero_of(data.dtype))
