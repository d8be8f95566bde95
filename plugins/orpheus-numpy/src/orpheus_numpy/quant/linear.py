"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear, and the rounding that all quantized operators share.

real = (quantized - zero_point) * scale. Quantizing rounds half to even and saturates. A scale is a scalar (per tensor),
has one entry per index of ``axis`` (per axis), or has the rank of the tensor and is repeated ``block_size`` times
along ``axis`` (blocked).
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array, DType
from orpheus_numpy.math.cast import convert, is_integer
from orpheus_numpy.nn.precision import deliver

_FLOAT32 = np.dtype(np.float32)
_IINFO: Any = ml_dtypes.iinfo  # untyped
_E8M0 = np.dtype(ml_dtypes.float8_e8m0fnu)


def integer_range(dtype: np.dtype[Any]) -> tuple[int, int]:
    """Least and greatest value of an integer type, sub-byte types included."""
    info = _IINFO(dtype)
    return int(info.min), int(info.max)


def round_to(value: Array, zero_point: Array | None, dtype: np.dtype[Any], saturate: bool = True) -> Array:
    """``value`` (real / scale, a float array that is overwritten when it is float32 or wider) as quantized ``dtype``.

    ``zero_point`` must broadcast to it.
    """
    if value.dtype.itemsize < 4:
        if is_integer(dtype):
            value = np.asarray(np.rint(value))
        value = value.astype(
            _FLOAT32
        )  # holds every integer that the narrow type rounds to, plus a zero point
    if not is_integer(dtype):
        if zero_point is not None:
            value = value + zero_point.astype(value.dtype)
        return convert(value, dtype, saturate=saturate)
    np.rint(value, value)
    if zero_point is not None:
        np.add(value, zero_point.astype(value.dtype), value)
    low, high = integer_range(dtype)
    np.maximum(value, low, out=value)
    np.minimum(value, high, out=value)
    # A cast to a sub-byte type is exact only by way of int8.
    return value.astype(dtype if dtype.kind in "iu" else np.int8).astype(dtype, copy=False)


def _spread(parameter: Array, shape: tuple[int, ...], axis: int, block_size: int) -> Array:
    """A scale or zero point so that it broadcasts to a tensor of ``shape``."""
    if parameter.size == 1 and parameter.ndim <= 1:
        return parameter.reshape(())
    rank = len(shape)
    if not -rank <= axis < rank:
        raise ModelError(f"quantization axis {axis} is not an axis of a tensor of shape {shape}")
    axis %= rank
    if parameter.ndim == 1 and not block_size:
        return parameter.reshape([-1 if i == axis else 1 for i in range(rank)])
    # Without a block size the number of blocks tells it.
    block = block_size or -(-shape[axis] // max(parameter.shape[axis], 1))
    spread = np.repeat(parameter, block, axis)
    return spread[tuple(slice(0, n) for n in shape)]


def quantize_linear(
    x: Array,
    y_scale: Array,
    y_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
    precision: int = 0,
    saturate: int = 1,
) -> Array:
    """``x`` / y_scale + y_zero_point in the zero point's type, ``output_dtype``, or uint8 (ONNX QuantizeLinear).

    The division is done in ``precision``, or the type of the scale (float32 for float8_e8m0 and int32 scales).
    """
    dtype = np.dtype(np.uint8)
    if y_zero_point is not None:
        dtype = y_zero_point.dtype
        y_zero_point = _spread(y_zero_point, x.shape, axis, block_size)
    elif output_dtype:
        dtype = DType.from_onnx(output_dtype).numpy
    inner = DType.from_onnx(precision).numpy if precision else y_scale.dtype
    if inner == _E8M0 or inner.kind == "i":
        inner = np.dtype(np.float64 if inner.kind == "i" else _FLOAT32)
    scale = _spread(y_scale, x.shape, axis, block_size).astype(inner)
    ratio = np.asarray(np.divide(x.astype(inner, copy=False), scale))
    return round_to(ratio, y_zero_point, dtype, bool(saturate))


def dequantize_linear(
    x: Array,
    x_scale: Array,
    x_zero_point: Array | None = None,
    *,
    axis: int = 1,
    block_size: int = 0,
    output_dtype: int = 0,
) -> Array:
    """(x - x_zero_point) * x_scale, multiplied in ``output_dtype`` or the scale's type (ONNX DequantizeLinear)."""
    dtype = DType.from_onnx(output_dtype).numpy if output_dtype else x_scale.dtype
    wide = np.dtype(np.float64 if x.dtype.itemsize == 4 else np.float32)  # holds every difference exactly
    y = x.astype(wide)
    if x_zero_point is not None:
        np.subtract(y, _spread(x_zero_point, x.shape, axis, block_size).astype(wide), y)
    scale = _spread(x_scale, x.shape, axis, block_size).astype(_FLOAT32)
    if dtype == _FLOAT32:
        y = y.astype(_FLOAT32, copy=False)
        np.multiply(y, scale, y)
        return y
    return deliver(y * scale, dtype)


def dynamic_quantize_linear(x: Array) -> tuple[Array, Array, Array]:
    """float32 x as uint8 with a scale and zero point that cover its range and 0 (ONNX DynamicQuantizeLinear)."""
    low = np.minimum.reduce(x, None, initial=_FLOAT32.type(0))
    high = np.maximum.reduce(x, None, initial=_FLOAT32.type(0))
    scale = _FLOAT32.type((high - low) / _FLOAT32.type(255))
    if scale == 0:  # x is empty or all zeros
        scale = _FLOAT32.type(1)
    zero_point = np.asarray(np.clip(np.rint(-low / scale), 0, 255), np.uint8)
    return (
        round_to(np.asarray(np.divide(x, scale)), zero_point, np.dtype(np.uint8)),
        np.asarray(scale),
        zero_point,
    )
