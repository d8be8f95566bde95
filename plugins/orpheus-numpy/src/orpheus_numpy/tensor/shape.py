"""Shape, Size, Reshape, Flatten, Squeeze, Unsqueeze, Transpose: views and facts about shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import NEW, Outputs, axes_of, numbers, store


def shape(data: Array, *, start: int = 0, end: int | None = None) -> Array:
    """ONNX Shape: dimensions ``start`` to ``end`` (clamped to the rank) of ``data``, int64, 1-D."""
    return np.array(data.shape[start:end], np.int64)


def size(data: Array) -> Array:
    """ONNX Size: the number of elements of ``data``, int64, shape []."""
    return np.array(data.size, np.int64)


def reshape(data: Array, shape: Array, *, allowzero: int = 0) -> Array:
    """ONNX Reshape: a view of ``data`` with another shape.

    One dimension may be -1 (inferred); 0 copies the input's dimension unless ``allowzero``. Raises
    ValueError when the shapes hold different numbers of elements.
    """
    wanted = numbers(shape)
    rest = list(data.shape)
    free = [i for i, d in enumerate(wanted) if d == -1]
    if len(free) > 1 or any(d < -1 for d in wanted):
        raise ValueError(f"Reshape: shape {wanted} may have one -1 and no other negative dimension")
    explicit = 1
    for i, d in enumerate(wanted):
        if d == 0 and not allowzero:
            if i >= data.ndim:
                raise ValueError(
                    f"Reshape: dimension {i} of {wanted} copies from shape {data.shape}, which lacks it"
                )
            wanted[i], rest[i] = data.shape[i], 1
        elif d != -1:
            explicit *= d
    # Copied dimensions stand on both sides, so a copied 0 does not hide what -1 must be.
    if free:
        total = math.prod(rest)
        if explicit == 0 or total % explicit:
            raise ValueError(f"Reshape: shape {data.shape} does not divide into {tuple(numbers(shape))}")
        wanted[free[0]] = total // explicit
    if math.prod(wanted) != data.size:
        raise ValueError(f"Reshape: shape {data.shape} has {data.size} elements, {tuple(wanted)} has others")
    return data.reshape(wanted)


def flatten(data: Array, *, axis: int = 1) -> Array:
    """ONNX Flatten: ``data`` as a matrix whose rows span the first ``axis`` dimensions; a view."""
    if not -data.ndim <= axis <= data.ndim:
        raise ValueError(f"Flatten: axis {axis} is outside [-{data.ndim}, {data.ndim}]")
    axis = axis + data.ndim if axis < 0 else axis
    return data.reshape(math.prod(data.shape[:axis]), math.prod(data.shape[axis:]))


def squeeze(data: Array, axes: Array | None = None) -> Array:
    """ONNX Squeeze: without the dimensions ``axes``, which must be 1 (all that are, if not given); a view."""
    if axes is None:
        return np.squeeze(data)
    dropped = axes_of(numbers(axes), data.ndim, "Squeeze")
    wrong = [axis for axis in dropped if data.shape[axis] != 1]
    if wrong:
        raise ValueError(f"Squeeze: axes {wrong} of shape {data.shape} are not 1")
    return data.reshape([d for i, d in enumerate(data.shape) if i not in dropped])


def unsqueeze(data: Array, axes: Array) -> Array:
    """ONNX Unsqueeze: with dimensions of 1 at ``axes`` of the output; a view."""
    given = numbers(axes)
    rank = data.ndim + len(given)
    added = axes_of(given, rank, "Unsqueeze")
    kept = iter(data.shape)
    return data.reshape([1 if i in added else next(kept) for i in range(rank)])


def transpose(data: Array, *, perm: Sequence[int] | None = None, out: Outputs = NEW) -> Array:
    """ONNX Transpose: axes in the order ``perm`` (reversed, if not given)."""
    order = tuple(range(data.ndim))[::-1] if perm is None else tuple(perm)
    if sorted(order) != list(range(data.ndim)):
        raise ValueError(f"Transpose: perm {order} is not an order of {data.ndim} axes")
    return store(out, data.transpose(order))
