"""Arrays from (element type, shape, kind, seed).

Kinds: ``small`` integers of few bits, which sums and products keep exact; ``normal``, the standard normal
distribution; ``positive``, what follows a ReLU (half zeros); ``special``, normal with NaN, infinities, signed zeros
and denormals strewn in; ``units``, 1 and -1 with NaN, infinities and signed zeros strewn in, whose products
are the same in any order; ``halves``, whole numbers and a half; ``far``, values far from zero and near each other, and
integers of half the type's bits, whose products still fit; ``full``, an integer type's whole range. A float operand's
``low`` and ``high`` bound the finite values.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import CaseError, Dictionary, Input, Maybe, Operand, Sequence
from orpheus_conformance.tolerance import finfo
from orpheus_core.types import Array, DType

KINDS = ("small", "normal", "positive", "far", "halves", "special", "units", "full")
_WORDS = ("", "a", "B", "abc", "A b", "naïve", "日本", "0", " x ", "abc")
_SMALL = 3
_FAR = 1000.0
#: Special values that are no small numbers.
_NO_SIZE = (np.nan, np.inf, -np.inf, 0.0, -0.0)


def value_of(operand: Input, seed: int, index: int = 0) -> Any:
    """The array, list or dictionary of input ``index``; CaseError where the operand makes no sense."""
    if operand is None:
        return None
    if isinstance(operand, Maybe):
        return value_of(operand.held, seed, index)
    if isinstance(operand, Sequence):
        return [array_of(part, seed, index * 101 + n) for n, part in enumerate(operand.elements)]
    if isinstance(operand, Dictionary):
        return dict(operand.items)
    return array_of(operand, seed, index)


def array_of(operand: Operand, seed: int, index: int = 0) -> Array:
    """The array of one operand."""
    return np.asarray(_array(operand, seed, index))


def _array(operand: Operand, seed: int, index: int) -> Any:
    dtype = dtype_of(operand.dtype)
    if operand.data is not None:
        if len(operand.data) != math.prod(operand.shape):
            raise CaseError(f"{len(operand.data)} elements of data do not fill shape {list(operand.shape)}")
        flat = np.empty(len(operand.data), dtype)
        for n, value in enumerate(operand.data):
            flat[n] = value
        return flat.reshape(operand.shape)
    if operand.kind not in KINDS:
        raise CaseError(f"no kind of values is called {operand.kind!r}; there are {', '.join(KINDS)}")
    rng = np.random.default_rng((seed, index))
    if dtype.kind == "O":
        return np.asarray(rng.choice(np.array(_WORDS, object), operand.shape), object).reshape(operand.shape)
    if operand.dtype == "bool":
        return rng.random(operand.shape) < 0.5
    if operand.dtype.startswith("complex"):
        parts = [_floats(operand, rng) for _ in range(2)]
        pairs: Array = np.empty(operand.shape, np.complex128)
        pairs.real, pairs.imag = parts
        return pairs.astype(dtype)
    if DType(operand.dtype).is_float:
        with np.errstate(all="ignore"):
            return _floats(operand, rng).astype(dtype)
    return _integers(operand, rng).astype(dtype)


def dtype_of(name: str) -> np.dtype[Any]:
    """The numpy dtype of an ONNX element type; CaseError when there is none of that name."""
    try:
        return DType(name).numpy
    except ValueError:
        raise CaseError(f"{name!r} is not an element type") from None


def _integers(operand: Operand, rng: np.random.Generator) -> Array:
    least, most = int_range(operand.dtype)
    if operand.kind == "far":
        half = 2 ** max(0, most.bit_length() // 2 - 1)
        least, most = max(least, -half), half
    elif operand.kind != "full":
        least, most = max(least, -_SMALL), min(most, _SMALL + (_SMALL if least >= 0 else 0))
    whole = int_range(operand.dtype)
    if operand.low is not None:
        least = max(whole[0], math.ceil(operand.low))
    if operand.high is not None:
        most = min(whole[1], math.floor(operand.high))
    wide = np.uint64 if most >= 2**63 else np.int64
    return np.asarray(rng.integers(least, max(least, most), operand.shape, dtype=wide, endpoint=True))


def int_range(dtype: str) -> tuple[int, int]:
    """Least and greatest value of an integer type."""
    bits = int("".join(c for c in dtype if c.isdigit()))
    return (0, 2**bits - 1) if dtype.startswith("u") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def _floats(operand: Operand, rng: np.random.Generator) -> Array:
    shape, kind = operand.shape, operand.kind
    low = -math.inf if operand.low is None else operand.low
    high = math.inf if operand.high is None else operand.high
    if kind == "small":
        found = rng.integers(-_SMALL, _SMALL + 1, shape).astype(np.float64)
    else:
        found = np.asarray(rng.standard_normal(shape))
    if kind == "positive":
        found = np.maximum(found, 0)
    if kind == "units":
        found = np.copysign(1.0, found)
    if kind == "halves":
        found = np.rint(found * 4) / 2
    if kind == "far":
        found = found + _distance(operand.dtype) * rng.choice((1.0, -1.0))
    found = _into(found, low, high, whole=kind == "small")
    if kind in ("special", "units") and operand.special:
        strange = _strange(operand.dtype) if kind == "special" else np.array(_NO_SIZE)
        found = np.where(rng.random(shape) < 0.3, rng.choice(strange, shape), found)
    return np.asarray(found)


def _distance(dtype: str) -> float:
    """How far kind ``far`` is from zero: where float32's rounding shows, and narrow types still tell values apart."""
    wide = dtype.startswith("complex") or finfo(dtype).nmant > 16
    return _FAR if wide else min(16.0, float(finfo(dtype).max) / 4)


def _into(x: Array, low: float, high: float, *, whole: bool) -> Array:
    """Values folded into [low, high]; whole numbers stay whole where the interval has any."""
    if low == -math.inf and high == math.inf:
        return x
    if low == -math.inf:
        return high - np.abs(x)
    if high == math.inf:
        return low + np.abs(x)
    if whole and math.floor(high) >= math.ceil(low):
        first = math.ceil(low)
        return first + np.mod(x, math.floor(high) - first + 1)
    return low + (high - low) / (1 + np.exp(-x))


def _strange(dtype: str) -> Array:
    info = finfo("float32" if dtype.startswith("complex") else dtype)
    tiny = float(info.tiny)
    denormal = float(info.smallest_subnormal)
    return np.array([*_NO_SIZE, denormal, -denormal, tiny / 2, tiny])
