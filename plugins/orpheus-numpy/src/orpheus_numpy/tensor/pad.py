"""Pad and CenterCropPad."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import NEW, Outputs, axes_of, numbers, shape_of, store, zero_of


def pad(
    data: Array,
    pads: Array,
    constant_value: Array | None = None,
    axes: Array | None = None,
    *,
    mode: str = "constant",
    out: Outputs = NEW,
) -> Array:
    """ONNX Pad: elements added before and after each of ``axes``, or removed where a pad is negative.

    ``pads`` holds the beginnings, then the ends. Modes: constant, reflect (repeated when the pad is longer than
    the axis), edge, wrap. Elements are removed first; the modes then see what is left. Raises ValueError for an
    unknown mode, pads that do not match the axes, or nothing left to reflect, repeat or wrap.
    """
    chosen = axes_of(range(data.ndim) if axes is None else numbers(axes), data.ndim, "Pad")
    amounts = numbers(pads)
    if len(amounts) != 2 * len(chosen):
        raise ValueError(f"Pad: {len(amounts)} pads for {len(chosen)} axes; it takes two for each")
    before, after = [0] * data.ndim, [0] * data.ndim
    for i, axis in enumerate(chosen):
        before[axis], after[axis] = amounts[i], amounts[i + len(chosen)]
    if any(d + b + a < 0 for d, b, a in zip(data.shape, before, after)):
        raise ValueError(f"Pad: pads {amounts} remove more than shape {data.shape} has")
    kept: list[Any] = [slice(max(-b, 0), d - max(-a, 0)) for d, b, a in zip(data.shape, before, after)]
    data = data[(*kept, ...)]
    before, after = [max(b, 0) for b in before], [max(a, 0) for a in after]
    if mode == "constant":
        return _constant(data, before, after, constant_value, out)
    if mode not in _SOURCES:
        raise ValueError(f"Pad: mode {mode!r} is not one of constant, {', '.join(_SOURCES)}")
    for axis, (b, a) in enumerate(zip(before, after)):
        if b or a:
            size = data.shape[axis]
            if size == 0:
                raise ValueError(f"Pad: mode {mode} has nothing to copy on axis {axis} of shape {data.shape}")
            data = np.take(data, _SOURCES[mode](np.arange(-b, size + a), size), axis)
    return store(out, data)


def _constant(
    data: Array, before: Sequence[int], after: Sequence[int], value: Array | None, out: Outputs
) -> Array:
    target = out[0]
    if target is None:
        target = np.empty([b + d + a for d, b, a in zip(data.shape, before, after)], data.dtype)
    target[...] = zero_of(data.dtype) if value is None else value.reshape(())
    target[tuple(slice(b, b + d) for d, b in zip(data.shape, before))] = data
    return target


def _reflect(positions: Array, size: int) -> Array:
    if size == 1:
        return np.zeros_like(positions)
    folded = positions % (2 * size - 2)
    return np.asarray(np.minimum(folded, 2 * size - 2 - folded))


# Position on a padded axis (0 is the first element of the data) -> index of the element that stands there.
_SOURCES: dict[str, Callable[[Array, int], Array]] = {
    "reflect": _reflect,
    "edge": lambda positions, size: positions.clip(0, size - 1),
    "wrap": np.remainder,
}


def center_crop_pad(data: Array, shape: Array, *, axes: Sequence[int] | None = None) -> Array:
    """ONNX CenterCropPad: each of ``axes`` cropped or zero-padded about its centre to the size in ``shape``.

    An odd difference crops one more at the end, and pads one more at the end.
    """
    chosen = axes_of(range(data.ndim) if axes is None else axes, data.ndim, "CenterCropPad")
    wanted = shape_of(shape, "CenterCropPad")
    if len(wanted) != len(chosen):
        raise ValueError(f"CenterCropPad: {len(wanted)} sizes for {len(chosen)} axes")
    before, after = [0] * data.ndim, [0] * data.ndim
    for axis, size in zip(chosen, wanted):
        difference = size - data.shape[axis]
        # Towards zero: half of the smaller part comes first both when cropping and when padding.
        before[axis] = int(difference / 2)
        after[axis] = difference - before[axis]
    return pad(data, np.array([*before, *after], np.int64))
