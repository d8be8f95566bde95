"""DeformConv: a convolution whose taps each sample the input at an offset of their own, with N-linear interpolation.

Source: https://onnx.ai/onnx/operators/onnx__DeformConv.html; X. Zhu et al., Deformable ConvNets v2, 2018.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.conv_shape import ConvShape, conv_shape
from orpheus_numpy.nn.epilogue import finish
from orpheus_numpy.nn.precision import deliver, widen
from orpheus_numpy.nn.window import Ints


def deform_conv(
    X: Array, W: Array, offset: Array, B: Array | None = None, mask: Array | None = None, *,
    dilations: Ints | None = None, group: int = 1, kernel_shape: Ints | None = None, offset_group: int = 1,
    pads: Ints | None = None, strides: Ints | None = None,
) -> Array:  # fmt: skip
    """DeformConv of any rank r: X [N, C, ...], W [M, C / group, ...] with taps in all, output positions o1, ...

    offset is [N, offset_group * taps * r, o1, ...], mask [N, offset_group * taps, o1, ...]. What lies outside the
    input is 0. Raises ModelError where shapes and attributes contradict each other.
    """
    shape = conv_shape(
        X.shape,
        W.shape,
        dilations=dilations,
        group=group,
        kernel_shape=kernel_shape,
        pads=pads,
        strides=strides,
    )
    rank, taps, positions = len(shape.window.kernel), shape.taps, shape.window.positions
    if offset_group < 1 or X.shape[1] % offset_group:
        raise ModelError(f"DeformConv: {X.shape[1]} channels do not divide into {offset_group} offset groups")
    if offset.shape != (shape.batch, offset_group * taps * rank, *shape.window.output):
        raise ModelError(f"DeformConv: offset has shape {list(offset.shape)}, output is {list(shape.output)}")
    x, w = widen(X), widen(W)
    # [N, offset_group, r, taps, positions]
    moved = widen(offset).reshape(shape.batch, offset_group, taps, rank, positions).swapaxes(2, 3)
    at = moved + _regular(shape).astype(moved.dtype)
    weight = None if mask is None else widen(mask).reshape(shape.batch, offset_group, taps, positions)
    y = np.empty((shape.batch, group, W.shape[0] // group, positions), x.dtype)
    matrix = w.reshape(group, W.shape[0] // group, math.prod(W.shape[1:]))
    for n in range(shape.batch):
        columns = _sample(
            x[n].reshape(offset_group, shape.channels // offset_group, math.prod(shape.window.input)),
            at[n],
            shape.window.input,
        )
        if weight is not None:
            columns *= weight[n][:, None]
        np.matmul(matrix, columns.reshape(group, matrix.shape[2], positions), out=y[n])
    result = y.reshape(shape.output)
    finish(result, bias=B)
    return deliver(result, X.dtype)


def _regular(shape: ConvShape) -> Array:
    """Where the taps of an ordinary convolution lie, [r, taps, positions]."""
    window = shape.window
    starts = np.indices(window.output).reshape(len(window.output), 1, window.positions)
    steps = np.indices(window.kernel).reshape(len(window.kernel), -1, 1)
    strides, gaps, begin = (
        np.array(v).reshape(-1, 1, 1) for v in (window.strides, window.dilations, window.begin)
    )
    regular: Array = starts * strides + steps * gaps - begin
    return regular


def _sample(image: Array, at: Array, size: tuple[int, ...]) -> Array:
    """Image [groups, channels, all] at [groups, r, taps, positions] -> [groups, channels, taps, positions]."""
    base = np.floor(at)
    fraction = at - base
    low = np.clip(base, -2, np.array(size).reshape(-1, 1, 1)).astype(np.int64)
    result = np.zeros((*image.shape[:2], *at.shape[2:]), image.dtype)
    for corner in itertools.product((0, 1), repeat=len(size)):
        flat: Array = np.zeros((at.shape[0], *at.shape[2:]), np.int64)
        share: Array = np.ones(flat.shape, image.dtype)
        for axis, (step, count) in enumerate(zip(corner, size)):
            index = low[:, axis] + step
            share *= fraction[:, axis] if step else 1 - fraction[:, axis]
            share *= (index >= 0) & (index < count)
            flat = flat * count + np.clip(index, 0, count - 1)
        taken = np.take_along_axis(image, flat.reshape(flat.shape[0], 1, math.prod(flat.shape[1:])), axis=2)
        result += taken.reshape(result.shape) * share[:, None]
    return result
