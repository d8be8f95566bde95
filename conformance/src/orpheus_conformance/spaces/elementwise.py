"""Element-wise operators: unary with a domain, binary with broadcasting."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.draw import Draw
from orpheus_conformance.space import Layer, space
from orpheus_conformance.tolerance import EXACT, MOVEMENT, ROUNDED, Evidence, Tolerance, Ulps
from orpheus_core.types import Array

_RANKS = (1, 2, 0, 3, 4, 5)
_LIBM = Ulps(4.0, "vectorised libraries promise up to 4 ULP (SVML, SLEEF u35, CUDA's tables)")


def _sum_magnitude(e: Evidence) -> Array:
    return np.asarray(np.abs(e.inputs[0]) + np.abs(e.inputs[1]))


def _unary(op: str, tolerance: Tolerance, low: float | None = None, high: float | None = None, **more: Any) -> None:
    """An operator of one tensor and no attributes; ``low`` and ``high`` bound where it is defined and well conditioned."""

    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        dtype = d.dtype("T")
        return Layer((d.tensor("X", dtype, d.shape(_first(d), _RANKS), low=low, high=high),))


def _first(d: Draw) -> str:
    return d.spec.input_names[0]


def _binary(op: str, tolerance: Tolerance, **more: Any) -> None:
    """An operator of two tensors that broadcast against each other."""

    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        first, second = d.spec.input_names[:2]
        dtype = d.dtype("T")
        shape = d.shape(first, _RANKS)
        other = d.choose((shape, d.broadcastable(shape)))
        operands = [d.tensor(first, dtype, shape, constant=None), d.tensor(second, dtype, other, constant=None)]
        if d.flag():
            operands = [d.tensor(first, dtype, other, constant=None), d.tensor(second, dtype, shape, constant=None)]
        return Layer(tuple(operands))


for _op in ("Abs", "Ceil", "Floor", "Neg", "Round", "Sign", "Not", "BitwiseNot"):
    _unary(_op, EXACT, since=6)
_unary("Relu", EXACT, since=6)
_unary("Identity", MOVEMENT)
_unary("Sqrt", ROUNDED, 0.0, since=6)
_unary("Reciprocal", ROUNDED, 0.25, since=6)
_unary("Exp", _LIBM, -8.0, 8.0, since=6)
_unary("Log", _LIBM, 2.0, since=6)
_unary("Tanh", _LIBM, since=6)
_unary("Sigmoid", Ulps(8.0, "an exponential, a sum and a quotient, each in the output's precision"), since=6)
_unary("Acos", Ulps(8.0, "the slope is at most 2.3 within [-0.9, 0.9]"), -0.9, 0.9)
for _op in ("And", "Or", "Xor", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Less", "Greater", "Equal"):
    _binary(_op, EXACT, since=7)
for _op in ("Add", "Sub"):
    _binary(_op, Ulps(1.0, "one IEEE addition; relative to the operands, as the sum may cancel", exact_integers=True,
                      magnitude=_sum_magnitude), since=7)
_binary("Mul", ROUNDED, since=7)
