"""Resize: every axis is resampled by itself, as a weighted sum of a few gathered positions.

For an axis of n elements and m wanted, a table of m x taps indices and weights is made from the mode (nearest: 1 tap;
linear: 2; cubic: 4; with antialias the filter is stretched by 1 / scale and has as many more taps).

Source: https://onnx.ai/onnx/operators/onnx__Resize.html; R. Keys, Cubic Convolution Interpolation, 1981.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import widen
from orpheus_numpy.nn.window import Ints


@dataclass(frozen=True)
class _Axis:
    """How one axis is resized: ``stretch`` is the scale that coordinates use, start and end the region of interest."""

    axis: int
    size: int
    wanted: int
    stretch: float
    start: float = 0.0
    end: float = 1.0


def resize(
    X: Array, roi: Array | None = None, scales: Array | None = None, sizes: Array | None = None, *,
    antialias: int = 0, axes: Ints | None = None, coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75, exclude_outside: int = 0, extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest", nearest_mode: str = "round_prefer_floor",
) -> Array:  # fmt: skip
    """Resize X along ``axes`` (default all) to ``sizes``, or by ``scales``; the result has X's element type.

    Any element type with mode nearest; linear and cubic need numbers, and integers are interpolated as floats, clipped
    and truncated. Raises ModelError for contradictory or unknown settings.
    """
    resized = _resized_axes(
        X.shape, roi, scales, sizes, axes, keep_aspect_ratio_policy, coordinate_transformation_mode
    )
    kernel = _filter(mode, cubic_coeff_a)
    if kernel is not None and X.dtype.kind == "O":
        raise ModelError(f"Resize: mode {mode!r} needs numbers; strings can only be resized by nearest")
    y = X if kernel is None else widen(X)
    if kernel is not None and X.dtype.kind in "iub":
        y = X.astype(np.float64 if X.dtype.itemsize > 2 else np.float32)
    outside: Array | None = None
    for axis in resized:
        at = _coordinates(axis, coordinate_transformation_mode)
        if coordinate_transformation_mode == "tf_crop_and_resize":
            beyond = ((at < 0) | (at > axis.size - 1)).reshape(-1, *(1,) * (X.ndim - 1 - axis.axis))
            outside = beyond if outside is None else outside | beyond
        elif axis.wanted == axis.size and axis.stretch == 1:
            continue
        if kernel is None:
            y = y.take(_nearest(at, nearest_mode, axis.size), axis=axis.axis)
        else:
            shrink = min(axis.stretch, 1.0) if antialias else 1.0
            y = _interpolate(y, axis, at, kernel, shrink, bool(exclude_outside))
    if outside is not None:
        y = np.where(outside, np.asarray(extrapolation_value).astype(y.dtype), y)
    if X.dtype.kind in "iu" and y.dtype != X.dtype:
        limits = np.iinfo(X.dtype)
        y = np.clip(y, limits.min, limits.max)
    return np.array(y, dtype=X.dtype, copy=None if y is not X else True)


def _resized_axes(
    shape: Ints, roi: Array | None, scales: Array | None, sizes: Array | None, axes: Ints | None, policy: str,
    coordinates: str,
) -> list[_Axis]:  # fmt: skip
    rank = len(shape)
    chosen = [a % rank if -rank <= a < rank else a for a in (range(rank) if axes is None else axes)]
    if any(a not in range(rank) for a in chosen) or len(set(chosen)) != len(chosen):
        raise ModelError(f"Resize: axes {list(axes or ())} do not name axes of rank {rank} once each")
    given = sizes if sizes is not None and sizes.size else scales
    if given is None or given.size != len(chosen):
        raise ModelError(
            f"Resize: needs {len(chosen)} scales or sizes, has {None if given is None else given.size}"
        )
    region = [0.0] * len(chosen) + [1.0] * len(chosen)
    if coordinates == "tf_crop_and_resize":
        if roi is None or roi.size != len(region):
            raise ModelError(f"Resize: tf_crop_and_resize needs a roi of {len(region)} numbers")
        region = [float(v) for v in roi]
    bounds = list(zip(chosen, region, region[len(chosen) :]))
    if given is scales:
        stretches = [float(v) for v in given]
        if min(stretches, default=1) <= 0:
            raise ModelError(f"Resize: scales must be positive, got {stretches}")
        return [
            _Axis(a, shape[a], _scaled(shape[a] * (e - s), k), k, s, e)
            for k, (a, s, e) in zip(stretches, bounds)
        ]
    wanted = [int(v) for v in given]
    if min(wanted, default=1) < 0:
        raise ModelError(f"Resize: sizes must not be negative, got {wanted}")
    ratios = [w / shape[a] if shape[a] else 1.0 for w, a in zip(wanted, chosen)]
    if policy != "stretch":
        if policy not in ("not_larger", "not_smaller"):
            raise ModelError(
                f"Resize: keep_aspect_ratio_policy must be stretch, not_larger or not_smaller, got {policy!r}"
            )
        ratio = min(ratios) if policy == "not_larger" else max(ratios)
        ratios = [ratio] * len(chosen)
        wanted = [math.floor(ratio * shape[a] + 0.5) for a in chosen]
    return [_Axis(a, shape[a], w, k, s, e) for w, k, (a, s, e) in zip(wanted, ratios, bounds)]


def _scaled(length: float, scale: float) -> int:
    # In float32, so that the size is the one that ONNX's shape inference promises.
    return math.floor(np.float32(length) * np.float32(scale))


def _coordinates(axis: _Axis, mode: str) -> Array:
    """Where each wanted element lies in the input, as float64 [wanted]."""
    x = np.arange(axis.wanted, dtype=np.float64)
    exact = axis.stretch * axis.size
    half = (x + 0.5) / axis.stretch - 0.5
    if mode == "half_pixel":
        return half
    if mode == "asymmetric":
        return x / axis.stretch
    if mode == "pytorch_half_pixel":
        return half if axis.wanted > 1 else np.zeros_like(x)
    if mode == "half_pixel_symmetric":
        # In the page's order: a sum that is whole stays so, and its floor is no element off.
        return axis.size / 2 * (1 - axis.wanted / exact) + (x + 0.5) / axis.stretch - 0.5
    if mode == "align_corners":
        # The page says length_resized; its examples show that the fractional length is meant.
        return x * ((axis.size - 1) / (exact - 1)) if exact != 1 else np.zeros_like(x)
    if mode == "tf_crop_and_resize":
        last = axis.size - 1
        if axis.wanted > 1:
            return axis.start * last + x * ((axis.end - axis.start) * last / (axis.wanted - 1))
        return np.full_like(x, 0.5 * (axis.start + axis.end) * last)
    raise ModelError(f"Resize: unknown coordinate_transformation_mode {mode!r}")


def _nearest(at: Array, mode: str, size: int) -> Array:
    rounding: dict[str, Callable[[Array], Array]] = {
        "round_prefer_floor": lambda x: np.ceil(x - 0.5),
        "round_prefer_ceil": lambda x: np.floor(x + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    if mode not in rounding:
        raise ModelError(f"Resize: nearest_mode must be one of {', '.join(rounding)}, got {mode!r}")
    return np.clip(rounding[mode](at), 0, size - 1).astype(np.intp)


#: A filter: its reach on either side, and its weights at given distances.
_Filter = tuple[int, Callable[[Array], Array]]


def _filter(mode: str, a: float) -> _Filter | None:
    if mode == "nearest":
        return None
    if mode == "linear":
        return 1, lambda x: np.maximum(1 - np.abs(x), 0)
    if mode == "cubic":
        return 2, lambda x: cubic_weights(x, a)
    raise ModelError(f"Resize: mode must be nearest, linear or cubic, got {mode!r}")


def cubic_weights(distance: Array, a: float) -> Array:
    """Keys' cubic convolution filter with coefficient ``a``, of any distances."""
    x = np.abs(distance)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def _interpolate(y: Array, axis: _Axis, at: Array, kernel: _Filter, shrink: float, exclude: bool) -> Array:
    reach, weigh = kernel
    base = np.floor(at)
    offsets = np.arange(math.floor(-reach / shrink) + 1, math.ceil(reach / shrink) + 1)
    index = base[:, None] + offsets
    weights = weigh((index - at[:, None]) * shrink)
    if exclude:
        weights = np.where((index >= 0) & (index < axis.size), weights, 0)
    if exclude or shrink != 1:
        total = weights.sum(axis=1, keepdims=True)
        weights = weights / np.where(total == 0, 1, total)
    taken = np.clip(index, 0, axis.size - 1).astype(np.intp)
    kind = y.real.dtype
    along = (-1, *(1,) * (y.ndim - 1 - axis.axis))
    result = np.zeros((*y.shape[: axis.axis], axis.wanted, *y.shape[axis.axis + 1 :]), y.dtype)
    for tap in range(len(offsets)):
        share = weights[:, tap]
        if share.any():
            result += y.take(taken[:, tap], axis=axis.axis) * share.astype(kind).reshape(along)
    return result
