"""Gather, GatherElements, GatherND, Compress: elements chosen by index or condition."""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import NEW, Outputs, axis_of, indices_of


def gather(data: Array, indices: Array, *, axis: int = 0, out: Outputs = NEW) -> Array:
    """ONNX Gather: slices of ``data`` along ``axis``; the shape of ``indices`` replaces that axis.

    Raises ValueError for an index outside the axis.
    """
    axis = axis_of(axis, data.ndim, "Gather")
    chosen = indices_of(indices, data.shape[axis], "Gather")
    # The indices are in range: "clip" only spares numpy's buffering of ``out``.
    return np.asarray(np.take(data, chosen, axis, out=out[0], mode="clip"), data.dtype)


def gather_elements(data: Array, indices: Array, *, axis: int = 0) -> Array:
    """ONNX GatherElements: element i, j, ... is that of ``data`` at the same place, except ``indices`` on ``axis``.

    Raises ValueError for an index outside the axis.
    """
    axis = axis_of(axis, data.ndim, "GatherElements")
    return data[element_index(data, indices, axis, "GatherElements")]


def element_index(data: Array, indices: Array, axis: int, op: str) -> tuple[Array, ...]:
    """The numpy index of what GatherElements reads and ScatterElements writes; its shape is that of ``indices``."""
    fits = indices.ndim == data.ndim and all(
        n <= d for i, (n, d) in enumerate(zip(indices.shape, data.shape)) if i != axis
    )
    if not fits:
        raise ValueError(f"{op}: indices of shape {indices.shape} do not fit in data of shape {data.shape}")
    places: list[Array] = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    places[axis] = indices_of(indices, data.shape[axis], op)
    return tuple(places)


def gather_nd(data: Array, indices: Array, *, batch_dims: int = 0) -> Array:
    """ONNX GatherND: the last axis of ``indices`` addresses slices of ``data`` behind ``batch_dims`` shared axes.

    Output shape: ``indices.shape[:-1] + data.shape[batch_dims + indices.shape[-1]:]``. Raises ValueError for an
    index out of range or batch axes that differ.
    """
    batch = data.shape[:batch_dims]
    if not 0 <= batch_dims < min(data.ndim, indices.ndim) or indices.shape[:batch_dims] != batch:
        raise ValueError(
            f"GatherND: data {data.shape} and indices {indices.shape} do not share {batch_dims} batch axes"
        )
    places = flat_places(data.shape[batch_dims:], indices, "GatherND")
    ends = batch_dims + indices.shape[-1]
    inner, count = data.shape[ends:], math.prod(batch)
    rows = data.reshape(count, math.prod(data.shape[batch_dims:ends]), *inner)
    picked = rows[np.arange(count)[:, None], places.reshape(count, math.prod(places.shape[batch_dims:]))]
    return picked.reshape((*indices.shape[:-1], *inner))


def flat_places(shape: tuple[int, ...], indices: Array, op: str) -> Array:
    """Index tuples on the last axis of ``indices`` as positions in the flattened leading axes of ``shape``."""
    depth = indices.shape[-1] if indices.ndim else -1
    if not 0 <= depth <= len(shape):
        raise ValueError(f"{op}: indices of shape {indices.shape} do not address a tensor of shape {shape}")
    places = np.zeros(indices.shape[:-1], np.int64)
    for axis in range(depth):
        places = places * shape[axis] + indices_of(indices[..., axis], shape[axis], op)
    return places


def compress(data: Array, condition: Array, *, axis: int | None = None) -> Array:
    """ONNX Compress: the slices along ``axis`` (elements of the flattened tensor) whose condition holds.

    A condition shorter than the axis leaves out the rest; a longer one raises ValueError.
    """
    length = data.size if axis is None else data.shape[axis_of(axis, data.ndim, "Compress")]
    if condition.ndim != 1 or condition.size > length:
        raise ValueError(f"Compress: condition of shape {condition.shape} for {length} slices")
    return np.compress(condition, data, axis)
