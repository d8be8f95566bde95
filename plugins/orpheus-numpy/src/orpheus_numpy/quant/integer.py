"""Products of quantized integers: exact, though computed by float matrix products, which numpy does far faster.

Every product and partial sum is an integer; as long as none exceeds 2**24 (float32) or 2**53 (float64), no operation
rounds, whatever the order of the sum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.math.cast import is_integer
from orpheus_numpy.nn.conv import conv
from orpheus_numpy.quant.linear import integer_range, round_to

Ints = Sequence[int]


def exact_dtype(a: np.dtype[Any], b: np.dtype[Any], terms: int) -> np.dtype[Any]:
    """The narrowest float type in which a sum of ``terms`` products of zero-point-shifted a and b is exact.

    For float8 operands, float32: their products are exact, their sums rounded.
    """
    if not (is_integer(a) and is_integer(b)):
        return np.dtype(np.float32)
    span = [high - low for low, high in map(integer_range, (a, b))]
    return np.dtype(np.float32 if terms * span[0] * span[1] < 2**24 else np.float64)


def shifted(x: Array, zero_point: Array | None, dtype: np.dtype[Any]) -> Array:
    """``x`` - zero_point as ``dtype``."""
    y = x.astype(dtype)
    if zero_point is not None:
        np.subtract(y, zero_point.astype(dtype), y)
    return y


def to_int32(total: Array) -> Array:
    """Exact float totals as int32; what does not fit wraps."""
    return np.asarray(total).astype(np.int64).astype(np.int32)


def per_row(parameter: Array) -> Array:
    """A zero point or scale of a matrix's rows so that it broadcasts: [M] becomes [M, 1]."""
    if parameter.size == 1:
        return parameter.reshape(())
    return parameter.reshape(-1, 1) if parameter.ndim == 1 else parameter


def per_column(parameter: Array) -> Array:
    """A zero point or scale of a matrix's columns so that it broadcasts."""
    return parameter.reshape(()) if parameter.size == 1 else parameter


def matmul(a: Array, b: Array, a_zero_point: Array | None, b_zero_point: Array | None) -> Array:
    """Exact product of zero-point-shifted integers [..., M, K] and [..., K, N], as float32 or float64."""
    dtype = exact_dtype(a.dtype, b.dtype, a.shape[-1])
    rows = None if a_zero_point is None else per_row(a_zero_point)
    columns = None if b_zero_point is None else per_column(b_zero_point)
    return np.asarray(np.matmul(shifted(a, rows, dtype), shifted(b, columns, dtype)))


def matmul_integer(
    A: Array, B: Array, a_zero_point: Array | None = None, b_zero_point: Array | None = None
) -> Array:
    """(A - a_zero_point) @ (B - b_zero_point) as int32; zero points also per row or column (MatMulInteger)."""
    return to_int32(matmul(A, B, a_zero_point, b_zero_point))


def requantize(total: Array, multiplier: Array, zero_point: Array, bias: Array | None = None) -> Array:
    """``total`` (exact) plus an integer bias, times a float32 multiplier, rounded to the type of ``zero_point``.

    The product is taken in float32, as integer kernels do.
    """
    if bias is not None:
        total = total + bias
    return round_to(np.asarray(total.astype(np.float32) * multiplier), zero_point, zero_point.dtype)


def _multiplier(a_scale: Array, b_scale: Array, y_scale: Array) -> Array:
    wide = np.float32
    return np.asarray(a_scale.astype(wide) * b_scale.astype(wide) / y_scale.astype(wide))


def qlinear_matmul(
    a: Array,
    a_scale: Array,
    a_zero_point: Array,
    b: Array,
    b_scale: Array,
    b_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
) -> Array:
    """Quantized matrix product; scales per tensor, row of a and y, or column of b (ONNX QLinearMatMul)."""
    total = matmul(a, b, a_zero_point, b_zero_point)
    multiplier = _multiplier(per_row(a_scale), per_column(b_scale), per_row(y_scale))
    return requantize(total, multiplier, per_row(y_zero_point))


def _conv(
    x: Array, w: Array, x_zero_point: Array | None, w_zero_point: Array | None, attributes: dict[str, Any]
) -> Array:
    dtype = exact_dtype(x.dtype, w.dtype, math.prod(w.shape[1:]))
    if x_zero_point is not None:
        x_zero_point = x_zero_point.reshape(())
    if w_zero_point is not None:
        w_zero_point = per_filter(w_zero_point, w.ndim)
    # Pads hold the zero point of x, so they are 0 once it is subtracted.
    return conv(shifted(x, x_zero_point, dtype), shifted(w, w_zero_point, dtype), **attributes)


def per_filter(parameter: Array, rank: int) -> Array:
    """A value per output channel, [M] or a scalar, so that it broadcasts to weights [M, C, ...] of ``rank``."""
    return parameter.reshape(()) if parameter.size == 1 else parameter.reshape(-1, *(1,) * (rank - 1))


def per_channel(parameter: Array, rank: int) -> Array:
    """A value per channel, [C] or a scalar, so that it broadcasts to a tensor [N, C, ...] of ``rank``."""
    return parameter.reshape(()) if parameter.size == 1 else parameter.reshape(-1, *(1,) * (rank - 2))


def conv_integer(
    x: Array,
    w: Array,
    x_zero_point: Array | None = None,
    w_zero_point: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """Integer convolution of x [N, C, ...] and w [M, C / group, ...]; w_zero_point may be [M] (ConvInteger)."""
    attributes = {"auto_pad": auto_pad, "dilations": dilations, "group": group,
                  "kernel_shape": kernel_shape, "pads": pads, "strides": strides}  # fmt: skip
    return to_int32(_conv(x, w, x_zero_point, w_zero_point, attributes))


def qlinear_conv(
    x: Array,
    x_scale: Array,
    x_zero_point: Array,
    w: Array,
    w_scale: Array,
    w_zero_point: Array,
    y_scale: Array,
    y_zero_point: Array,
    B: Array | None = None,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:
    """Quantized convolution; B [M] is int32 of scale x_scale * w_scale; w_scale may be [M] (ONNX QLinearConv)."""
    attributes = {"auto_pad": auto_pad, "dilations": dilations, "group": group,
                  "kernel_shape": kernel_shape, "pads": pads, "strides": strides}  # fmt: skip
    total = _conv(x, w, x_zero_point, w_zero_point, attributes)
    multiplier = per_channel(_multiplier(x_scale.reshape(()), w_scale, y_scale.reshape(())), x.ndim)
    bias = None if B is None else per_channel(B, x.ndim)
    return requantize(total, multiplier, y_zero_point.reshape(()), bias)
