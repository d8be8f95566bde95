"""Elementwise operators as expressions of OpenCL C that hold for floats and for vectors of them alike.

Comparisons keep a NaN, as ONNX's activations do; ``max`` and ``min`` of OpenCL need not.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def _above(x: str, least: str) -> str:
    return f"({x} < {least} ? {least} : {x})"


def _below(x: str, most: str) -> str:
    return f"({x} > {most} ? {most} : {x})"


def _unit(x: str) -> str:
    return _below(_above(f"({x})", "0.0f"), "1.0f")


#: Of one operand x, and its parameters p0 and p1 in the order of ops.activations.
UNARY = {
    "Relu": _above("x", "0.0f"),
    "Clip": _below(_above("x", "p0"), "p1"),
    "LeakyRelu": "(x < 0.0f ? x * p0 : x)",
    "Sigmoid": "1.0f / (1.0f + exp(-x))",
    "Tanh": "(fabs(x) > 10.0f ? sign(x) : tanh(x))",  # PoCL's tanh ends below 1
    "HardSigmoid": _unit("x * p0 + p1"),
    "HardSwish": f"x * {_unit('x * (1.0f / 6.0f) + 0.5f')}",
    "Swish": "x / (1.0f + exp(-x * p0))",
    "Elu": "(x < 0.0f ? p0 * expm1(x) : x)",
    "Celu": "(x < 0.0f ? p0 * expm1(x / p0) : x)",
    "Selu": "p1 * (x > 0.0f ? x : p0 * expm1(x))",
    "Softsign": "x / (1.0f + fabs(x))",
    "ThresholdedRelu": "(x > p0 ? x : x * 0.0f)",
    "Exp": "exp(x)",
    "Abs": "fabs(x)",
    "Neg": "-x",
    "Sqrt": "sqrt(x)",
    "Reciprocal": "1.0f / x",
    "Log": "log(x)",
    "Floor": "floor(x)",
    "Ceil": "ceil(x)",
}
#: f(0) is 0 and not -0, so that the padding of a blocked layout stays zero.
KEEPS_ZERO = (
    "Relu", "LeakyRelu", "Tanh", "HardSwish", "Swish", "Elu", "Celu", "Selu", "Softsign", "ThresholdedRelu", "Abs",
    "Sqrt", "Floor", "Ceil",
)  # fmt: skip
EXACT = ("Relu", "Clip", "Abs", "Neg", "Floor", "Ceil")
#: Of two operands a and b.
BINARY = {"Add": "a + b", "Sub": "a - b", "Mul": "a * b", "Div": "a / b", "PRelu": "(a < 0.0f ? a * b : a)"}


def unary(op: str) -> str:
    """The expression of x, p0 and p1."""
    return f"({UNARY[op]})"


def act(name: str) -> str:
    """The definition that makes ACT the activation of a fused operator; nothing when it has none."""
    return f"#define ACT(x) {unary(name)}" if name else ""


def pair(parameters: Sequence[float]) -> tuple[np.float32, np.float32]:
    """p0 and p1, zero where an operator has fewer: they come with a launch, so that programs are few."""
    first, second = (*parameters, 0.0, 0.0)[:2]
    return np.float32(first), np.float32(second)
