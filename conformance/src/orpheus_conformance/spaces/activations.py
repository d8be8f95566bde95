"""Activations: element-wise ones, and the softmax family along an axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned
from orpheus_conformance.draw import DIMS, FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.elementwise import RANKS, broadcast, first, unary
from orpheus_conformance.tolerance import EXACT, ROUNDED, Evidence, Ulps
from orpheus_core.types import Array


def _activation(op: str, tolerance: Any, parameters: dict[str, tuple[Any, ...]], **more: Any) -> None:
    """An activation of one tensor; ``parameters`` are its attributes and values to try beside the default."""

    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        x = d.tensor(first(d), d.dtype_of(0), d.shape(first(d), RANKS))
        return Layer((x,), {n: d.attribute(n, (OMIT, *values)) for n, values in parameters.items()})


def _below_zero(scale: Callable[[Any], float]) -> Callable[[Evidence], Array]:
    """exp(x) - 1 loses its leading digits next to zero: the error is that of the exponential."""
    return lambda e: np.where(e.inputs[0] < 0, abs(scale(e.attributes)), 0.0)


def _times_input(factor: float = 1.0) -> Callable[[Evidence], Array]:
    """The factor that x is multiplied by may have cancelled from terms up to ``factor``."""
    return lambda e: np.asarray(np.abs(e.inputs[0]) * factor)


def _line(e: Evidence) -> Array:
    at = e.attributes
    return np.asarray(np.abs(at["alpha"] * e.inputs[0]) + abs(at["beta"]))


_EXPONENTIAL = "an exponential of 4 ULP, a subtraction and a product"
_activation(
    "Elu",
    Ulps(6.0, _EXPONENTIAL, magnitude=_below_zero(lambda a: a["alpha"])),
    {"alpha": (0.5, 2.0)},
    since=6,
)
_activation("Celu", Ulps(8.0, _EXPONENTIAL + ", and a quotient whose error the exponential multiplies by |x / alpha|",
                         magnitude=_below_zero(lambda a: a["alpha"] * 2)), {"alpha": (0.5, 2.0)})  # fmt: skip
_activation("Selu", Ulps(8.0, _EXPONENTIAL + " more", magnitude=_below_zero(lambda a: a["gamma"] * a["alpha"])),
            {"alpha": (1.0,), "gamma": (2.0,)}, since=6)  # fmt: skip
_activation("Gelu", Ulps(12.0, "erf or tanh of 4 ULP and up to seven operations; 1 + erf cancels below zero",
                         half=2.0, magnitude=_times_input()), {"approximate": ("none", "tanh")})  # fmt: skip
_activation(
    "HardSigmoid",
    Ulps(2.0, "a product and a sum", magnitude=_line),
    {"alpha": (0.5,), "beta": (0.25,)},
    since=6,
)
_activation(
    "HardSwish",
    Ulps(4.0, "a quotient, a sum and a product; x / 6 + 1/2 cancels near -3", magnitude=_times_input()),
    {},
)
_activation("LeakyRelu", ROUNDED, {"alpha": (0.125, 2.0)}, since=6)
_activation("Mish", Ulps(16.0, "an exponential, a logarithm and a tanh; log(1 + exp) loses digits below zero",
                         half=2.0, magnitude=_times_input()), {})  # fmt: skip
_activation("Shrink", Ulps(1.0, "one sum, which may cancel",
                           magnitude=lambda e: np.abs(e.inputs[0]) + abs(e.attributes["bias"])),
            {"bias": (1.0, 0.0), "lambd": (1.0, 2.0)})  # fmt: skip
_SIGMOID = "an exponential, a sum and a quotient, each in the output's precision"
unary("Sigmoid", Ulps(8.0, _SIGMOID), since=6)

_activation("Softplus", Ulps(8.0, "log(1 + exp(x)), whose sum is at least 1", magnitude=lambda e: 1.0), {})
_activation("Softsign", Ulps(2.0, "a sum and a quotient"), {})
_activation(
    "Swish", Ulps(16.0, _SIGMOID + "; the exponent's rounding counts |alpha x| times"), {"alpha": (0.5, 2.0)}
)
_activation("ThresholdedRelu", EXACT, {"alpha": (0.5, 0.0, -1.0)})


@space("SwiGLU", Ulps(18.0, "Swish and a product"))
def swiglu(d: Draw) -> Layer:
    """Swish(A) B, of one shape."""
    dtype, shape = d.dtype("T"), d.shape("A", RANKS)
    operands = (d.tensor("A", dtype, shape), d.tensor("B", dtype, shape))
    return Layer(operands, {"alpha": d.attribute("alpha", (OMIT, 0.5))})


@space("PRelu", ROUNDED, since=7)
def prelu(d: Draw) -> Layer:
    """The slope broadcasts to X."""
    dtype = d.dtype("T")
    if d.single("slope"):
        shape = d.shape("X", RANKS)
        slope = d.ones(len(shape))
    else:
        shape, slope = broadcast(d, "X", 1)
        slope = d.choose((slope, slope, shape))
    return Layer((d.tensor("X", dtype, shape), d.tensor("slope", dtype, slope, constant=None)))


def _length(case: Case) -> int:
    x = case.inputs[0]
    assert isinstance(x, Operand)
    return math.prod(x.shape) if case.version < 13 else max((1, *x.shape))


def _logits(e: Evidence) -> Array:
    """X - max - log(sum): the largest term."""
    x = np.abs(np.nan_to_num(e.inputs[0], nan=0.0, posinf=0.0, neginf=0.0))
    return np.asarray(x + (x.max() if x.size else 0.0) + math.log(max(1, x.size)) + 1)


def _along(op: str, tolerance: Any, **more: Any) -> None:
    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        # An axis of no elements has no maximum.
        shape = list(d.shape("input", (2, 1, 3, 4), DIMS))
        axis = d.attribute("axis", [OMIT, *(a for n in range(len(shape)) for a in (n, n - len(shape)))])
        if d.version < 13 or d.flag():
            shape = [s or 1 for s in shape]
        along = d.spec.defaults["axis"] if axis is OMIT else axis
        if d.version < 13 and along >= len(shape):
            axis = 0
        else:
            shape[along] = shape[along] or d.choose(FULL_DIMS)
        return Layer((d.tensor("input", d.dtype("T"), shape),), {"axis": axis})


_along("Softmax", Conditioned(_length, "differences, exponentials, their sum and a quotient"))
_along("LogSoftmax", Conditioned(_length, "differences, exponentials, a logarithm", magnitude=_logits))
_along("Hardmax", EXACT, without={"special": "the operator page does not say where the maximum is among NaN"})
