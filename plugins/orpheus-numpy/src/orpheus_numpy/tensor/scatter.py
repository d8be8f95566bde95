"""ScatterElements, ScatterND, TensorScatter: a copy of a tensor with elements replaced or combined."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import axis_of, numbers
from orpheus_numpy.tensor.gather import element_index, flat_places

_REDUCTIONS: dict[str, np.ufunc | None] = {
    "none": None,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


def _write(target: Array, index: Any, updates: Array, reduction: str, op: str) -> None:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"{op}: reduction {reduction!r} is not one of {', '.join(_REDUCTIONS)}")
    ufunc = _REDUCTIONS[reduction]
    if ufunc is None:
        target[index] = updates
    elif target.dtype == bool and ufunc is not np.maximum and ufunc is not np.minimum:
        raise ValueError(f"{op}: reduction {reduction!r} is not defined for booleans")
    else:
        ufunc.at(target, index, updates)


def scatter_elements(
    data: Array, indices: Array, updates: Array, *, axis: int = 0, reduction: str = "none"
) -> Array:
    """ONNX ScatterElements (and the older Scatter): ``updates`` written where GatherElements would read.

    ``reduction`` none (the last of several wins), add, mul, max or min. Raises ValueError for an index out of
    range or shapes that do not fit.
    """
    axis = axis_of(axis, data.ndim, "ScatterElements")
    if updates.shape != indices.shape:
        raise ValueError(
            f"ScatterElements: updates {updates.shape} and indices {indices.shape} differ in shape"
        )
    result = np.array(data, order="C")
    _write(
        result, element_index(data, indices, axis, "ScatterElements"), updates, reduction, "ScatterElements"
    )
    return result


def scatter_nd(data: Array, indices: Array, updates: Array, *, reduction: str = "none") -> Array:
    """ONNX ScatterND: slices of ``updates`` written where GatherND would read.

    ``updates`` has shape ``indices.shape[:-1] + data.shape[indices.shape[-1]:]``. Reductions and errors are those
    of ScatterElements.
    """
    places = flat_places(data.shape, indices, "ScatterND")
    inner = data.shape[indices.shape[-1] :]
    if updates.shape != (*places.shape, *inner):
        raise ValueError(f"ScatterND: updates have shape {updates.shape}, not {(*places.shape, *inner)}")
    result = np.array(data, order="C")
    rows = result.reshape(math.prod(data.shape[: indices.shape[-1]]), *inner)
    _write(rows, places, updates, reduction, "ScatterND")
    return result


def tensor_scatter(
    past: Array, update: Array, write_indices: Array | None = None, *, axis: int = -2, mode: str = "linear"
) -> Array:
    """ONNX TensorScatter: a cache with ``update`` written along ``axis`` from each sample's write index on.

    ``past`` (batch, ..., max_sequence_length, ...), ``update`` the same with a shorter sequence. In ``circular``
    mode positions wrap around; in ``linear`` mode one beyond the end raises ValueError.
    """
    axis = axis_of(axis, past.ndim, "TensorScatter")
    if axis == 0 or mode not in ("linear", "circular"):
        raise ValueError(
            f"TensorScatter: axis {axis} must not be the batch axis, mode {mode!r} linear or circular"
        )
    starts = [0] * past.shape[0] if write_indices is None else numbers(write_indices)
    length, capacity = update.shape[axis], past.shape[axis]
    expected = (*past.shape[:axis], length, *past.shape[axis + 1 :])
    if update.shape != expected or len(starts) != past.shape[0] or length > capacity:
        raise ValueError(
            f"TensorScatter: update {update.shape} with {len(starts)} write indices does not fit cache {past.shape}"
        )
    result = np.array(past, order="C")
    cache, source = np.moveaxis(result, axis, 1), np.moveaxis(update, axis, 1)
    for sample, start in enumerate(starts):
        if mode == "linear" and not 0 <= start <= capacity - length:
            raise ValueError(f"TensorScatter: {length} positions from {start} on do not fit in {capacity}")
        # Reduced first: a huge start must not overflow the sum.
        positions = (start % max(capacity, 1) + np.arange(length)) % max(capacity, 1)
        cache[sample, positions] = source[sample]
    return result
