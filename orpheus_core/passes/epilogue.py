"""What a fused convolution or matrix product can take in from the nodes behind it.

A fused operator computes, in this order: the product, its bias, a residual, scale and shift, an activation.
A rule looks at a node that could be one of the later steps and at the operator that computes its operand;
the step is taken in when nothing after it is there yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops import ORPHEUS_DOMAIN, make_node
from orpheus_core.ops.activations import ACTIVATIONS, activation_of
from orpheus_core.passes.match import are_known_same, dtype_of, is_op, rank_of, shape_of
from orpheus_core.passes.rewriting import Context, Replacement
from orpheus_core.types import DType

#: The operators that may be a later step.
STEPS = frozenset(("Add", "Sum", "ScaleShift", *ACTIVATIONS))
_DTYPES = (DType.FLOAT32, DType.FLOAT64, DType.FLOAT16, DType.BFLOAT16)


@dataclass(frozen=True)
class Form:
    """A fused operator: what it grows from, and which of its inputs are which.

    ``bias`` is None when an earlier pass has put the bias in its place; ``scale`` (shift follows) is None
    when the operator takes none. Only an operator with a scale has the raw sum as second output.
    """

    plain: str
    fused: str
    bias: int | None = None
    residual: int = 3
    scale: int | None = None

    def fits(self, node: Node | None) -> bool:
        """Whether the node is the operator, fused already or not."""
        if node is None:
            return False
        plain = is_op(node, self.plain)
        return plain or (node.op == self.fused and node.domain == ORPHEUS_DOMAIN)


def positions_of(graph: Graph) -> dict[Value, int]:
    """For each value a node computes, in subgraphs too, where the node stands."""
    return {value: index for index, node in enumerate(graph.walk()) for value in node.results}


def absorb(node: Node, ctx: Context, form: Form, positions: Mapping[Value, int]) -> Replacement | None:
    """The fused operator that stands for ``node`` and the operator before it, or None."""
    if not node.outputs or dtype_of(node.outputs[0]) not in _DTYPES:
        return None
    if is_op(node, "Add", "Sum") and len(node.inputs) == 2:
        return _absorb_sum(node, ctx, form, positions)
    maker = ctx.producer(node.input(0))
    if maker is None or not form.fits(maker) or maker.attributes.get("activation") or not node.inputs:
        return None
    if node.op == "ScaleShift" and node.domain == ORPHEUS_DOMAIN:
        return _absorb_scale(node, maker, ctx, form)
    found = activation_of(node)
    if found is None:
        return None
    return _grow(node, maker, ctx, form, {}, {"activation": found[0], "activation_params": found[1]})


def _absorb_sum(node: Node, ctx: Context, form: Form, positions: Mapping[Value, int]) -> Replacement | None:
    left, right = node.inputs
    # Of two candidates the one that is computed last takes the other's result as its residual.
    pairs = [(left, right), (right, left)]
    pairs.sort(key=lambda pair: -1 if pair[0] is None else positions.get(pair[0], -1), reverse=True)
    for value, other in pairs:
        maker = ctx.producer(value)
        if value is None or other is None or maker is None or not form.fits(maker):
            continue
        taken = any(maker.input(i) is not None for i in range(form.residual, form.residual + 3))
        if taken or maker.attributes.get("activation") or ctx.sole_consumer(value) is not node:
            continue
        bias = _bias(value, other, maker, ctx, form)
        if bias is not None and form.bias is not None:
            return _grow(node, maker, ctx, form, {form.bias: bias}, {})
        # Nothing but this sum reads the value, so the other operand cannot depend on it.
        if are_known_same(shape_of(value), shape_of(other)):
            return _grow(node, maker, ctx, form, {form.residual: other}, {})
    return None


def _bias(value: Value, other: Value, maker: Node, ctx: Context, form: Form) -> Value | None:
    """``other`` as a bias [N] along the last axis, when it is one and the operator has none."""
    array, shape, rank = other.const, shape_of(value), rank_of(value)
    if form.bias is None or maker.input(form.bias) is not None or array is None or not shape or rank is None:
        return None
    if array.ndim > rank or array.ndim == 0 or array.size != array.shape[-1] or array.size != shape[-1]:
        return None
    return other if array.ndim == 1 else ctx.new_constant(f"{other.name}_flat", array.reshape(-1))


def _absorb_scale(node: Node, maker: Node, ctx: Context, form: Form) -> Replacement | None:
    _, scale, shift = node.inputs
    if form.scale is None or maker.input(form.scale) is not None or node.attributes["axis"] != 1:
        return None
    if scale is None or shift is None or scale.const is None or shift.const is None:
        return None
    attributes = {key: node.attributes[key] for key in ("activation", "activation_params")}
    return _grow(node, maker, ctx, form, {form.scale: scale, form.scale + 1: shift}, attributes)


def _grow(
    node: Node,
    maker: Node,
    ctx: Context,
    form: Form,
    inputs: Mapping[int, Value],
    attributes: Mapping[str, Any],
) -> Replacement | None:
    """The operator with more inputs and attributes, computing ``node``'s result in place of its own.

    When something else reads the operator's result too, it stays as the second output, the raw sum; an
    operator that has a scale or a second output already computes something else there, and is left alone.
    """
    value, result = maker.outputs[0], node.outputs[0]
    assert value is not None and result is not None
    operands = [maker.input(i) for i in range(form.residual + 3)]
    for index, operand in inputs.items():
        operands[index] = operand
    outputs: list[Value | None] = [result, *maker.outputs[1:]]
    replaced: dict[Value, Value] = {}
    if ctx.sole_consumer(value) is not node:
        has_scale = form.scale is not None and maker.input(form.scale) is not None
        if form.scale is None or has_scale or len(maker.results) > 1:
            return None
        raw = ctx.new_value(f"{value.name}_raw", value.type)
        outputs, replaced = [result, raw], {value: raw}
    elif len(maker.outputs) > 1 and maker.outputs[1] is not None:
        raw = ctx.new_value(f"{maker.outputs[1].name}_raw", maker.outputs[1].type)
        outputs, replaced = [result, raw], {maker.outputs[1]: raw}
    fused = make_node(
        form.fused,
        operands,
        outputs,
        {**maker.attributes, **attributes},
        name=maker.name,
        domain=ORPHEUS_DOMAIN,
    )
    return Replacement([fused], replaced)
