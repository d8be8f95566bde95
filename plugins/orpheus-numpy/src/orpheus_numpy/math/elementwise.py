"""Element-wise operators that numpy's ufuncs do not give as they are.

All broadcast as numpy does and fill ``out[0]`` when it is given. Integers wrap; low-precision floats are rounded
once. Most operators need no code here: the manifest names numpy's ufunc itself.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver, widen

#: The array to fill, or None, in a tuple; numpy's stubs know no such tuple, though its ufuncs take it.
Out: TypeAlias = Any


def relu(x: Array, *, out: Out = (None,)) -> Array:
    """max(x, 0); NaN stays (ONNX Relu)."""
    return np.maximum(x, 0, out=out)


def divide(a: Array, b: Array, *, out: Out = (None,)) -> Array:
    """``a`` / b; integers round toward zero, and x / 0 is 0 for them (ONNX Div)."""
    if a.dtype.kind not in "iu":
        return np.divide(a, b, out=out)
    # What is left of a after its remainder divides without rounding, so the floor is the truncation.
    quotient: Array = np.floor_divide(a - np.fmod(a, b), b, out=out)
    return quotient


def mod(a: Array, b: Array, *, fmod: int = 0, out: Out = (None,)) -> Array:
    """Remainder with the sign of b, or with ``fmod`` that of a; integers modulo 0 give 0 (ONNX Mod)."""
    return (np.fmod if fmod else np.remainder)(a, b, out=out)


def power(x: Array, y: Array, *, out: Out = (None,)) -> Array:
    """``x`` ** y in the type of x, whatever the type of y (ONNX Pow).

    Integer powers of integers are exact modulo 2**64; 0 to a negative integer power is 0.
    """
    if x.dtype == y.dtype and x.dtype.kind not in "iu":
        return np.power(x, y, out=out)
    if x.dtype.kind in "iu" and y.dtype.kind in "iu":
        return deliver(_integer_power(x, y), x.dtype, out[0])
    exponent = y if y.dtype.kind in "iu" else widen(y)
    return deliver(np.power(widen(x), exponent, dtype=np.float64), x.dtype, out[0])


def _integer_power(x: Array, y: Array) -> Array:
    negative = y < 0
    magnitude = np.where(negative, 0, y).astype(np.uint64)
    result = np.power(x.astype(np.uint64), magnitude).astype(x.dtype)
    if negative.any():
        # 1 / x**|y| truncates to 0 unless x is 1 or -1.
        sign = np.where((y & 1).astype(bool), x, x * x)
        result = np.where(negative, np.where((x == 1) | (x == -1), sign, 0), result)
    return np.asarray(result)


def maximum(*inputs: Array, out: Out = (None,)) -> Array:
    """Element-wise maximum of any number of inputs; NaN wins (ONNX Max)."""
    return _fold(np.maximum, inputs, out)


def minimum(*inputs: Array, out: Out = (None,)) -> Array:
    """Element-wise minimum of any number of inputs; NaN wins (ONNX Min)."""
    return _fold(np.minimum, inputs, out)


def add_all(*inputs: Array, out: Out = (None,)) -> Array:
    """Element-wise sum of any number of inputs (ONNX Sum)."""
    if len(inputs) == 2:
        return np.add(*inputs, out=out)
    return deliver(_fold(np.add, tuple(map(widen, inputs))), inputs[0].dtype, out[0])


def mean(*inputs: Array, out: Out = (None,)) -> Array:
    """Element-wise mean of any number of inputs (ONNX Mean)."""
    total = _fold(np.add, tuple(map(widen, inputs)))
    return deliver(total / len(inputs), inputs[0].dtype, out[0])


def _fold(ufunc: Any, inputs: tuple[Array, ...], out: Out = (None,)) -> Array:
    if len(inputs) == 1:
        return deliver(inputs[0].copy() if out[0] is None else inputs[0], inputs[0].dtype, out[0])
    total = inputs[0]
    # Only the last step writes to out: it may share memory with an input that is read until then.
    for x in inputs[1:-1]:
        total = ufunc(total, x)
    result: Array = ufunc(total, inputs[-1], out=out)
    return result


def is_inf(x: Array, *, detect_negative: int = 1, detect_positive: int = 1, out: Out = (None,)) -> Array:
    """Where x is infinite with a sign that is asked for; bool, shape of x (ONNX IsInf)."""
    if detect_negative and detect_positive:
        return np.isinf(x, out=out)
    if not (detect_negative or detect_positive):
        return deliver(np.zeros(x.shape, np.bool_), np.dtype(np.bool_), out[0])
    negative = np.signbit(x.astype(np.float32) if x.dtype.itemsize < 4 else x)
    signed: Array = np.logical_and(np.isinf(x), negative if detect_negative else ~negative, out=out)
    return signed


def bit_shift(x: Array, y: Array, *, direction: str, out: Out = (None,)) -> Array:
    """``x`` shifted by y bits; arithmetic to the right for signed types; integers of one type (ONNX BitShift)."""
    return (np.left_shift if direction == "LEFT" else np.right_shift)(x, y, out=out)


def where(condition: Array, x: Array, y: Array, *, out: Out = (None,)) -> Array:
    """``x`` where the condition holds, else y; any type, strings too (ONNX Where)."""
    z: Array | None = out[0]
    if z is None:
        return np.where(condition, x, y)
    np.copyto(z, y)
    np.copyto(z, x, where=condition)
    return z


def identity(x: Any, *, out: Out = (None,)) -> Any:
    """The input: a copy of a tensor; a sequence or an optional itself, as those are never changed (ONNX Identity)."""
    z = out[0]
    if z is not None:
        np.copyto(z, x)
        return z
    return x.copy() if isinstance(x, np.ndarray) else x
