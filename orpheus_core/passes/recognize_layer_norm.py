"""Recognize layer and RMS normalization that was exported in parts, with the scale and bias that follow.

The parts are means over the last axes, in any of the usual orders: a division by the deviation or a product
with its reciprocal, squares by Pow or Mul, the centred input computed once or twice. Not for float64,
because LayerNormalization computes its statistics in float32.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops import make_node
from orpheus_core.passes.match import dtype_of, ints_of, is_op, rank_of, shape_of, uniform_of
from orpheus_core.passes.product import constant_operand, product_of
from orpheus_core.passes.rewriting import Context, Replacement, rewrite
from orpheus_core.types import Array, DType

_DTYPES = (DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16)
_NORMS = ("LayerNormalization", "RMSNormalization")

_STARTS = frozenset(("Mul", "Div", "Add"))


def run(graph: Graph) -> Graph:
    """Replace the parts by the operator; see the module."""
    return rewrite(graph, _rule, starts=_STARTS)


def _rule(node: Node, ctx: Context) -> Replacement | None:
    if not is_op(node, "Mul", "Div", "Add") or dtype_of(node.outputs[0]) not in _DTYPES:
        return None
    return _absorb(node, ctx) if node.op == "Add" else _absorb(node, ctx) or _normalize(node, ctx)


@dataclass
class _Match:
    """What the parts compute, and the nodes they consist of."""

    x: Value
    axis: int
    epsilon: float
    centred: bool
    nodes: list[Node]


def _normalize(node: Node, ctx: Context) -> Replacement | None:
    """(x - mean) / sqrt(variance + epsilon), or x / sqrt(mean square + epsilon), times a constant."""
    product = product_of(node, ctx)
    gammas = [v for v in product.over if v.const is not None]
    factors = [v for v in product.over if v.const is None]
    if len(gammas) > 1 or product.coefficient != 1:
        return None
    found = None
    if len(factors) == 1 and len(product.under) == 1:
        found = _parts(factors[0], product.under[0], False, ctx)
    elif len(factors) == 2 and not product.under:
        found = _parts(factors[0], factors[1], True, ctx) or _parts(factors[1], factors[0], True, ctx)
    if found is None or not _is_enclosed(found.nodes, node, ctx):
        return None
    scale = _normalized_constant(gammas[0].const if gammas else None, found.x, found.axis)
    if scale is None:
        return None
    op = "LayerNormalization" if found.centred else "RMSNormalization"
    result = node.results[0]
    constant = ctx.new_constant(f"{result.name}_scale", scale)
    attributes = {"axis": found.axis, "epsilon": found.epsilon}
    return Replacement([make_node(op, [found.x, constant], [result], attributes)])


def _parts(top: Value, deviation: Value, inverted: bool, ctx: Context) -> _Match | None:
    """Match ``top / deviation``, or ``top * deviation`` when the deviation is inverted already."""
    root = ctx.producer(deviation)
    if root is None:
        return None
    if is_op(root, "Pow"):
        if uniform_of(root.input(1)) != (-0.5 if inverted else 0.5):
            return None
    elif not is_op(root, "Sqrt") or inverted:
        return None
    add = ctx.producer(root.input(0))
    operand = constant_operand(add) if add is not None and is_op(add, "Add") else None
    if add is None or operand is None or operand[1] < 0:
        return None
    mean = _mean(operand[0], ctx)
    if mean is None:
        return None
    square, axis, mean_node = mean
    power = ctx.producer(square)
    base = None if power is None else _squared(power)
    if power is None or base is None:
        return None
    nodes = [root, add, mean_node, power]
    if base is top and _centre(top, ctx) is None:
        return _Match(top, axis, operand[1], False, nodes)
    first, second = _centre(top, ctx), _centre(base, ctx)
    if first is None or second is None or first.x is not second.x or not first.axis == second.axis == axis:
        return None
    return _Match(first.x, axis, operand[1], True, nodes + first.nodes + second.nodes)


def _squared(node: Node) -> Value | None:
    """X when the node computes the square of x."""
    if is_op(node, "Mul") and node.inputs[0] is node.inputs[1]:
        return node.inputs[0]
    return node.inputs[0] if is_op(node, "Pow") and uniform_of(node.input(1)) == 2 else None


def _mean(value: Value | None, ctx: Context) -> tuple[Value, int, Node] | None:
    """The operand, first axis and node of a mean over the last axes that keeps them."""
    node = ctx.producer(value)
    if node is None or not is_op(node, "ReduceMean") or node.attributes["keepdims"] != 1:
        return None
    x, axes = node.input(0), ints_of(node, 1, "axes")
    rank = rank_of(x)
    if x is None or rank is None or not axes:
        return None
    chosen = sorted(axis % rank for axis in axes)
    return (x, chosen[0], node) if chosen == list(range(chosen[0], rank)) else None


def _centre(value: Value, ctx: Context) -> _Match | None:
    """``x - mean(x)``."""
    node = ctx.producer(value)
    if node is None or not is_op(node, "Sub"):
        return None
    mean = _mean(node.input(1), ctx)
    if mean is None or mean[0] is not node.input(0):
        return None
    return _Match(mean[0], mean[1], 0.0, True, [node, mean[2]])


def _is_enclosed(nodes: list[Node], root: Node, ctx: Context) -> bool:
    """Whether nothing but ``root`` and what it multiplies reads the nodes' results, so that all of them go."""
    inside = {*nodes, root}
    for node in nodes:
        for value in node.results:
            if ctx.is_output(value):
                return False
            readers = set(ctx.consumers(value)) - inside
            if any(not is_op(reader, "Mul", "Div", "Reciprocal") for reader in readers):
                return False
            # Between a part and the root there may be the root's own inner products.
            if any(ctx.uses(reader.results[0]) != 1 for reader in readers):
                return False
    return True


def _normalized_constant(constant: Array | None, x: Value, axis: int) -> Array | None:
    """The constant (default ones) broadcast to x's shape from ``axis`` on; None if it varies along others."""
    shape, dtype = shape_of(x), dtype_of(x)
    tail = tuple(size for size in (shape or ())[axis:] if isinstance(size, int))
    if shape is None or dtype is None or len(tail) != len(shape) - axis:
        return None
    if constant is None:
        return np.ones(tail, dtype.numpy)
    lead = max(0, constant.ndim - len(tail))
    if constant.ndim > len(shape) or any(size != 1 for size in constant.shape[:lead]):
        return None
    inner = constant.reshape(constant.shape[lead:])
    try:
        return np.ascontiguousarray(np.broadcast_to(inner, tail))
    except ValueError:
        return None


def _absorb(node: Node, ctx: Context) -> Replacement | None:
    """A constant that multiplies a normalization without bias, or is added to it, becomes its scale or bias."""
    if len(node.inputs) != 2 or node.op == "Div":
        return None
    for value, other in (node.inputs, node.inputs[::-1]):
        norm = ctx.producer(value)
        if value is None or other is None or other.const is None or norm is None or not is_op(norm, *_NORMS):
            continue
        x, scale = norm.input(0), norm.input(1)
        rank, axis = rank_of(x), norm.attributes["axis"]
        if ctx.sole_consumer(value) is not node or len(norm.results) > 1 or norm.input(2) is not None:
            continue
        if x is None or scale is None or rank is None or not isinstance(axis, int):
            continue
        constant = _normalized_constant(other.const, x, axis % rank)
        if constant is None:
            continue
        hint = f"{other.name}_norm"
        if node.op == "Mul":
            if (
                scale.const is None
                or scale.const.shape != constant.shape
                or scale.const.dtype != constant.dtype
            ):
                continue
            product = scale.const.astype(np.float64) * constant.astype(np.float64)
            inputs = [x, ctx.new_constant(hint, product.astype(constant.dtype))]
        elif norm.op == "LayerNormalization":
            inputs = [x, scale, ctx.new_constant(hint, constant)]
        else:
            continue
        return Replacement([make_node(norm.op, inputs, node.outputs, dict(norm.attributes), name=norm.name)])
    return None
