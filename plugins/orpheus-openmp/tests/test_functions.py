"""Elementary functions over the whole range of floats, against float64: native/math.hpp says how far they are off."""

from __future__ import annotations

import math

import numpy as np
import pytest

Unary = pytest.importorskip("orpheus_openmp.elementwise", reason="orpheus-openmp is not installed").Unary

TINY = float(np.finfo(np.float32).tiny)


def gelu(x):
    return 0.5 * x * math.erfc(-x * math.sqrt(0.5))


def softplus(x):
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


def elu(x):
    return x if x > 0 else math.expm1(x)


#: Operator -> attributes, float64, from where to where, and units in the last place that the result may be off.
FUNCTIONS = {
    "Exp": ({}, math.exp, -87.0, 88.5, 1.5),
    "Sigmoid": ({}, lambda x: 1 / (1 + math.exp(-x)), -80.0, math.inf, 3.0),
    "Tanh": ({}, math.tanh, -math.inf, math.inf, 2.0),
    "Log": ({}, math.log, 0.0, math.inf, 1.0),
    "Erf": ({}, math.erf, -math.inf, math.inf, 1.5),
    "Softplus": ({}, softplus, -87.0, math.inf, 2.0),
    "Elu": ({"alpha": 1.0}, elu, -math.inf, math.inf, 2.0),
    "Celu": ({"alpha": 1.0}, elu, -math.inf, math.inf, 2.0),
    "Selu": ({"alpha": 1.0, "gamma": 2.0}, lambda x: 2 * elu(x), -math.inf, 1e38, 2.0),
    # exp(-x^2 / 2) feels the rounding of x^2 where there is no fused multiplication.
    "Gelu": ({"approximate": "none"}, gelu, -12.0, math.inf, lambda x: 8 + x * x / 2 * (x < 0)),
}
#: What is left of the limits that the operators' formulas have at NaN and infinities.
EDGES = {
    "Exp": (math.nan, math.inf, 0.0), "Sigmoid": (math.nan, 1.0, 0.0), "Tanh": (math.nan, 1.0, -1.0),
    "Log": (math.nan, math.inf, math.nan), "Erf": (math.nan, 1.0, -1.0), "Softplus": (math.nan, math.inf, 0.0),
    "Elu": (math.nan, math.inf, -1.0), "Celu": (math.nan, math.inf, -1.0), "Selu": (math.nan, math.inf, -2.0),
    "Gelu": (math.nan, math.inf, math.nan),
}  # fmt: skip


def floats(low, high):
    """Floats of every size, denormal ones too, and many around one."""
    bits = np.arange(0, 0x7F800000, 49_999, dtype=np.uint32).view(np.float32)
    near = np.linspace(-16, 16, 20_011, dtype=np.float32)
    found = np.concatenate([bits, -bits, near])
    return found[(found >= low) & (found <= high)]


def run(layers, op, x, attributes):
    (y,) = layers.run(Unary, layers.problem(op, [x], [x.shape], attributes), [x])
    return y


@pytest.mark.parametrize("op", FUNCTIONS)
def test_errors_stay_below_the_stated_units_in_the_last_place(layers, op):
    attributes, function, low, high, units = FUNCTIONS[op]
    x = floats(low, high)
    if op == "Log":
        x = x[x > 0]
    wide = x.astype(np.float64)
    right = np.array([function(v) for v in wide.tolist()])
    unit = np.spacing(np.maximum(np.abs(right), TINY).astype(np.float32)).astype(np.float64)
    allowed = units(wide) if callable(units) else units
    off = np.abs(run(layers, op, x, attributes).astype(np.float64) - right) / unit - allowed
    worst = int(off.argmax())
    assert off[worst] <= 0, f"{op}({x[worst]!r}) is off by {off[worst]} units more than stated"


@pytest.mark.parametrize("op", EDGES)
def test_nan_and_infinities(layers, op):
    x = np.array([math.nan, math.inf, -math.inf], np.float32)
    np.testing.assert_array_equal(run(layers, op, x, FUNCTIONS[op][0]), np.array(EDGES[op], np.float32))


def test_the_logarithm_of_zero_and_of_negative_numbers(layers):
    x = np.array([0.0, -0.0, -1.0, -1e-42], np.float32)
    np.testing.assert_array_equal(run(layers, "Log", x, {}), np.float32([-np.inf, -np.inf, np.nan, np.nan]))
