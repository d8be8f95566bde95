"""Merge 1x1 convolutions, or products with constant matrices, of the same input into one, split afterwards.

Siblings agree in everything but their weights and biases, activation included, and take no residual. One
wide product reads the input once instead of n times, but its result is read and written once more to be
split. So a group is merged only when the reads saved, (n - 1) * K elements for each output position (K input
channels), are at least the 2 * (M1 + ... + Mn) of the split; the smallest siblings are taken first. Larger
kernels are left alone: they do k * k times the arithmetic for each element read, and reading is not what they
wait for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops import ORPHEUS_DOMAIN, make_node
from orpheus_core.passes.match import dtype_of, is_op, rank_of, shape_of
from orpheus_core.passes.rewriting import Context, Replacement, rewrite
from orpheus_core.types import Array, TensorType

_FUSED = {"FusedConv": "Conv", "FusedGemm": "Gemm", "FusedMatMul": "MatMul"}
_STARTS = frozenset((*_FUSED, *_FUSED.values()))


def run(graph: Graph) -> Graph:
    """Merge where it pays; see the module."""
    return rewrite(graph, _rule, starts=_STARTS)


def _rule(node: Node, ctx: Context) -> Replacement | None:
    key = _key(node)
    x = node.input(0)
    if key is None or x is None:
        return None
    siblings = [other for other in ctx.consumers(x) if other.input(0) is x and _key(other) == key]
    group = _paying(siblings)
    return _merge(group, x, ctx) if node in group else None


def _kind(node: Node) -> str | None:
    if node.domain == ORPHEUS_DOMAIN:
        return _FUSED.get(node.op)
    return node.op if is_op(node, *_FUSED.values()) else None


def _key(node: Node) -> tuple[Any, ...] | None:
    """What siblings must agree in; None for a node that is never merged."""
    kind = _kind(node)
    weight, bias = node.input(1), node.input(2)
    if kind is None or weight is None or weight.const is None or len(node.results) != 1:
        return None
    dtype = dtype_of(node.outputs[0])
    if dtype is None or not dtype.is_float or node.inputs[3:] or node.inputs.count(node.input(0)) != 1:
        return None
    if weight.const.ndim < 2 or (kind != "Conv" and weight.const.ndim != 2):
        return None
    if bias is not None and (bias.const is None or bias.const.shape != (_width(node),)):
        return None
    if kind == "Conv":
        if node.attributes["group"] != 1 or any(size != 1 for size in weight.const.shape[2:]):
            return None
    elif rank_of(node.input(0)) is None:
        return None
    attributes = tuple(sorted((name, repr(value)) for name, value in node.attributes.items()))
    depth = weight.const.shape[1 - _out_axis(node)]
    return (node.op, node.domain, dtype, weight.const.ndim, depth, attributes)


def _weight(node: Node) -> Array:
    value = node.inputs[1]
    assert value is not None and value.const is not None
    return value.const


def _out_axis(node: Node) -> int:
    """The axis of the weights that the result's channels come from."""
    kind = _kind(node)
    return 0 if kind == "Conv" or (kind == "Gemm" and node.attributes["transB"]) else 1


def _width(node: Node) -> int:
    return int(_weight(node).shape[_out_axis(node)])


def _paying(siblings: Sequence[Node]) -> list[Node]:
    """The largest set of the narrowest siblings that saves more traffic than its Split costs, in graph order."""
    ordered = sorted(siblings, key=_width)
    while len(ordered) > 1:
        depth = _weight(ordered[0]).shape[1 - _out_axis(ordered[0])]
        if 2 * sum(map(_width, ordered)) <= (len(ordered) - 1) * depth:
            return [node for node in siblings if node in ordered]
        ordered.pop()
    return []


def _merge(group: Sequence[Node], x: Value, ctx: Context) -> Replacement:
    first = group[0]
    widths = [_width(node) for node in group]
    name = "_".join(node.results[0].name for node in group[:2]) + "_merged"
    weight = ctx.new_constant(f"{name}_weight", np.concatenate([_weight(n) for n in group], _out_axis(first)))
    bias = None
    if any(node.input(2) is not None for node in group):
        bias = ctx.new_constant(f"{name}_bias", np.concatenate([_bias_array(node) for node in group]))
    axis = 1 if _kind(first) == "Conv" else -1
    wide = ctx.new_value(name, _wide_type(first.results[0], axis, sum(widths)))
    operands = [x, weight, bias]
    made = make_node(first.op, operands, [wide], dict(first.attributes), name=first.name, domain=first.domain)
    sizes = ctx.new_constant(f"{name}_split", np.asarray(widths, np.int64))
    parts = [ctx.new_value(node.results[0].name, node.results[0].type) for node in group]
    split = make_node("Split", [wide, sizes], parts, {"axis": axis})
    replaced = {node.results[0]: part for node, part in zip(group, parts)}
    return Replacement([made, split], replaced)


def _bias_array(node: Node) -> Array:
    bias = node.input(2)
    if bias is not None and bias.const is not None:
        return bias.const
    return np.zeros(_width(node), _weight(node).dtype)


def _wide_type(value: Value, axis: int, width: int) -> Any:
    shape = shape_of(value)
    if not isinstance(value.type, TensorType) or shape is None:
        return value.type
    sizes = list(shape)
    sizes[axis] = width
    return value.type.with_shape(tuple(sizes))
