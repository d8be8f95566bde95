"""Convolution as im2col and one matrix product: the reference's default for most layers.

Columns of image n: ``[group, C / group * taps, positions]``, filled by one strided copy of a view that holds all
windows; then ``Y[n] = W [group, M / group, C / group * taps] @ columns``, written where Y lies. A 1x1 convolution
of stride 1 multiplies the input itself. The same code serves Conv and Orpheus's FusedConv.

Source: https://onnx.ai/onnx/operators/onnx__Conv.html; K. Chellapilla et al., High Performance Convolutional
Neural Networks for Document Processing, 2006.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from orpheus_core.errors import KernelError
from orpheus_core.plugin import Problem, Step
from orpheus_core.types import Array, TensorType
from orpheus_numpy.nn.conv_shape import ConvShape, conv_shape, shape_of
from orpheus_numpy.nn.epilogue import activation_step, finish
from orpheus_numpy.nn.precision import wide_dtype, widen
from orpheus_numpy.nn.window import Ints, Window

_ALIGN = 64


def conv(
    X: Array,
    W: Array,
    B: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """Conv of any rank: X [N, C, ...], W [M, C / group, ...], B [M] -> [N, M, ...], in X's element type.

    Any numeric type; float16 and bfloat16 are accumulated in float32. Raises ModelError where shapes and attributes
    contradict each other.
    """
    shape = conv_shape(
        X.shape, W.shape, auto_pad=auto_pad, dilations=dilations, group=group,
        kernel_shape=kernel_shape, pads=pads, strides=strides,
    )  # fmt: skip
    wide = wide_dtype(X.dtype)
    y = np.empty(shape.output, wide)
    workspace = np.empty(_workspace(shape, X.dtype), np.uint8)
    _lowered(shape, X, np.ascontiguousarray(widen(W)), y, workspace)()
    finish(y, bias=B)
    return y.astype(X.dtype, copy=False)


class Im2col:
    """A Conv or FusedConv layer of static shape, prepared: see the module's page for the algorithm.

    Problem: X and W with static shapes, element type float16, bfloat16, float32 or float64. The workspace holds the
    columns of one image and, where there are pads, that image with its pads. Raises KernelError for a shape that is
    not static and ModelError for a contradictory layer.
    """

    def __init__(self, problem: Problem) -> None:
        x, w = problem.inputs[0], problem.inputs[1]
        if not isinstance(x, TensorType) or not isinstance(w, TensorType):
            raise KernelError(f"{problem.op} im2col needs tensors X and W, got {x} and {w}")
        if x.static_shape is None or w.static_shape is None:
            raise KernelError(f"{problem.op} im2col is prepared for one shape; X is {x}, W is {w}")
        self.shape = shape_of(x.static_shape, w.static_shape, problem.attributes)
        self.dtype = x.dtype.numpy
        self.activation = activation_step(
            str(problem.attributes.get("activation", "")), problem.attributes.get("activation_params", ())
        )
        self.workspace = _workspace(self.shape, self.dtype)
        # Only a change of type needs a copy: ONNX's weights are in the product's order already.
        weights = problem.constants.get(1)
        self._weights = None if weights is None else widen(np.ascontiguousarray(weights))
        self.packed = (1,) if weights is not None and self._weights is not weights else ()

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """A step from X, W, B, R, scale, shift to Y and S; see :class:`orpheus_core.plugin.Prepared`."""
        x, w, bias, residual, scale, shift = (*inputs, *(None,) * 6)[:6]
        target = outputs[0]
        total = outputs[1] if len(outputs) > 1 else None
        wide = wide_dtype(self.dtype)
        direct = target.dtype == wide and target.flags.c_contiguous
        y = target if direct else np.empty(self.shape.output, wide)
        if workspace is None:
            workspace = np.empty(self.workspace, np.uint8)
        if self._weights is not None:
            w = self._weights
        activation = self.activation

        def repack() -> None:
            # Weights that are computed, or lie elsewhere than BLAS wants them, are read anew each time.
            _lowered(self.shape, x, np.ascontiguousarray(widen(w)), y, workspace)()

        settled = w.dtype == wide and w.flags.c_contiguous
        product = _lowered(self.shape, x, w, y, workspace) if settled else repack

        def step() -> None:
            product()
            finish(y, bias, residual, scale, shift, activation, total)
            if not direct:
                np.copyto(target, y, casting="unsafe")

        return step


def _workspace(shape: ConvShape, dtype: np.dtype[Any]) -> int:
    wide = wide_dtype(dtype)
    parts = (_columns_shape(shape, dtype), _padded_shape(shape))
    return sum(_round_up(math.prod(part) * wide.itemsize) for part in parts if part is not None)


def _columns_shape(shape: ConvShape, dtype: np.dtype[Any]) -> tuple[int, ...] | None:
    if shape.window.is_pointwise and dtype == wide_dtype(dtype):
        return None
    return (shape.channels, *shape.window.kernel, *shape.window.output)


def _padded_shape(shape: ConvShape) -> tuple[int, ...] | None:
    window = shape.window
    return None if window.padded == window.input else (shape.channels, *window.padded)


def _round_up(nbytes: int) -> int:
    return -(-nbytes // _ALIGN) * _ALIGN


def _lowered(shape: ConvShape, x: Array, w: Array, y: Array, workspace: Array) -> Callable[[], None]:
    """A function that computes ``y`` [N, M, ...] from x and w; only w and y are in the type to compute in."""
    group, positions = shape.group, shape.window.positions
    depth = shape.channels // group * shape.taps
    weights = w.reshape(group, shape.filters // group, depth)
    results = y.reshape(shape.batch, group, shape.filters // group, positions)
    columns_shape, padded_shape = _columns_shape(shape, x.dtype), _padded_shape(shape)
    if columns_shape is None and x.flags.c_contiguous:
        images = x.reshape(shape.batch, group, shape.channels // group, positions)

        def pointwise() -> None:
            np.matmul(weights, images, out=results)

        return pointwise
    columns_shape = columns_shape or (shape.channels, *shape.window.kernel, *shape.window.output)
    columns, used = _take(workspace, 0, columns_shape, y.dtype)
    matrix = columns.reshape(group, depth, positions)
    if padded_shape is None:
        sources = [(shape.window.views(image), result) for image, result in zip(x, results)]

        def without_pads() -> None:
            for windows, result in sources:
                np.copyto(columns, windows, casting="unsafe")
                np.matmul(weights, matrix, out=result)

        return without_pads
    padded, _ = _take(workspace, used, padded_shape, y.dtype)
    windows, interior = shape.window.views(padded), padded[shape.window.interior]
    borders = _borders(padded, shape.window)

    def with_pads() -> None:
        # The workspace is shared with other layers, so the pads do not keep their zeros.
        for border in borders:
            border.fill(0)
        for image, result in zip(x, results):
            np.copyto(interior, image, casting="unsafe")
            np.copyto(columns, windows)
            np.matmul(weights, matrix, out=result)

    return with_pads


def _take(workspace: Array, offset: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[Array, int]:
    nbytes = math.prod(shape) * dtype.itemsize
    if workspace.nbytes < offset + nbytes:
        # A layer whose input is not contiguous was not promised columns.
        return np.empty(shape, dtype), offset
    part = workspace.reshape(-1).view(np.uint8)[offset : offset + nbytes]
    return part.view(dtype).reshape(shape), offset + _round_up(nbytes)


def _borders(padded: Array, window: Window) -> list[Array]:
    """The parts of a padded image outside the input, as views."""
    found = []
    for axis, (begin, size, whole) in enumerate(zip(window.begin, window.input, window.padded), start=1):
        for part in (slice(0, begin), slice(begin + size, whole)):
            border = padded[(slice(None),) * axis + (part,)]
            if border.size:
                found.append(border)
    return found
