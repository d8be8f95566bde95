"""Element-wise operators: unary with a domain, binary with broadcasting, and the few that are neither."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import (
    EXACT,
    MOVEMENT,
    ROUNDED,
    Accumulation,
    Evidence,
    Exact,
    Tolerance,
    Ulps,
)
from orpheus_core.types import Array, DType

RANKS = (1, 2, 0, 3, 4, 5)
LIBM = Ulps(4.0, "vectorised libraries promise up to 4 ULP (SVML, SLEEF u35, CUDA's tables)")
_PAGE_SILENT = {"special": "the operator page does not say what NaN and infinities give"}


def _sum_magnitude(e: Evidence) -> Array:
    return np.asarray(np.abs(e.inputs[0]) + np.abs(e.inputs[1]))


def unary(
    op: str,
    tolerance: Tolerance,
    low: float | None = None,
    high: float | None = None,
    kind: str | None = None,
    **more: Any,
) -> None:
    """An operator of one tensor and no attributes; ``low`` and ``high`` bound where it is well conditioned."""

    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        dtype = d.dtype_of(0)
        return Layer((d.tensor(first(d), dtype, d.shape(first(d), RANKS), low=low, high=high, kind=kind),))


def first(d: Draw) -> str:
    """The formal name of the first input."""
    return d.spec.input_names[0]


def broadcast(d: Draw, name: str, others: int) -> list[tuple[int, ...]]:
    """A shape and others that broadcast to it. Often all its axes are equal, so that a wrong alignment fits too."""
    shape = d.shape(name, RANKS)
    channels = (True, True, False) if d.block > 1 else (False, False, False, True)
    if len(shape) > 1 and d.choose(channels):  # a value a channel, or one for each channel of each image
        small = (shape[1], *(1,) * (len(shape) - 2))
        return [shape, *((d.choose((1, shape[0])), *small) for _ in range(others))]
    if d.choose((False, True, True)) and len(shape) > 1:
        shape = (max(2, shape[0]),) * len(shape)
        form = d.choose(("shorter", "one", "shorter", "any"))
        places = [d.integer(1, len(shape) - 1) for _ in range(others)]
        if form == "shorter":  # and nothing of size one that would forgive
            return [shape, *(shape[n:] for n in places)]
        if form == "one":  # one axis of size one behind others, which repeats elements and not the whole
            return [shape, *((*shape[:n], 1, *shape[n + 1 :]) for n in places)]
    return [shape, *(d.broadcastable(shape) for _ in range(others))]


def pair(
    d: Draw,
    dtype: str,
    other: str | None = None,
    *,
    kind: str | None = None,
    second: dict[str, Any] | None = None,
) -> tuple[Operand, Operand]:
    """Two operands that broadcast against each other; ``second`` narrows the values of the second."""
    a, b = d.spec.input_names[:2]
    if d.single(a) or d.single(b):
        shape = d.shape(b if d.single(a) else a, RANKS)
        one = d.ones(len(shape))
        shapes = (one, shape) if d.single(a) else (shape, one)
    else:
        ranked = [name for name in (a, b) if d.ranked(name)]
        shape, other_shape = broadcast(d, ranked[0] if ranked else a, 1)
        narrow = d.choose((shape, other_shape, other_shape))
        swapped = ranked == [b] or (ranked != [a] and d.flag())
        shapes = (narrow, shape) if swapped else (shape, narrow)
    return (
        d.tensor(a, dtype, shapes[0], constant=None, kind=kind),
        d.tensor(b, other or dtype, shapes[1], constant=None, kind=kind, **(second or {})),
    )


def _binary(op: str, tolerance: Tolerance, kind: str | None = None, **more: Any) -> None:
    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        return Layer(pair(d, d.dtype_of(0), kind=kind))


for _op in ("Abs", "Ceil", "Floor", "Neg", "Relu"):
    unary(_op, EXACT, since=6)
for _op in ("Sign", "Not"):
    unary(_op, EXACT)
unary("BitwiseNot", EXACT, kind="full")
unary("IsNaN", EXACT, kind="special")
unary("Sqrt", ROUNDED, 0.0, since=6)
unary("Reciprocal", ROUNDED, 0.25, since=6)
unary("Exp", LIBM, -8.0, 8.0, since=6)
unary("Log", LIBM, 2.0, since=6)
unary("Tanh", LIBM, since=6)
for _op in ("Sin", "Cos", "Tan", "Asinh", "Atan", "Erf"):
    unary(_op, LIBM)
for _op in ("Sinh", "Cosh"):
    unary(_op, LIBM, -8.0, 8.0)
_EDGE = Ulps(
    8.0, "a few operations of the output's precision, whose condition is at most 2.3 within [-0.9, 0.9]"
)
for _op in ("Acos", "Asin", "Atanh"):
    unary(_op, _EDGE, -0.9, 0.9)
unary("Acosh", LIBM, 1.5)
for _op in ("And", "Or", "Xor", "Less", "Greater", "Equal"):
    _binary(_op, EXACT, since=7)
for _op in ("LessOrEqual", "GreaterOrEqual"):
    _binary(_op, EXACT)
for _op in ("BitwiseAnd", "BitwiseOr", "BitwiseXor"):
    _binary(_op, EXACT, kind="full")
for _op in ("Add", "Sub"):
    _binary(
        _op,
        Ulps(
            1.0,
            "one IEEE addition; relative to the operands, as the sum may cancel",
            exact_integers=True,
            magnitude=_sum_magnitude,
        ),
        since=7,
    )
_binary("Mul", ROUNDED, since=7)


def _divisor(d: Draw, dtype: str) -> dict[str, Any]:
    """An integer divisor is never zero; of a signed type either sign."""
    if DType(dtype).is_float:
        return {}
    if dtype.startswith("u") or d.flag():
        return {"low": 1, "high": 7}
    return {"low": -7, "high": -1}


@space("Div", Ulps(1.0, "one IEEE division"), since=7)
def div(d: Draw) -> Layer:
    """Integers: the quotient is truncated."""
    dtype = d.dtype("T")
    return Layer(pair(d, dtype, second=_divisor(d, dtype)))


@space("Mod", Exact(native=False), without=_PAGE_SILENT)
def mod(d: Draw) -> Layer:
    """The sign of the divisor (fmod 0, integers), or of the dividend (fmod 1)."""
    dtype = d.dtype("T")
    real = DType(dtype).is_float
    fmod = 1 if real else d.attribute("fmod", (0, 1, OMIT))
    bounds = {"low": 0.25} if real else _divisor(d, dtype)
    return Layer(pair(d, dtype, second=bounds), {"fmod": fmod})


@space("Pow", Ulps(4.0, "vectorised libraries promise up to 4 ULP for powers too"), since=12)
def power(d: Draw) -> Layer:
    """Base and exponent may differ in type; a negative base has an integer exponent."""
    a, b = d.spec.input_names
    base, exponent = d.dtype("T"), d.dtype("T1")
    shape = d.shape(a, RANKS)
    other = d.broadcastable(shape)
    whole = not DType(exponent).is_float
    if not DType(base).is_float:
        among = [t for t in d.dtypes("T1") if not DType(t).is_float]
        exponent, whole = d.dtype("T1", among), True
    x = d.tensor(a, base, shape, constant=None, low=None if whole else 0.25, high=None if whole else 4.0)
    y = d.tensor(b, exponent, other, constant=None, low=0 if whole else None, high=4 if whole else None)
    return Layer((x, y))


@space("BitShift", EXACT)
def bit_shift(d: Draw) -> Layer:
    """Shifts by less than the width: LEFT drops bits, RIGHT keeps a signed type's sign."""
    dtype = d.dtype("T")
    bits = DType(dtype).itemsize * 8
    operands = pair(d, dtype, kind="full", second={"low": 0, "high": bits - 1})
    return Layer(operands, {"direction": d.attribute("direction", ("LEFT", "RIGHT"))})


def _variadic(op: str, tolerance: Any, **more: Any) -> None:
    """One to four tensors that broadcast together."""

    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        dtype = d.dtype("T")
        shape = d.shape("data_0", RANKS)
        count = d.choose((2, 1, 3, 4))
        shapes = d.shuffled([shape, *(d.broadcastable(shape) for _ in range(count - 1))])
        return Layer(tuple(d.tensor("data_0", dtype, s, constant=None) for s in shapes))


def _count(case: Case) -> int:
    return len(case.inputs)


for _op in ("Max", "Min"):
    _variadic(_op, EXACT, since=8)
_variadic("Sum", Accumulation(_count), since=8)
_variadic("Mean", Accumulation(_count, exact=False), since=8)


@space("Where", MOVEMENT)
def where(d: Draw) -> Layer:
    """Condition, X and Y broadcast together."""
    dtype = d.dtype("T")
    others = d.shuffled(broadcast(d, "X", 2))
    return Layer(
        (
            d.tensor("condition", "bool", others[0], constant=None),
            d.tensor("X", dtype, others[1], constant=None),
            d.tensor("Y", dtype, others[2], constant=None),
        )
    )


@space("Round", EXACT)
def round_(d: Draw) -> Layer:
    """Halves go to the even neighbour."""
    kind = d.choose((d.kind, "halves")) if d.kind != "special" else d.kind
    return Layer((d.tensor("X", d.dtype("T"), d.shape("X", RANKS), kind=kind),))


@space("Clip", EXACT, since=11)
def clip(d: Draw) -> Layer:
    """Bounds are scalars, each optional."""
    dtype = d.dtype("T")
    least = 0 if dtype.startswith("u") else -2
    low = d.data("min", dtype, d.choose((least, 0, 1))) if d.present("min") else None
    high = d.data("max", dtype, d.choose((1, 2, 3))) if d.present("max") else None
    return Layer((d.tensor("input", dtype, d.shape("input", RANKS)), low, high))


@space("IsInf", EXACT)
def is_inf(d: Draw) -> Layer:
    """Either sign may be left out."""
    x = d.tensor("X", d.dtype("T1"), d.shape("X", RANKS), kind="special")
    names = ("detect_negative", "detect_positive")
    return Layer((x,), {n: d.attribute(n, (OMIT, 0, 1)) for n in names})
