"""Make one ScaleShift of a normalization, or of a scale and a shift, that no weights could take in.

The activation behind it goes along. What a BatchNormalization in inference computes for each channel in every
run, a square root and a division, is computed here once.
"""

from __future__ import annotations

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops import ORPHEUS_DOMAIN, make_node
from orpheus_core.ops.activations import ACTIVATIONS, activation_of
from orpheus_core.passes.affine import (
    Affine,
    Reader,
    compose,
    read_arithmetic,
    read_normalization,
    remembered,
    rounded,
)
from orpheus_core.passes.match import dtype_of, is_op, shape_of
from orpheus_core.passes.rewriting import Context, Replacement, rewrite

_STARTS = frozenset(("BatchNormalization", "ScaleShift", "Add", "Sub", "Mul", "Div", "Neg", *ACTIVATIONS))


def run(graph: Graph) -> Graph:
    """Replace where it is legal; see the module."""
    read = remembered(_read)

    def rule(node: Node, ctx: Context) -> Replacement | None:
        return _rule(node, ctx, read)

    return rewrite(graph, rule, starts=_STARTS)


def _rule(node: Node, ctx: Context, read: Reader) -> Replacement | None:
    result = node.outputs[0] if node.outputs else None
    if result is None:
        return None
    if activation_of(node) is not None:
        made = _activated(node, result, ctx, read)
    else:
        follower = ctx.sole_consumer(result)
        if follower is not None and activation_of(follower) is not None:
            return None  # it is offered too, and takes this along
        made = _normalized(node, result, ctx, read)
    return None if made is None else Replacement([made])


def _normalized(node: Node, result: Value, ctx: Context, read: Reader) -> Node | None:
    affine = read(node)
    if affine is None:
        return None
    before = ctx.producer(affine.x)
    first = read(before) if before is not None and ctx.sole_consumer(affine.x) is node else None
    both = None if first is None else compose(first, affine)
    if both is not None and both.axis is not None:
        return _scale_shift(both, node, result, ctx)
    return _scale_shift(affine, node, result, ctx) if is_op(node, "BatchNormalization") else None


def _read(node: Node) -> Affine | None:
    return read_normalization(node) or read_arithmetic(node)


def _scale_shift(affine: Affine, node: Node, result: Value, ctx: Context) -> Node | None:
    shape, dtype = shape_of(affine.x), dtype_of(affine.x)
    if affine.axis is None or dtype is None:
        return None
    sizes = {affine.scale.size, affine.shift.size} - {1}
    size = sizes.pop() if sizes else 1
    # ScaleShift does not broadcast: its constants must have the size of the axis.
    if shape is not None and isinstance(shape[affine.axis], int):
        size = max(size, int(shape[affine.axis] or 1))
    vectors = affine.along(affine.axis, size)
    like = np.empty(0, dtype.numpy)
    scale, shift = (None, None) if vectors is None else (rounded(vectors[0], like), rounded(vectors[1], like))
    if scale is None or shift is None:
        return None
    operands = [
        affine.x,
        ctx.new_constant(f"{result.name}_scale", scale),
        ctx.new_constant(f"{result.name}_shift", shift),
    ]
    attributes = {"axis": affine.axis}
    return make_node("ScaleShift", operands, [result], attributes, name=node.name, domain=ORPHEUS_DOMAIN)


def _activated(node: Node, result: Value, ctx: Context, read: Reader) -> Node | None:
    x = node.input(0)
    maker, found = ctx.producer(x), activation_of(node)
    if x is None or maker is None or found is None or ctx.sole_consumer(x) is not node:
        return None
    maker = _normalized(maker, x, ctx, read) or maker
    if maker.op != "ScaleShift" or maker.domain != ORPHEUS_DOMAIN or maker.attributes["activation"]:
        return None
    attributes = {**maker.attributes, "activation": found[0], "activation_params": found[1]}
    return maker.replace(outputs=(result,), attributes=attributes)
