"""Elementwise operators as expressions of OpenCL C that hold for floats and for vectors of them alike.

``max`` and ``min`` keep a NaN in their first argument, as ONNX's activations do.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isinf

from orpheus_core.ops.activations import ACTIVATIONS

#: Of one operand x, and its parameters in the order of ops.activations.
UNARY = {
    "Relu": "max(x, 0.0f)",
    "Clip": "min(max(x, {0}), {1})",
    "LeakyRelu": "(x < 0.0f ? x * {0} : x)",
    "Sigmoid": "1.0f / (1.0f + exp(-x))",
    "Tanh": "tanh(x)",
    "HardSigmoid": "min(max(x * {0} + {1}, 0.0f), 1.0f)",
    "HardSwish": "x * min(max(x * (1.0f / 6.0f) + 0.5f, 0.0f), 1.0f)",
    "Swish": "x / (1.0f + exp(-x * {0}))",
    "Elu": "(x < 0.0f ? {0} * expm1(x) : x)",
    "Celu": "(x < 0.0f ? {0} * expm1(x / {0}) : x)",
    "Selu": "{1} * (x > 0.0f ? x : {0} * expm1(x))",
    "Softsign": "x / (1.0f + fabs(x))",
    "ThresholdedRelu": "(x > {0} ? x : x * 0.0f)",
    "Exp": "exp(x)",
    "Abs": "fabs(x)",
    "Neg": "-x",
    "Sqrt": "sqrt(x)",
    "Reciprocal": "1.0f / x",
    "Log": "log(x)",
    "Floor": "floor(x)",
    "Ceil": "ceil(x)",
}
#: f(0) is 0, so that the padding of a blocked layout stays zero.
KEEPS_ZERO = (
    "Relu", "LeakyRelu", "Tanh", "HardSwish", "Swish", "Elu", "Celu", "Selu", "Softsign", "ThresholdedRelu", "Abs",
    "Neg", "Sqrt", "Floor", "Ceil",
)  # fmt: skip
EXACT = ("Relu", "Clip", "Abs", "Neg", "Floor", "Ceil")
#: Of two operands a and b.
BINARY = {"Add": "a + b", "Sub": "a - b", "Mul": "a * b", "Div": "a / b", "PRelu": "(a < 0.0f ? a * b : a)"}


def number(value: float) -> str:
    """A float32 literal."""
    if isinf(value):
        return "INFINITY" if value > 0 else "(-INFINITY)"
    return f"({float(value).hex()}f)"


def unary(op: str, parameters: Sequence[float] = ()) -> str:
    """The expression of x."""
    return f"({UNARY[op].format(*map(number, parameters))})"


def act(name: str, parameters: Sequence[float]) -> str:
    """The definition that makes ACT the activation of a fused operator; nothing when it has none."""
    if not name:
        return ""
    if len(parameters) != len(ACTIVATIONS[name]):
        raise ValueError(f"{name} takes {ACTIVATIONS[name]}, given {tuple(parameters)}")
    return f"#define ACT(x) {unary(name, parameters)}"
