"""NonZero, Unique, TopK, ReverseSequence: what depends on the elements' values or order."""

from __future__ import annotations

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import axis_of, scalar


def non_zero(data: Array) -> Array:
    """ONNX NonZero: int64 indices of the non-zero elements, shape (rank, count), in row-major order."""
    if data.ndim == 0:
        return np.zeros((0, np.count_nonzero(data)), np.int64)
    return np.array(np.nonzero(data), np.int64)


def unique(data: Array, *, axis: int | None = None, sorted: int = 1) -> tuple[Array, Array, Array, Array]:
    """ONNX Unique: different elements (slices along ``axis``), with first index, inverse index and count, int64.

    In ascending order (slices lexicographically), or in order of first occurrence when ``sorted`` is 0. NaNs are
    equal to one another.
    """
    _, codes = np.unique(data.reshape(-1), return_inverse=True)
    codes = codes.reshape(data.shape)
    if axis is None:
        keys, chosen = codes.reshape(1, -1), 0
        data = data.reshape(-1)
    else:
        chosen = axis_of(axis, data.ndim, "Unique")
        moved = np.moveaxis(codes, chosen, 0)
        # A constant first column: lexsort needs at least one key, also for empty slices.
        keys = np.zeros((1 + moved[:1].size, len(moved)), np.int64)
        keys[1:] = moved.reshape(len(moved), moved[:1].size).T
    order = np.lexsort(keys[::-1])
    ranked = keys[:, order]
    fresh = np.ones(order.size, bool)
    fresh[1:] = (ranked[:, 1:] != ranked[:, :-1]).any(axis=0)
    first = order[fresh]
    inverse = np.empty(order.size, np.int64)
    inverse[order] = np.cumsum(fresh) - 1
    if not sorted:
        turn = np.argsort(first)
        inverse = np.argsort(turn)[inverse]
        first = first[turn]
    counts = np.bincount(inverse, minlength=first.size)
    return np.take(data, first, chosen), first.astype(np.int64), inverse, counts.astype(np.int64)


def top_k(data: Array, k: Array, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Array, Array]:
    """ONNX TopK: the ``k`` largest (smallest) elements along ``axis`` in order, and their indices, int64.

    Of equal elements the lower index comes first; NaN counts as the largest. Raises ValueError when ``k`` is
    negative or more than the axis has.
    """
    axis = axis_of(axis, data.ndim, "TopK")
    count, size = int(scalar(k, "TopK", "K")), data.shape[axis]
    if not 0 <= count <= size:
        raise ValueError(f"TopK: K is {count}, axis {axis} of shape {data.shape} has {size}")
    head = (*(slice(None),) * axis, slice(count))
    if largest:
        # A stable ascending sort of the reversed axis, read backwards, keeps equal elements in order.
        order = size - 1 - np.flip(np.argsort(np.flip(data, axis), axis, kind="stable"), axis)
    else:
        order = np.argsort(data, axis, kind="stable")
    order = order[head].astype(np.int64)
    return np.take_along_axis(data, order, axis), order


def reverse_sequence(data: Array, sequence_lens: Array, *, batch_axis: int = 1, time_axis: int = 0) -> Array:
    """ONNX ReverseSequence: the first ``sequence_lens[b]`` steps of sample b in reverse, the rest as they are."""
    if data.ndim < 2 or {batch_axis, time_axis} != {0, 1}:
        raise ValueError(
            f"ReverseSequence: batch and time must be axes 0 and 1 of {data.shape}, in either order"
        )
    batch_first = data if batch_axis == 0 else data.swapaxes(0, 1)
    batch, steps = batch_first.shape[:2]
    if sequence_lens.shape != (batch,) or np.any((sequence_lens < 0) | (sequence_lens > steps)):
        raise ValueError(
            f"ReverseSequence: needs {batch} lengths of 0 to {steps}, has {sequence_lens.tolist()}"
        )
    time, lengths = np.arange(steps), sequence_lens.astype(np.int64)[:, None]
    source = np.where(time < lengths, lengths - 1 - time, time)
    result = batch_first[np.arange(batch)[:, None], source]
    return result if batch_axis == 0 else result.swapaxes(0, 1)
