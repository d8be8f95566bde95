"""Recognize activations that were exported in parts: Relu, Clip, LeakyRelu, Swish, HardSwish, Gelu, Mish and more."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops.activations import activation_node
from orpheus_core.passes.gates import Found, bounds_of, clip_gate, gated
from orpheus_core.passes.match import dtype_of, is_op, rank_of, uniform_of
from orpheus_core.passes.product import (
    constant_operand,
    is_near,
    is_single,
    multiple_of,
    number_of,
    product_of,
)
from orpheus_core.passes.rewriting import Context, Replacement, rewrite


def run(graph: Graph) -> Graph:
    """Replace the parts by the operator; see the module."""
    return rewrite(graph, _rule, starts=frozenset(_MATCHERS))


def _rule(node: Node, ctx: Context) -> Replacement | None:
    result = node.outputs[0] if node.outputs else None
    dtype = dtype_of(result)
    if node.domain or result is None or dtype is None or not dtype.is_float:
        return None
    for match in _MATCHERS.get(node.op, ()):
        found = match(node, ctx)
        if found is not None:
            name, parameters, x = found
            if dtype_of(x) is dtype and all(math.isinf(p) or is_single(p, x) for p in parameters):
                made = activation_node(name, parameters, x, result)
                # Clip's bounds are constants, whose names must be unique.
                bounds = [_unique(v, ctx) for v in made.inputs[1:]]
                return Replacement([made.replace(inputs=(x, *bounds), name=node.name)])
    return None


def _unique(value: Value | None, ctx: Context) -> Value | None:
    const = None if value is None else value.const
    return None if value is None or const is None else ctx.new_constant(value.name, const)


def _clip(node: Node, ctx: Context) -> Found | None:
    """Nested Relu, Clip, Min and Max are one Clip; Clip(0, infinity) is Relu."""
    outer = bounds_of(node)
    if outer is None:
        return None
    x, low, high = outer
    maker = ctx.producer(x)
    inner = bounds_of(maker) if maker is not None and ctx.sole_consumer(x) is node else None
    if inner is not None and inner[1] <= inner[2] and low <= high:
        x = inner[0]
        low, high = (min(max(bound, low), high) for bound in inner[1:])
    name, parameters = ("Relu", ()) if (low, high) == (0, math.inf) else ("Clip", (low, high))
    if inner is None and node.op == name:
        return None
    # An infinite bound on the wrong side has no form as parameters.
    return None if low == math.inf or high == -math.inf or low > high else (name, parameters, x)


def _hard_sigmoid(node: Node, ctx: Context) -> Found | None:
    """Clip(x + b, 0, c) / c, and Clip(x * a + b, 0, 1)."""
    if is_op(node, "Clip"):
        bounds = bounds_of(node)
        inner = None if bounds is None else _line(bounds[0], node, ctx)
        if bounds is None or inner is None or bounds[1:] != (0, 1):
            return None
        slope, offset, x = inner
        return "HardSigmoid", (slope, offset), x
    product = product_of(node, ctx)
    if len(product.over) != 1 or product.under:
        return None
    gate = clip_gate(product.over[0], ctx)
    if gate is None or not is_near(product.coefficient, 1 / gate[1], gate[0]):
        return None
    x, height, offset = gate
    return "HardSigmoid", (product.coefficient, offset / height), x


def _line(value: Value, reader: Node, ctx: Context) -> tuple[float, float, Value] | None:
    """Slope, offset and x of ``x * a + b`` that only ``reader`` reads."""
    add = ctx.producer(value)
    operand = constant_operand(add) if add is not None and is_op(add, "Add") else None
    if add is None or operand is None or ctx.sole_consumer(value) is not reader:
        return None
    scaled, offset = operand
    mul = ctx.producer(scaled)
    if mul is None or not is_op(mul, "Mul", "Div") or ctx.sole_consumer(scaled) is not add:
        return None
    product = product_of(mul, ctx)
    if len(product.over) != 1 or product.under:
        return None
    return product.coefficient, offset, product.over[0]


def _leaky_max(node: Node, ctx: Context) -> Found | None:
    """Max(x, a * x) with 0 < a <= 1."""
    if len(node.inputs) != 2:
        return None
    left, right = node.inputs
    for x, scaled in ((left, right), (right, left)):
        if x is not None and x.const is None and x is not scaled:
            slope = multiple_of(x, scaled, node, ctx)
            if slope is not None and 0 < slope <= 1:
                return "LeakyRelu", (slope,), x
    return None


def _leaky_where(node: Node, ctx: Context) -> Found | None:
    """Where(x > 0, x, a * x), and with >=, and turned round."""
    condition, positive, negative = node.inputs
    test = ctx.producer(condition)
    if test is None or positive is None or negative is None:
        return None
    if is_op(test, "Less", "LessOrEqual"):
        positive, negative = negative, positive
    elif not is_op(test, "Greater", "GreaterOrEqual"):
        return None
    x, zero = test.inputs
    if x is not positive or x is None or x is negative or number_of(zero, x) != 0:
        return None
    slope = multiple_of(x, negative, node, ctx)
    return None if slope is None else ("LeakyRelu", (slope,), x)


def _parametric(node: Node, ctx: Context) -> Found | None:
    """PRelu whose slope is the same everywhere."""
    x, slope = node.input(0), node.input(1)
    number = uniform_of(slope)
    rank = rank_of(x)
    if x is None or slope is None or slope.const is None or number is None or not np.isfinite(float(number)):
        return None
    return ("LeakyRelu", (float(number),), x) if rank is not None and slope.const.ndim <= rank else None


def _soft_plus(node: Node, ctx: Context) -> Found | None:
    """Log(1 + Exp(x))."""
    add = ctx.producer(node.input(0))
    operand = constant_operand(add) if add is not None and is_op(add, "Add") else None
    if add is None or operand is None or operand[1] != 1 or ctx.sole_consumer(add.results[0]) is not node:
        return None
    exp = ctx.producer(operand[0])
    x = None if exp is None else exp.input(0)
    if exp is None or x is None or not is_op(exp, "Exp") or ctx.sole_consumer(operand[0]) is not add:
        return None
    return "Softplus", (), x


_MATCHERS: dict[str, tuple[Callable[[Node, Context], Found | None], ...]] = {
    "Relu": (_clip,),
    "Clip": (_clip, _hard_sigmoid),
    "Min": (_clip,),
    "Max": (_clip, _leaky_max),
    "Mul": (gated, _hard_sigmoid),
    "Div": (gated, _hard_sigmoid),
    "Where": (_leaky_where,),
    "PRelu": (_parametric,),
    "Log": (_soft_plus,),
}
