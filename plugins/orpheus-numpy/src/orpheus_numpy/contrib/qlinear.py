"""Quantized arithmetic, activations, concatenation and pooling of com.microsoft.

Each computes in float32 on dequantized values and rounds half to even at the end. Zero points may be omitted (0).
Source: ContribOperators.md of ONNX Runtime.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.math.activation import leaky_relu, sigmoid
from orpheus_numpy.math.softmax import softmax
from orpheus_numpy.nn.pool import average_pool
from orpheus_numpy.quant.linear import dequantize_linear, round_to

_UINT8 = np.dtype(np.uint8)


def _quantized(real: Array, scale: Array, zero_point: Array | None, dtype: np.dtype[Any]) -> Array:
    ratio = np.asarray(real / scale.reshape(()))
    return round_to(ratio, None if zero_point is None else zero_point.reshape(()), dtype)


def qlinear_add(
    A: Array,
    A_scale: Array,
    A_zero_point: Array | None,
    B: Array,
    B_scale: Array,
    B_zero_point: Array | None,
    C_scale: Array,
    C_zero_point: Array | None = None,
) -> Array:
    """Sum of two quantized tensors that broadcast; int8 or uint8 throughout (QLinearAdd).

    C = A a + B b + c with a, b the ratios of scales and c what depends on no data, all in float32. The operator's owner
    computes it so, c with one fused multiply-add; a network amplifies a tie that falls on the other side.
    """
    a, b = (np.float32(scale.reshape(()) / C_scale.reshape(())) for scale in (A_scale, B_scale))
    a_zero, b_zero, c_zero = (
        np.float32(0 if zero is None else zero.reshape(()))
        for zero in (A_zero_point, B_zero_point, C_zero_point)
    )
    c = c_zero - np.float32(np.float64(a) * np.float64(a_zero) + np.float64(b * b_zero))
    total = np.asarray(A.astype(np.float32) * a + (B.astype(np.float32) * b + c))
    return round_to(total, None, A.dtype)


def qlinear_mul(
    A: Array,
    A_scale: Array,
    A_zero_point: Array | None,
    B: Array,
    B_scale: Array,
    B_zero_point: Array | None,
    C_scale: Array,
    C_zero_point: Array | None = None,
) -> Array:
    """Product of two quantized tensors that broadcast; int8 or uint8 throughout (QLinearMul)."""
    product = dequantize_linear(A, A_scale, A_zero_point) * dequantize_linear(B, B_scale, B_zero_point)
    return _quantized(product, C_scale, C_zero_point, A.dtype)


def _by_table(
    function: Callable[[Array], Array],
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None,
) -> Array:
    """A function of each element, looked up among the 256 that there are."""
    every = np.arange(256, dtype=_UINT8).view(x.dtype)
    real = function(dequantize_linear(every, x_scale.reshape(()), x_zero_point))
    table = _quantized(real, y_scale, y_zero_point, x.dtype)
    return table[x.view(_UINT8)]


def qlinear_sigmoid(
    X: Array,
    X_scale: Array,
    X_zero_point: Array | None,
    Y_scale: Array,
    Y_zero_point: Array | None = None,
) -> Array:
    """Sigmoid of a quantized tensor, int8 or uint8 (QLinearSigmoid)."""
    return _by_table(sigmoid, X, X_scale, X_zero_point, Y_scale, Y_zero_point)


def qlinear_leaky_relu(
    X: Array,
    X_scale: Array,
    X_zero_point: Array | None,
    Y_scale: Array,
    Y_zero_point: Array | None = None,
    *,
    alpha: float = 0.01,
) -> Array:
    """LeakyRelu of a quantized tensor, int8 or uint8 (QLinearLeakyRelu)."""
    return _by_table(lambda x: leaky_relu(x, alpha=alpha), X, X_scale, X_zero_point, Y_scale, Y_zero_point)


def qlinear_softmax(
    X: Array,
    X_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None,
    *,
    axis: int = -1,
    opset: int,
) -> Array:
    """Softmax of a quantized tensor along ``axis``, before opset 13 over all axes from it on (QLinearSoftmax)."""
    x = dequantize_linear(X, X_scale.reshape(()), x_zero_point)
    if opset < 13 and x.size:
        x = x.reshape(math.prod(x.shape[: axis % x.ndim]), -1)
        axis = -1
    return _quantized(softmax(x, axis=axis), y_scale, y_zero_point, X.dtype).reshape(X.shape)


def qlinear_concat(Y_scale: Array, Y_zero_point: Array, *inputs: Array, axis: int) -> Array:
    """Tensors, each followed by its scale and zero point, joined along ``axis`` (QLinearConcat)."""
    parts = []
    for x, scale, zero_point in zip(inputs[::3], inputs[1::3], inputs[2::3]):
        same = scale == Y_scale and zero_point == Y_zero_point and x.dtype == Y_zero_point.dtype
        real = x if same else dequantize_linear(x, scale.reshape(()), zero_point)
        parts.append(x if same else _quantized(real, Y_scale, Y_zero_point, Y_zero_point.dtype))
    return np.concatenate(parts, axis)


def qlinear_average_pool(
    X: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    kernel_shape: Sequence[int],
    channels_last: int = 0,
    **geometry: Any,
) -> Array:
    """AveragePool of [N, C, ...], or [N, ..., C] with ``channels_last``; pads count as 0 (QLinearAveragePool)."""
    x = dequantize_linear(X, x_scale.reshape(()), x_zero_point)
    x = np.ascontiguousarray(np.moveaxis(x, -1, 1)) if channels_last else x
    y = _quantized(average_pool(x, kernel_shape=kernel_shape, **geometry), y_scale, y_zero_point, X.dtype)
    return np.moveaxis(y, 1, -1) if channels_last else y


def qlinear_global_average_pool(
    X: Array,
    x_scale: Array,
    x_zero_point: Array | None,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    channels_last: int = 0,
) -> Array:
    """Mean over the spatial axes of [N, C, ...], or [N, ..., C] with ``channels_last`` (QLinearGlobalAveragePool)."""
    axes = tuple(range(1, X.ndim - 1) if channels_last else range(2, X.ndim))
    x = dequantize_linear(X, x_scale.reshape(()), x_zero_point)
    return _quantized(np.mean(x, axes, keepdims=True), y_scale, y_zero_point, X.dtype)
