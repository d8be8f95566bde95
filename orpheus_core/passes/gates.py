"""Activations of the form ``coefficient * x * gate(x)``: Swish, HardSwish, Gelu, Mish."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from orpheus_core.graph import Node, Value
from orpheus_core.ops.activations import activation_of
from orpheus_core.passes.match import is_op
from orpheus_core.passes.product import (
    constant_operand,
    is_near,
    multiple_of,
    other_operand,
    power_of,
    product_of,
)
from orpheus_core.passes.rewriting import Context

#: An activation, its parameters, and its operand.
Found: TypeAlias = tuple[str, tuple[float, ...], Value]
# An activation, its parameters, and the coefficient that the product must have.
_Gated: TypeAlias = tuple[str, tuple[float, ...], float]


def bounds_of(node: Node) -> tuple[Value, float, float] | None:
    """``x`` and the bounds of a Relu, Clip, or Min or Max with a number."""
    if is_op(node, "Relu", "Clip"):
        found, x = activation_of(node), node.input(0)
        if found is None or x is None:
            return None
        low, high = found[1] or (0.0, math.inf)
        return x, low, high
    operand = constant_operand(node) if is_op(node, "Min", "Max") else None
    if operand is None or math.isnan(operand[1]):
        return None
    x, number = operand
    return (x, -math.inf, number) if node.op == "Min" else (x, number, math.inf)


def clip_gate(value: Value, ctx: Context) -> tuple[Value, float, float] | None:
    """x, height and offset of ``Clip(x + offset, 0, height)``."""
    clip = ctx.producer(value)
    bounds = bounds_of(clip) if clip is not None and ctx.uses(value) == 1 else None
    if clip is None or bounds is None or bounds[1] != 0 or not 0 < bounds[2] < math.inf:
        return None
    add = ctx.producer(bounds[0])
    operand = constant_operand(add) if add is not None and is_op(add, "Add") else None
    if operand is None or ctx.sole_consumer(bounds[0]) is not clip:
        return None
    return operand[0], bounds[2], operand[1]


def gated(node: Node, ctx: Context) -> Found | None:
    """Activations of the form coefficient * x * gate(x), and x / (1 + exp(-x))."""
    product = product_of(node, ctx)
    if len(product.over) == 1 and len(product.under) == 1:
        x = product.over[0]
        alpha = _logistic_denominator(x, product.under[0], ctx)
        return None if alpha is None or product.coefficient != 1 else ("Swish", (alpha,), x)
    if len(product.over) != 2 or product.under:
        return None
    for x, gate_value in (product.over, product.over[::-1]):
        gate = ctx.producer(gate_value)
        if gate is None or gate.domain or ctx.uses(gate_value) != 1:
            continue
        found = _GATES[gate.op](x, gate, ctx) if gate.op in _GATES else None
        if found is not None and is_near(product.coefficient, found[2], x):
            return found[0], found[1], x
    return None


def _logistic_denominator(x: Value, value: Value, ctx: Context) -> float | None:
    """The alpha for which ``value`` is 1 + exp(-alpha * x)."""
    add = ctx.producer(value)
    operand = constant_operand(add) if add is not None and is_op(add, "Add") else None
    if operand is None or operand[1] != 1 or ctx.uses(value) != 1:
        return None
    exp = ctx.producer(operand[0])
    if exp is None or not is_op(exp, "Exp") or ctx.sole_consumer(operand[0]) is not add:
        return None
    factor = multiple_of(x, exp.input(0), exp, ctx)
    return None if factor is None else -factor


def _sigmoid_gate(x: Value, gate: Node, ctx: Context) -> _Gated | None:
    alpha = multiple_of(x, gate.input(0), gate, ctx)
    return None if alpha is None else ("Swish", (alpha,), 1.0)


def _hard_gate(x: Value, gate: Node, ctx: Context) -> _Gated | None:
    alpha, beta = gate.attributes["alpha"], gate.attributes["beta"]
    assert isinstance(alpha, float) and isinstance(beta, float)
    # The attribute is a float32 whatever the element type is.
    is_hard = gate.input(0) is x and abs(alpha - 1 / 6) < 1e-7 and beta == 0.5
    return ("HardSwish", (), 1.0) if is_hard else None


def _clipgated(x: Value, gate: Node, ctx: Context) -> _Gated | None:
    found = clip_gate(gate.results[0], ctx)
    return ("HardSwish", (), 1 / 6) if found is not None and found == (x, 6, 3) else None


def _tanh_gate(x: Value, gate: Node, ctx: Context) -> _Gated | None:
    inner = ctx.producer(gate.input(0))
    if inner is None or not is_op(inner, "Softplus") or ctx.sole_consumer(inner.results[0]) is not gate:
        return None
    return ("Mish", (), 1.0) if inner.input(0) is x else None


def _one_plus_gate(x: Value, gate: Node, ctx: Context) -> _Gated | None:
    """1 + erf(x / sqrt 2), or 1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))."""
    operand = constant_operand(gate)
    inner = ctx.producer(operand[0]) if operand is not None and operand[1] == 1 else None
    if inner is None or ctx.sole_consumer(inner.results[0]) is not gate:
        return None
    if is_op(inner, "Erf"):
        factor = multiple_of(x, inner.input(0), inner, ctx)
        return ("Gelu", (0.0,), 0.5) if is_near(factor, math.sqrt(0.5), x) else None
    if is_op(inner, "Tanh") and _is_gelu_cubic(x, inner, ctx):
        return "Gelu", (1.0,), 0.5
    return None


def _is_gelu_cubic(x: Value, tanh: Node, ctx: Context) -> bool:
    """Whether tanh's input is sqrt(2 / pi) * (x + 0.044715 x^3), or ... * x * (1 + 0.044715 x^2)."""
    maker = ctx.producer(tanh.input(0))
    if maker is None or not is_op(maker, "Mul", "Div") or ctx.sole_consumer(maker.results[0]) is not tanh:
        return False
    product = product_of(maker, ctx)
    if product.under or not is_near(product.coefficient, math.sqrt(2 / math.pi), x):
        return False
    powers = [power_of(x, value, ctx) for value in product.over]
    if len(powers) == 1:
        cubic, degree = ctx.producer(product.over[0]), 3
        term = None if cubic is None or not is_op(cubic, "Add") else other_operand(cubic, x)
    elif len(powers) == 2 and 1 in powers:
        cubic, degree = ctx.producer(product.over[1 - powers.index(1)]), 2
        operand = constant_operand(cubic) if cubic is not None and is_op(cubic, "Add") else None
        term = operand[0] if operand is not None and operand[1] == 1 else None
    else:
        return False
    scaled = ctx.producer(term)
    if scaled is None or not is_op(scaled, "Mul", "Div"):
        return False
    inner = product_of(scaled, ctx)
    degrees = [power_of(x, value, ctx) for value in inner.over]
    total = sum(d for d in degrees if d is not None)
    return (
        not inner.under
        and None not in degrees
        and total == degree
        and is_near(inner.coefficient, 0.044715, x)
    )


_GATES: dict[str, Callable[[Value, Node, Context], _Gated | None]] = {
    "Sigmoid": _sigmoid_gate,
    "HardSigmoid": _hard_gate,
    "Clip": _clipgated,
    "Tanh": _tanh_gate,
    "Add": _one_plus_gate,
}
