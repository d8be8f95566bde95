"""Pooling: max, average and Lp, over windows or globally, and MaxUnpool.

Maximum, sum and sum of powers over a box are separable: one pass an axis over the taps of that axis, so a k x k
window costs 2k element operations and not k * k. Only the indices of MaxPool need every tap.

Sources: the operator pages of MaxPool, AveragePool, LpPool, Global*Pool and MaxUnpool on https://onnx.ai/onnx/operators/
"""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver, first, widen
from orpheus_numpy.nn.window import Ints, Window, per_axis, resolve_window

Outputs = tuple["Array | None", ...]


def max_pool(
    X: Array, *, kernel_shape: Ints, storage_order: int = 0, problem: Problem | None = None,
    out: Outputs | None = None, **geometry: Any,
) -> Array | tuple[Array, Array]:  # fmt: skip
    """MaxPool: X [N, C, ...] -> Y, and Indices (int64, flat in X) when the node has that output.

    Floats, int8 and uint8; pads never win. Raises ModelError for attributes that do not fit X.
    """
    window = resolve_window(X.shape[2:], kernel_shape, **geometry)
    outputs = problem.outputs if problem else (None,)
    if len(outputs) > 1 and outputs[1] is not None:
        return _max_with_indices(X, window, storage_order, out)
    y = _reduce_axes(window.pad(X, _lowest(X.dtype)), window, np.maximum, first(out))
    return deliver(y, X.dtype, first(out))


def average_pool(
    X: Array, *, kernel_shape: Ints, count_include_pad: int = 0, out: Outputs | None = None, **geometry: Any
) -> Array:
    """AveragePool: the mean over each window of X [N, C, ...], pads counted only with ``count_include_pad``."""
    window = resolve_window(X.shape[2:], kernel_shape, **geometry)
    y = _reduce_axes(window.pad(widen(X)), window, np.add, first(out))
    y /= _counts(window, bool(count_include_pad)).astype(y.dtype)
    return deliver(y, X.dtype, first(out))


def lp_pool(
    X: Array, *, kernel_shape: Ints, p: int = 2, out: Outputs | None = None, **geometry: Any
) -> Array:
    """LpPool: the p-norm over each window of X [N, C, ...]; pads count as 0."""
    window = resolve_window(X.shape[2:], kernel_shape, **geometry)
    y = _reduce_axes(window.pad(np.abs(widen(X)) ** p), window, np.add, first(out))
    return deliver(y ** (1.0 / p), X.dtype, first(out))


def global_average_pool(X: Array) -> Array:
    """GlobalAveragePool: X [N, C, ...] -> [N, C, 1, ...]."""
    return deliver(widen(X).mean(axis=tuple(range(2, X.ndim)), keepdims=True), X.dtype)


def global_max_pool(X: Array) -> Array:
    """GlobalMaxPool: X [N, C, ...] -> [N, C, 1, ...]."""
    return np.asarray(X.max(axis=tuple(range(2, X.ndim)), keepdims=True))


def global_lp_pool(X: Array, *, p: int = 2) -> Array:
    """GlobalLpPool: the p-norm over all spatial axes of X [N, C, ...] -> [N, C, 1, ...]."""
    total = (np.abs(widen(X)) ** p).sum(axis=tuple(range(2, X.ndim)), keepdims=True)
    return deliver(total ** (1.0 / p), X.dtype)


def max_unpool(
    X: Array, I: Array, output_shape: Array | None = None, *,  # noqa: E741
    kernel_shape: Ints, pads: Ints | None = None, strides: Ints | None = None,
) -> Array:  # fmt: skip
    """MaxUnpool: X's elements at the flat positions ``I`` (int64, X's shape) of a tensor of zeros.

    The positions refer to the size that the attributes give; a larger ``output_shape`` adds zeros at the ends.
    Raises ModelError for positions outside, or an output_shape that is smaller.
    """
    rank = X.ndim - 2
    kernel = per_axis("kernel_shape", kernel_shape, rank)
    step = per_axis("strides", strides, rank)
    pad = per_axis("pads", pads, 2 * rank, 0, 0)
    spatial = tuple(
        (n - 1) * s + k - b - e for n, s, k, b, e in zip(X.shape[2:], step, kernel, pad[:rank], pad[rank:])
    )
    shape = (*X.shape[:2], *spatial)
    size = math.prod(shape)
    if I.shape != X.shape or (I.size and not 0 <= int(I.min()) <= int(I.max()) < size):
        raise ModelError(f"MaxUnpool: I must have X's shape {X.shape} and positions in [0, {size})")
    y = np.zeros(size, X.dtype)
    y[I.ravel()] = X.ravel()
    y = y.reshape(shape)
    if output_shape is None:
        return y
    wanted = tuple(int(n) for n in output_shape)
    if len(wanted) != X.ndim or any(w < n for w, n in zip(wanted, shape)):
        raise ModelError(
            f"MaxUnpool: output_shape {list(wanted)} does not hold the unpooled shape {list(shape)}"
        )
    whole = np.zeros(wanted, X.dtype)
    whole[tuple(slice(n) for n in shape)] = y
    return whole


def _lowest(dtype: np.dtype[Any]) -> Any:
    return np.iinfo(dtype).min if dtype.kind in "iu" else -math.inf


def _reduce_axes(x: Array, window: Window, ufunc: np.ufunc, out: Array | None) -> Array:
    """Reduce every window of the padded array [N, C, ...], one axis after another, never into ``x``."""
    last = len(window.kernel) - 1
    # From the last axis to the first: what the later passes read is then contiguous.
    for axis in range(last, -1, -1):
        size, step, gap = window.kernel[axis], window.strides[axis], window.dilations[axis]
        count = window.output[axis]
        taps = [
            x[(slice(None),) * (axis + 2) + (slice(i * gap, i * gap + (count - 1) * step + 1, step),)]
            for i in range(size)
        ]
        usable = axis == 0 and out is not None and out.dtype == x.dtype
        y = out if usable and out is not None else np.empty(taps[0].shape, x.dtype)
        if size == 1:
            np.copyto(y, taps[0])
        else:
            ufunc(taps[0], taps[1], out=y)
        for tap in taps[2:]:
            ufunc(y, tap, out=y)
        x = y
    return x


def _counts(window: Window, include_pad: bool) -> Array:
    """Elements that count in each window, [*output]; ceil_mode's reach beyond the pads never counts."""
    total = np.ones((1,) * len(window.kernel), np.int64)
    for axis, count in enumerate(window.output):
        start = np.arange(count) * window.strides[axis]
        at = start[:, None] + np.arange(window.kernel[axis]) * window.dilations[axis]
        low = 0 if include_pad else window.begin[axis]
        high = window.begin[axis] + window.input[axis] + (window.end[axis] if include_pad else 0)
        valid = ((at >= low) & (at < high)).sum(axis=1)
        total = total * valid.reshape(-1, *(1,) * (len(window.kernel) - 1 - axis))
    # A window wholly outside has nothing to average.
    return np.maximum(total, 1)


def _max_with_indices(
    X: Array, window: Window, storage_order: int, out: Outputs | None
) -> tuple[Array, Array]:
    size = math.prod(window.input)
    order: Any = "F" if storage_order else "C"
    positions = window.pad(np.arange(size).reshape(window.input, order=order), -1)
    x = X.astype(np.float32) if X.dtype == ml_dtypes.bfloat16 else X
    padded = window.pad(x, _lowest(x.dtype))
    best: Array | None = None
    found = np.full((*X.shape[:2], *window.output), -1, np.int64)
    for _, part in window.taps():
        view, at = padded[part], positions[part]
        if best is None:
            best = view.copy()
        # The first of equal values wins; NaN beats every number, as it does in np.maximum.
        better = (found < 0) | (view > best) | (np.isnan(view) & ~np.isnan(best))
        better &= at >= 0
        np.copyto(best, view, where=better)
        np.copyto(found, np.broadcast_to(at, found.shape), where=better)
    if best is None:
        best = np.empty(found.shape, x.dtype)
    channels = np.arange(math.prod(X.shape[:2])).reshape(*X.shape[:2], *(1,) * len(window.output))
    found += channels * size
    y_out, index_out = (*(out or ()), None, None)[:2]
    return deliver(best, X.dtype, y_out), deliver(found, np.dtype(np.int64), index_out)
