"""Convolution directly: a sum over kernel taps of strided views of the padded input, with no im2col matrix.

Each tap (i, j) meets the view ``X[..., i::stride, j::stride]``; a dense tap is a matrix product
``W[:, :, i, j] @ view``, a depthwise tap a multiplication by one number a channel. With all strides 1 the taps are
shifts of the flattened padded image, so that the inner loops run over whole images: the few positions that wrap
around at a row's end are computed and left out. Depthwise work goes in blocks of channels that stay in cache.

Source: https://onnx.ai/onnx/operators/onnx__Conv.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.nn.conv_shape import ConvShape, shape_of
from orpheus_numpy.nn.epilogue import activation_step, finish
from orpheus_numpy.nn.precision import deliver, widen
from orpheus_numpy.nn.window import Window

# Elements of a depthwise block: two arrays of float32 of this size fit a second-level cache.
_BLOCK = 1 << 16

Outputs = tuple["Array | None", ...]


def direct(
    X: Array, W: Array, B: Array | None = None, *, out: Outputs | None = None, **attributes: Any
) -> Array:
    """Conv: X [N, C, ...], W [M, C / group, ...], B [M] -> [N, M, ...]; attributes as on the operator's page.

    Any float type; float16 and bfloat16 are accumulated in float32. Raises ModelError where shapes and attributes
    contradict each other.
    """
    y = _product(X, W, attributes, out[0] if out else None)
    finish(y, bias=B)
    return deliver(y, X.dtype, out[0] if out else None)


def fused_direct(
    X: Array,
    W: Array,
    B: Array | None = None,
    R: Array | None = None,
    scale: Array | None = None,
    shift: Array | None = None,
    *,
    activation: str = "",
    activation_params: tuple[float, ...] = (),
    out: Outputs | None = None,
    **attributes: Any,
) -> Array | tuple[Array, Array]:
    """ai.orpheus FusedConv: S = Conv(X, W) + B + R and Y = activation(S * scale + shift); returns (Y, S).

    Operands as in :func:`direct`; R has Y's shape, scale and shift are [M]. When ``out`` has one place, only Y.
    """
    y_out, s_out = (*(out or ()), None, None)[:2]
    wants_sum = out is None or len(out) > 1
    y = _product(X, W, attributes, y_out)
    total = None
    if wants_sum:
        total = s_out if s_out is not None else np.empty(y.shape, X.dtype)
    finish(y, B, R, scale, shift, activation_step(activation, activation_params), total)
    result = deliver(y, X.dtype, y_out)
    return result if total is None else (result, total)


def _product(X: Array, W: Array, attributes: dict[str, Any], out: Array | None) -> Array:
    """The convolution without bias, in ``out`` if that has the type to accumulate in."""
    shape = shape_of(X.shape, W.shape, attributes)
    x, w = widen(X), widen(W)
    usable = out is not None and out.dtype == x.dtype and out.flags.c_contiguous
    y = out if usable and out is not None else np.empty(shape.output, x.dtype)
    padded = np.ascontiguousarray(shape.window.pad(x))
    flat = all(s == 1 for s in shape.window.strides)
    images = _Shifts(padded, shape.window) if flat else _Views(padded, shape.window)
    _sum_taps(images, w.reshape(*w.shape[:2], shape.taps), shape, y)
    return y


class _Shifts:
    """Taps of a convolution of stride 1: slices of the flattened padded image [N, C, all]."""

    def __init__(self, padded: Array, window: Window) -> None:
        self.rows = padded.reshape(*padded.shape[:2], math.prod(padded.shape[2:]))
        self.pitch = [math.prod(window.padded[i + 1 :]) for i in range(len(window.padded))]
        reach = sum((o - 1) * p for o, p in zip(window.output, self.pitch)) + 1
        self.length = reach if window.positions else 0
        self.window = window

    def __iter__(self) -> Iterator[Array]:
        for index, _ in self.window.taps():
            start = sum(i * d * p for i, d, p in zip(index, self.window.dilations, self.pitch))
            yield self.rows[:, :, start : start + self.length]

    def place(self, sums: Array, y: Array) -> None:
        """Copy sums [..., length] to y [..., *output], leaving out the positions that wrap around."""
        item = sums.itemsize
        view = np.lib.stride_tricks.as_strided(
            sums,
            (*sums.shape[:-1], *self.window.output),
            (*sums.strides[:-1], *(p * item for p in self.pitch)),
        )
        np.copyto(y, view)


class _Views:
    """Taps of a convolution of any stride, gathered to [N, C, positions]."""

    def __init__(self, padded: Array, window: Window) -> None:
        self.padded, self.window, self.length = padded, window, window.positions

    def __iter__(self) -> Iterator[Array]:
        for _, part in self.window.taps():
            yield self.padded[part].reshape(*self.padded.shape[:2], self.length)

    def place(self, sums: Array, y: Array) -> None:
        """Copy sums [..., positions] to y [..., *output]."""
        np.copyto(y, sums.reshape(y.shape))


def _sum_taps(images: _Shifts | _Views, w: Array, shape: ConvShape, y: Array) -> None:
    """Fill y [N, M, ...] with the sum over taps; w is [M, C / group, taps]."""
    batch, group, length = shape.batch, shape.group, images.length
    if shape.is_depthwise:
        _sum_depthwise(images, w.reshape(group, shape.filters // group, w.shape[-1]), shape, y)
        return
    # [taps, group, M / group, C / group]: each tap's matrices contiguous for BLAS.
    weights = np.ascontiguousarray(np.moveaxis(w.reshape(group, shape.filters // group, *w.shape[1:]), -1, 0))
    sums = np.empty((batch, group, shape.filters // group, length), y.dtype)
    part = np.empty_like(sums)
    for tap, view in enumerate(images):
        grouped = (
            view.reshape(batch, group, shape.channels // group, length)
            if group > 1 or view.flags.c_contiguous
            else view[:, None]
        )
        if tap == 0:
            np.matmul(weights[0], grouped, out=sums)
        else:
            np.matmul(weights[tap], grouped, out=part)
            sums += part
    images.place(sums.reshape(batch, shape.filters, length), y)


def _sum_depthwise(images: _Shifts | _Views, w: Array, shape: ConvShape, y: Array) -> None:
    """The same where every channel is convolved alone; w is [C, M / C, taps]."""
    multiplier, length = w.shape[1], images.length
    views = list(images)
    block = max(1, _BLOCK // max(1, multiplier * length))
    results = y.reshape(shape.batch, shape.channels, multiplier, *shape.window.output)
    for start in range(0, shape.channels, block):
        channels = slice(start, start + block)
        scales = w[channels, :, None, :]
        size = scales.shape[0]
        sums = np.empty((shape.batch, size, multiplier, length), y.dtype)
        part = np.empty_like(sums)
        for tap, view in enumerate(views):
            np.multiply(view[:, channels, None], scales[..., tap], out=part if tap else sums)
            if tap:
                sums += part
        images.place(sums, results[:, channels])
