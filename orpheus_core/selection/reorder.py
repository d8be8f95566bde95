"""Changing a host array's memory layout with numpy: correct for every layout, fast for none.

A backend that has a kernel for the Reorder operator is asked first.
"""

from __future__ import annotations

import numpy as np

from orpheus_core.types import Array, Layout


def to_layout(array: Array, layout: Layout) -> Array:
    """A plain array (logical shape) as a contiguous array in ``layout``; padding is zero."""
    if layout.name == "plain":
        return array
    if layout.permutation is not None:
        return np.ascontiguousarray(array.transpose(layout.permutation))
    physical = layout.physical_shape(array.shape)
    channels, block = array.shape[1], layout.block
    if channels % block:
        padded = np.zeros((array.shape[0], physical[1] * block, *array.shape[2:]), array.dtype)
        padded[:, :channels] = array
        array = padded
    split = array.reshape(array.shape[0], physical[1], block, *array.shape[2:])
    return np.ascontiguousarray(np.moveaxis(split, 2, -1))


def from_layout(array: Array, layout: Layout, shape: tuple[int, ...]) -> Array:
    """The plain array of logical ``shape`` that ``array`` holds in ``layout``."""
    if layout.name == "plain":
        return array
    if layout.permutation is not None:
        return np.ascontiguousarray(array.transpose(np.argsort(layout.permutation)))
    # The channel count is spelled out, since -1 cannot be inferred for a tensor without elements.
    joined = np.moveaxis(array, -1, 2).reshape(shape[0], array.shape[1] * layout.block, *shape[2:])
    return np.ascontiguousarray(joined[:, : shape[1]])


def convert(
    source: Array, source_layout: Layout, target: Array, target_layout: Layout, shape: tuple[int, ...]
) -> None:
    """Fill ``target`` with ``source`` in another layout; ``shape`` is the logical shape of both."""
    np.copyto(target, to_layout(from_layout(source, source_layout, shape), target_layout))
