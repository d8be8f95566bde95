"""GridSample: X read at normalized positions, by nearest, N-linear or N-cubic interpolation.

Source: https://onnx.ai/onnx/operators/onnx__GridSample.html; M. Jaderberg et al., Spatial Transformer Networks, 2015.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import widen
from orpheus_numpy.nn.resize import cubic_weights

_CUBIC = -0.75
_MODES = {
    "linear": "linear",
    "bilinear": "linear",
    "nearest": "nearest",
    "cubic": "cubic",
    "bicubic": "cubic",
}


def grid_sample(
    X: Array, grid: Array, *, align_corners: int = 0, mode: str = "linear", padding_mode: str = "zeros"
) -> Array:
    """GridSample: X [N, C, d1, ..., dr], grid [N, o1, ..., or, r] (last axis first) -> [N, C, o1, ..., or].

    Any element type with mode nearest, numbers otherwise; integers are interpolated as floats and truncated. Raises
    ModelError for shapes or settings that do not fit.
    """
    sizes = X.shape[2:]
    rank = len(sizes)
    if grid.ndim != X.ndim or grid.shape[-1] != rank or grid.shape[0] != X.shape[0]:
        raise ModelError(f"GridSample: grid {list(grid.shape)} does not fit X {list(X.shape)}")
    if mode not in _MODES or padding_mode not in ("zeros", "border", "reflection"):
        raise ModelError(f"GridSample: unknown mode {mode!r} or padding_mode {padding_mode!r}")
    kind = _MODES[mode]
    if kind != "nearest" and X.dtype.kind == "O":
        raise ModelError(f"GridSample: mode {mode!r} needs numbers; strings can only be sampled by nearest")
    image = X
    if kind != "nearest":
        image = (
            X.astype(np.float64 if X.dtype.itemsize > 2 else np.float32)
            if X.dtype.kind in "iub"
            else widen(X)
        )
    positions = widen(grid).reshape(X.shape[0], math.prod(grid.shape[1:-1]), rank)
    at = [
        _place(positions[..., rank - 1 - axis], size, bool(align_corners), padding_mode, kind == "nearest")
        for axis, size in enumerate(sizes)
    ]
    taps = [_taps(a, kind) for a in at]
    flat = image.reshape(*X.shape[:2], math.prod(sizes))
    y: Any = None
    for choice in itertools.product(*taps):
        index: Any = 0
        share: Any = None
        inside: Any = None
        for (where, weight), size in zip(choice, sizes):
            local, valid = _bounded(where, size, bool(align_corners), padding_mode)
            index = index * size + local
            if valid is not None:
                inside = valid if inside is None else inside & valid
            if weight is not None:
                share = weight if share is None else share * weight
        part = np.take_along_axis(
            flat, np.broadcast_to(index[:, None], (*flat.shape[:2], index.shape[1])), axis=2
        )
        if share is not None:
            part = part * share.astype(part.real.dtype)[:, None]
        if inside is not None:
            part = np.where(inside[:, None], part, "" if part.dtype == object else np.zeros((), part.dtype))
        y = part if y is None else y + part
    shape = (*X.shape[:2], *grid.shape[1:-1])
    if y is None:
        raise ModelError("GridSample: X has no spatial axes")
    if X.dtype.kind in "iu" and y.dtype != X.dtype:
        limits = np.iinfo(X.dtype)
        y = np.clip(y, limits.min, limits.max)
    return np.asarray(y.reshape(shape).astype(X.dtype, copy=False))


def _place(normalized: Array, size: int, align: bool, padding: str, nearest: bool) -> Array:
    """Element positions along one axis, brought inside as far as border and reflection ask it."""
    at = (normalized + 1) / 2 * (size - 1) if align else ((normalized + 1) * size - 1) / 2
    if nearest:
        at = np.rint(at)
    low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
    if padding == "border":
        return np.where((at < low) | (at > high), np.clip(at, 0, size - 1), at)
    if padding == "reflection":
        return _reflect(at, low, high)
    # Far outside is as good as just outside, and fits an index.
    return np.clip(at, -4, size + 4)


def _reflect(at: Array, low: float, high: float) -> Array:
    """Positions mirrored at ``low`` and ``high`` until they lie between."""
    span = high - low
    if span <= 0:
        return np.zeros_like(at)
    folded = np.mod(at - low, 2 * span)
    inside = low + np.minimum(folded, 2 * span - folded)
    return np.where((at < low) | (at > high), inside.astype(at.dtype), at)


def _taps(at: Array, kind: str) -> list[tuple[Array, Array | None]]:
    """Integer positions along one axis that count, each with its weight (None: all of it)."""
    if kind == "nearest":
        return [(np.rint(at), None)]
    base = np.floor(at)
    fraction = at - base
    if kind == "linear":
        return [(base, 1 - fraction), (base + 1, fraction)]
    return [(base + k, cubic_weights(fraction - k, _CUBIC)) for k in (-1, 0, 1, 2)]


def _bounded(where: Array, size: int, align: bool, padding: str) -> tuple[Array, Array | None]:
    """Indices inside the axis, and with padding zeros which of them were inside before."""
    if padding == "reflection":
        low, high = (0.0, size - 1.0) if align else (-0.5, size - 0.5)
        where = _reflect(where, low, high)
    finite = np.where(np.isfinite(where), where, -1 if padding == "zeros" else 0)
    index = np.clip(finite, 0, size - 1).astype(np.intp)
    return index, (finite >= 0) & (finite <= size - 1) if padding == "zeros" else None
