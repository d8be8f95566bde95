"""Concat, Split, Slice, Expand, Tile: whole blocks of elements joined, cut and repeated."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from orpheus_core.geometry.slices import slice_of
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import NEW, Outputs, axes_of, axis_of, numbers, shape_of, store


def concat(*inputs: Array, axis: int, out: Outputs = NEW) -> Array:
    """ONNX Concat: tensors of equal shape except on ``axis``, one after the other."""
    axis = axis_of(axis, inputs[0].ndim, "Concat")
    return np.concatenate(inputs, axis, out=out[0])


def split(
    data: Array,
    split: Array | None = None,
    *,
    problem: Problem,
    axis: int = 0,
    num_outputs: int | None = None,
    out: Outputs | None = None,
) -> tuple[Array, ...]:
    """ONNX Split: parts of the given lengths, or ``num_outputs`` equal parts of which the last may be shorter.

    Without either, as many parts as the node has outputs. Raises ValueError when the lengths do not add up.
    """
    axis = axis_of(axis, data.ndim, "Split")
    length = data.shape[axis]
    if split is not None:
        parts = numbers(split)
    else:
        count = num_outputs or len(problem.outputs)
        part = -(-length // count)
        parts = [max(0, min(part, length - i * part)) for i in range(count)]
    if sum(parts) != length or min(parts, default=0) < 0:
        raise ValueError(f"Split: lengths {parts} do not add up to {length}, the size of axis {axis}")
    ends = np.cumsum([0, *parts])
    before = (slice(None),) * axis
    views = tuple(data[(*before, slice(a, b))] for a, b in pairwise(ends))
    if out is None:
        return views
    return tuple(store((target,), view) for target, view in zip(out, views))


def slice_(
    data: Array,
    starts: Array,
    ends: Array,
    axes: Array | None = None,
    steps: Array | None = None,
    *,
    out: Outputs = NEW,
) -> Array:
    """ONNX Slice: ``data[start:end:step]`` on each of ``axes``, bounds clamped to the axis; a view.

    Raises ValueError for a step of 0, a repeated axis, or lists of different lengths.
    """
    first, last = numbers(starts), numbers(ends)
    chosen = axes_of(range(len(first)) if axes is None else numbers(axes), data.ndim, "Slice")
    strides = [1] * len(first) if steps is None else numbers(steps)
    if not len(first) == len(last) == len(chosen) == len(strides):
        raise ValueError(
            f"Slice: {len(first)} starts, {len(last)} ends, {len(chosen)} axes, {len(strides)} steps"
        )
    index: list[Any] = [slice(None)] * data.ndim
    for axis, start, end, step in zip(chosen, first, last, strides):
        index[axis] = slice_of(start, end, step, data.shape[axis])
    # The Ellipsis keeps a tensor of rank 0 an array.
    return store(out, data[(*index, ...)])


def expand(data: Array, shape: Array, *, out: Outputs = NEW) -> Array:
    """ONNX Expand: ``data`` broadcast, in both directions, with ``shape``; a read-only view."""
    wanted = np.broadcast_shapes(data.shape, shape_of(shape, "Expand"))
    return store(out, np.broadcast_to(data, wanted))


def tile(data: Array, repeats: Array, *, out: Outputs = NEW) -> Array:
    """ONNX Tile: ``data`` repeated ``repeats[i]`` times along axis i."""
    times = shape_of(repeats, "Tile")
    if len(times) != data.ndim:
        raise ValueError(f"Tile: {len(times)} repeats for a tensor of rank {data.ndim}")
    target = out[0]
    if target is None:
        target = np.empty(tuple(d * n for d, n in zip(data.shape, times)), data.dtype)
    if not target.flags.c_contiguous:
        return store(out, np.tile(data, times))
    # Each axis as (repeat, position), so that one broadcast copy fills the whole output.
    spread = tuple(d for pair in zip(times, data.shape) for d in pair)
    thin = tuple(d for size in data.shape for d in (1, size))
    np.copyto(target.reshape(spread), data.reshape(thin))
    return target
