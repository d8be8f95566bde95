"""A product as its factors, whatever the order and grouping it was written in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.passes.match import dtype_of, is_op, rank_of, uniform_of
from orpheus_core.passes.rewriting import Context


@dataclass
class Product:
    """``coefficient`` times the values ``over``, divided by the values ``under``."""

    coefficient: float = 1.0
    over: list[Value] = field(default_factory=list)
    under: list[Value] = field(default_factory=list)


def product_of(node: Node, ctx: Context) -> Product:
    """The factors of a Mul, Div, Neg or Reciprocal; the parts of the product that others read too stay whole."""
    product = Product()
    _collect(node, ctx, product, under=False)
    return product


def _collect(node: Node, ctx: Context, product: Product, *, under: bool) -> None:
    if is_op(node, "Neg"):
        product.coefficient = -product.coefficient
    sides = (True,) if is_op(node, "Reciprocal") else (False, True) if is_op(node, "Div") else (False, False)
    for value, flipped in zip(node.inputs, sides):
        if value is None:
            continue
        below = under != flipped
        number = number_of(value, node.results[0])
        maker = ctx.producer(value)
        if number is not None and not (below and number == 0):
            product.coefficient = product.coefficient / number if below else product.coefficient * number
        elif is_op(maker, "Mul", "Div", "Neg", "Reciprocal") and ctx.sole_consumer(value) is node:
            assert maker is not None
            _collect(maker, ctx, product, under=below)
        else:
            (product.under if below else product.over).append(value)


def number_of(value: Value | None, like: Value) -> float | None:
    """The one number a floating-point constant holds, if broadcasting it leaves the shape of ``like`` alone."""
    dtype = dtype_of(value)
    if value is None or value.const is None or value.const.size != 1 or dtype is None or not dtype.is_float:
        return None
    if value.const.ndim and value.const.ndim > (rank_of(like) or 0):
        return None
    return float(np.asarray(value.const).reshape(()).astype(np.float64))


def is_near(number: float | None, target: float, like: Value | None) -> bool:
    """Whether a constant is ``target`` but for rounding to the element type of ``like``."""
    dtype = dtype_of(like)
    if number is None or dtype is None or not dtype.is_float:
        return False
    # Four units in the last place: constants such as 1/6 are often written with seven digits.
    return abs(number - target) <= 4 * _epsilon(dtype.value) * abs(target)


def is_single(attribute: float, like: Value | None) -> bool:
    """Whether a number survives as an ONNX float attribute in a computation on ``like``'s type."""
    dtype = dtype_of(like)
    if dtype is None or not dtype.is_float:
        return False
    return dtype.itemsize < 8 or float(np.float32(attribute)) == attribute


def other_operand(node: Node, value: Value | None) -> Value | None:
    """The operand of a two-operand node that is not ``value``, or None when it is not an operand or is both."""
    if len(node.inputs) != 2 or value is None or value not in node.inputs:
        return None
    left, right = node.inputs
    if left is right:
        return None
    return right if left is value else left


def constant_operand(node: Node) -> tuple[Value, float] | None:
    """The variable operand of a commutative node and the number that is the other, or None."""
    if len(node.inputs) != 2:
        return None
    left, right = node.inputs
    if left is None or right is None:
        return None
    for x, constant in ((left, right), (right, left)):
        number = number_of(constant, x)
        if number is not None and x.const is None:
            return x, number
    return None


def _epsilon(name: str) -> float:
    return {"float64": 2.0**-52, "float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}.get(name, 0.0)


def multiple_of(x: Value, value: Value | None, reader: Node, ctx: Context) -> float | None:
    """The number c when ``value`` is c * x (c may be 1) and only ``reader`` reads the product."""
    if value is x:
        return 1.0
    maker = ctx.producer(value)
    if value is None or maker is None or not is_op(maker, "Mul", "Div", "Neg"):
        return None
    if ctx.sole_consumer(value) is not reader:
        return None
    product = product_of(maker, ctx)
    return product.coefficient if product.over == [x] and not product.under else None


def power_of(x: Value, value: Value, ctx: Context) -> int | None:
    """The number n when ``value`` is x to the power n, written with Pow or Mul."""
    if value is x:
        return 1
    maker = ctx.producer(value)
    if maker is None or not is_op(maker, "Pow", "Mul"):
        return None
    if is_op(maker, "Pow"):
        exponent = uniform_of(maker.input(1))
        is_integer = maker.input(0) is x and exponent in (2, 3) and maker.inputs[1] is not None
        return int(exponent) if is_integer and _is_scalar(maker.inputs[1], x) else None
    degrees = [power_of(x, v, ctx) for v in maker.inputs if v is not None]
    return None if None in degrees else sum(d for d in degrees if d is not None)


def _is_scalar(value: Value | None, x: Value) -> bool:
    rank, own = rank_of(x), None if value is None or value.const is None else value.const
    return own is not None and own.size == 1 and (own.ndim == 0 or (rank is not None and own.ndim <= rank))
