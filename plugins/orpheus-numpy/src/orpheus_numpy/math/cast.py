"""Cast, CastLike and BitCast between all ONNX element types (tables of rules: ONNX Cast, opset 28)."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array, DType
from orpheus_numpy.math.elementwise import Out
from orpheus_numpy.nn.precision import deliver

_FLOAT8 = frozenset(
    np.dtype(t)
    for t in (
        ml_dtypes.float8_e4m3fn,
        ml_dtypes.float8_e4m3fnuz,
        ml_dtypes.float8_e5m2,
        ml_dtypes.float8_e5m2fnuz,
    )
)
_E5M2 = np.dtype(ml_dtypes.float8_e5m2)
_E8M0 = np.dtype(ml_dtypes.float8_e8m0fnu)
_STRING = np.dtype(object)
_FINFO: Any = ml_dtypes.finfo  # untyped
_MAX_EXPONENT = 127


def cast(
    input: Array,
    *,
    to: int,
    saturate: int = 1,
    round_mode: str = "up",
    out: Out = (None,),
) -> Array:
    """``input`` as the element type that ``to`` numbers; strings are object arrays of str (ONNX Cast)."""
    return deliver(*_converted(input, DType.from_onnx(to).numpy, saturate, round_mode), out[0])


def cast_like(
    input: Array,
    target_type: Array,
    *,
    saturate: int = 1,
    round_mode: str = "up",
    out: Out = (None,),
) -> Array:
    """``input`` as the element type of ``target_type`` (ONNX CastLike)."""
    dtype = DType.from_numpy(target_type.dtype).numpy
    return deliver(*_converted(input, dtype, saturate, round_mode), out[0])


def bit_cast(input: Array, *, to: int) -> Array:
    """The same bits read as another type of the same width; a view (ONNX BitCast).

    Raises ModelError when the widths differ.
    """
    dtype = DType.from_onnx(to).numpy
    if input.dtype.itemsize != dtype.itemsize:
        raise ModelError(f"BitCast from {input.dtype} to {dtype} changes the width; use Cast")
    return input.view(dtype)


def _converted(x: Array, dtype: np.dtype[Any], saturate: int, round_mode: str) -> tuple[Array, np.dtype[Any]]:
    return convert(x, dtype, saturate=bool(saturate), round_mode=round_mode), dtype


def convert(x: Array, dtype: np.dtype[Any], *, saturate: bool = True, round_mode: str = "up") -> Array:
    """A new array with the values of ``x`` as ``dtype``, by the rules of ONNX Cast.

    Floats are rounded once, half to even. Too large integers keep their low bits; a float that an integer
    type cannot hold gives any value. ``saturate`` concerns float8, ``round_mode`` float8_e8m0 alone.
    Raises ModelError for a string that is no number.
    """
    if x.dtype.kind in "OUST":
        return x.astype(object) if dtype == _STRING else convert(_parsed(x, dtype), dtype, saturate=saturate)
    if dtype == _STRING:
        return _printed(x)
    if dtype == x.dtype:
        return x.copy()
    if dtype == _E8M0:
        return _to_e8m0(x.astype(np.float64), saturate, round_mode)
    if x.dtype.isbuiltin != 1 and dtype.isbuiltin != 1:
        # ml_dtypes cannot cast between all of its types; int8 and float32 hold each of them.
        x = x.astype(np.int8 if is_integer(x.dtype) else np.float32)
    if dtype.isbuiltin != 1 and not is_integer(dtype):
        # ml_dtypes goes through float16 to float8_e5m2, and through float32 to the others.
        x = _to_odd(x, np.float16 if dtype == _E5M2 else np.float32)
    y = x.astype(dtype)
    if saturate and dtype in _FLOAT8:
        limit = _FINFO(dtype).max
        over = ~np.isfinite(y) & ~np.isnan(x)
        y = np.where(over, np.where(x > 0, limit, -limit), y).astype(dtype)
    return y


def is_integer(dtype: np.dtype[Any]) -> bool:
    """Whether the type is an integer type, sub-byte types included."""
    return dtype.kind in "iu" or "int" in dtype.name


def _to_odd(x: Array, dtype: type[np.floating[Any]]) -> Array:
    """``x`` as ``dtype``, inexact values rounded to an odd last bit, so that rounding again is as rounding once."""
    if x.dtype.kind == "b" or x.dtype.itemsize < np.dtype(dtype).itemsize or x.dtype == dtype:
        return x
    wide = x.astype(np.float64)
    y = wide.astype(dtype)
    inexact = (y != wide) & ~np.isnan(wide)
    bits = y.view(np.uint16 if y.itemsize == 2 else np.uint32)
    # Bits of finite numbers are ordered by magnitude: one less is the next toward zero.
    toward_zero = bits - (inexact & (np.abs(y) > np.abs(wide)))
    return np.asarray(toward_zero | inexact, bits.dtype).view(dtype)


def _to_e8m0(x: Array, saturate: bool, round_mode: str) -> Array:
    """Powers of two; 0 goes to the least when it saturates, negative numbers and NaN to NaN."""
    fraction, exponent = np.frexp(x)  # x = fraction 2**exponent, fraction from 0.5 to below 1
    if round_mode == "up":
        exponent = exponent - (fraction <= 0.5)
    elif round_mode == "down":
        exponent = exponent - 1
    else:
        exponent = exponent - (fraction < 0.75)
    exponent = np.where(x == 0, -_MAX_EXPONENT - 1, np.where(np.isinf(x), _MAX_EXPONENT + 1, exponent))
    bad = np.isnan(x) | (x < 0)
    if saturate:
        exponent = np.clip(exponent, -_MAX_EXPONENT, _MAX_EXPONENT)
    else:
        bad |= np.abs(exponent) > _MAX_EXPONENT
    return np.where(bad, 255, exponent + _MAX_EXPONENT).astype(np.uint8).view(_E8M0)


def _parsed(x: Array, dtype: np.dtype[Any]) -> Array:
    """Strings as numbers: integers exactly when they are written so, the rest through float64."""
    integral = is_integer(dtype)
    flat = [_number(str(text), integral) for text in x.ravel()]
    if integral:
        # Python integers of any size, reduced to 64 bits as a cast would.
        values = np.array([int(v) & (2**64 - 1) for v in flat], np.uint64).astype(np.int64)
    else:
        values = np.array(flat, np.float64)
    return values.reshape(x.shape)


def _number(text: str, integral: bool) -> int | float:
    if integral:
        try:
            return int(text)
        except ValueError:
            pass
    try:
        value = float(text)
        return int(value) if integral else value
    except (ValueError, OverflowError):
        wanted = "an integer" if integral else "a number"
        raise ModelError(f"Cast: the string {text!r} is not {wanted}") from None


def _printed(x: Array) -> Array:
    """Shortest text that reads back as the same number."""
    if x.dtype.isbuiltin != 1:
        x = x.astype(np.int8 if is_integer(x.dtype) else np.float32)
    y = np.empty(x.shape, object)
    y.ravel()[:] = [str(v) for v in x.ravel()]
    return y
