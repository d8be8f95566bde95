"""Folding an affine map into the constant weights of the convolution or matrix product before or after it."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.ops import ORPHEUS_DOMAIN, make_node
from orpheus_core.passes.affine import Affine, Reader, rounded
from orpheus_core.passes.match import const_of, rank_of
from orpheus_core.passes.rewriting import Context, Replacement
from orpheus_core.types import Array

# What stands in for the operator's inputs 1 and 2 and, where it changes, the operator itself.
_Parts = tuple[Array, "Array | None", "dict[str, Any]", str]

_PLAIN = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_FUSED = {"FusedConv": "Conv", "FusedGemm": "Gemm"}
#: The operators into whose weights a map may go.
PRODUCTS = frozenset((*_PLAIN, *_FUSED))


def fold(node: Node, ctx: Context, read: Reader) -> Replacement | None:
    """A rule: an affine map read by ``read`` goes into the weights before it, else into those after it."""
    affine = read(node)
    if affine is not None:
        maker = ctx.producer(affine.x)
        if maker is None or ctx.sole_consumer(affine.x) is not node or _kind(maker) != maker.op:
            return None
        return _replace(maker, maker.inputs[0], _before(maker, affine), node.outputs[0], ctx)
    if _kind(node) is None:
        return None
    source = ctx.producer(node.input(0))
    affine = None if source is None else read(source)
    if source is None or affine is None:
        return None
    value = source.results[0]
    # All readers have to take the map in; otherwise it is computed anyway.
    if ctx.is_output(value) or not all(_absorbs(reader, value, affine) for reader in ctx.consumers(value)):
        return None
    return _replace(node, affine.x, _after(node, affine), node.outputs[0], ctx)


def _kind(node: Node) -> str | None:
    if node.domain == ORPHEUS_DOMAIN:
        return _FUSED.get(node.op)
    return node.op if not node.domain and node.op in _PLAIN else None


def _absorbs(node: Node, value: Value, affine: Affine) -> bool:
    reads_once = node.input(0) is value and value not in node.inputs[1:]
    return reads_once and _kind(node) is not None and _after(node, affine) is not None


def _replace(
    node: Node, x: Value | None, parts: _Parts | None, result: Value | None, ctx: Context
) -> Replacement | None:
    if parts is None or result is None:
        return None
    weight, bias, attributes, op = parts
    old_weight, old_bias = node.inputs[1], node.input(2)
    assert old_weight is not None
    if old_weight.const is not weight:
        old_weight = ctx.new_constant(f"{old_weight.name}_folded", weight)
    if bias is not None and const_of(old_bias) is not bias:
        hint = f"{old_bias.name}_folded" if old_bias is not None else f"{result.name}_bias"
        old_bias = ctx.new_constant(hint, bias)
    inputs = (x, old_weight, old_bias, *node.inputs[3:])
    outputs = (result, *node.outputs[1:])
    merged = {**node.attributes, **attributes}
    return Replacement([make_node(op, inputs, outputs, merged, name=node.name, domain=node.domain)])


def _bias(node: Node) -> tuple[bool, Array | None]:
    """Whether the bias is absent or constant, and its array."""
    value = node.input(2)
    return value is None or value.const is not None, const_of(value)


def _is_sound(node: Node, weight: Array, bias: Array | None) -> bool:
    """Whether the weights have a shape that the operator allows; what has not is left for the run to refuse."""
    kind, group = _kind(node), node.attributes.get("group", 1)
    if kind == "Gemm":
        columns = weight.shape[0 if node.attributes["transB"] else -1] if weight.ndim == 2 else -1
        fits = bias is None or (bias.ndim <= 2 and (bias.ndim == 0 or bias.shape[-1] in (1, columns)))
        return weight.ndim == 2 and fits
    if kind == "MatMul":
        return weight.ndim >= 1
    if not isinstance(group, int) or group < 1 or weight.ndim < 3 or weight.shape[0] % group:
        return False
    channels = weight.shape[1] * group if kind == "ConvTranspose" else weight.shape[0]
    return bias is None or bias.shape == (channels,)


def _before(node: Node, affine: Affine) -> _Parts | None:
    """New weights of ``node`` so that it computes the map of its result."""
    weight = const_of(node.input(1))
    constant_bias, bias = _bias(node)
    if weight is None or not constant_bias or not _is_sound(node, weight, bias):
        return None
    if node.op in ("Conv", "ConvTranspose"):
        return _before_conv(node, affine, weight, bias)
    if node.op == "Gemm":
        return _before_gemm(node, affine, weight, bias)
    vectors = (
        affine.along((rank_of(node.outputs[0]) or 0) - 1, weight.shape[-1]) if weight.ndim >= 2 else None
    )
    if vectors is None:
        return None
    return _product(node, _scaled(weight, vectors[0]), vectors[1])


def _before_conv(node: Node, affine: Affine, weight: Array, bias: Array | None) -> _Parts | None:
    group = node.attributes["group"]
    assert isinstance(group, int)
    transposed = node.op == "ConvTranspose"
    channels = weight.shape[1] * group if transposed else weight.shape[0]
    vectors = affine.along(1, channels)
    if vectors is None:
        return None
    scale, shift = vectors
    spatial = (1,) * (weight.ndim - 2)
    if transposed:
        grouped = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:])
        scaled = _scaled(grouped, scale.reshape(group, 1, weight.shape[1], *spatial))
        new_weight = None if scaled is None else scaled.reshape(weight.shape)
    else:
        new_weight = _scaled(weight, scale.reshape(-1, 1, *spatial))
    return _checked(node, new_weight, _shifted(bias, scale, shift, channels), {})


def _before_gemm(node: Node, affine: Affine, weight: Array, bias: Array | None) -> _Parts | None:
    transposed = bool(node.attributes["transB"])
    columns = weight.shape[0 if transposed else 1]
    vectors = affine.along(1, columns)
    beta = node.attributes["beta"]
    if vectors is None:
        return None
    assert isinstance(beta, (int, float))
    scale, shift = vectors
    new_weight = _scaled(weight, scale[:, None] if transposed else scale)
    own = None if bias is None else bias.astype(np.float64) * beta
    return _checked(node, new_weight, _shifted(own, scale, shift, columns), {"beta": 1.0})


def _after(node: Node, affine: Affine) -> _Parts | None:
    """New weights of ``node`` so that it computes its result from the map's own input."""
    weight = const_of(node.input(1))
    constant_bias, bias = _bias(node)
    if weight is None or not constant_bias or not _is_sound(node, weight, bias):
        return None
    kind = _kind(node)
    if kind in ("Conv", "ConvTranspose"):
        return _after_conv(node, affine, weight, bias)
    if kind == "Gemm":
        return _after_gemm(node, affine, weight, bias)
    rank = rank_of(node.input(0))
    if rank is None or rank < 2 or weight.ndim < 2:
        return None
    vectors = affine.along(rank - 1, weight.shape[-2])
    if vectors is None:
        return None
    return _product(node, _scaled(weight, vectors[0][:, None]), vectors[1] @ weight.astype(np.float64))


def _after_conv(node: Node, affine: Affine, weight: Array, bias: Array | None) -> _Parts | None:
    group = node.attributes["group"]
    assert isinstance(group, int)
    transposed = node.op == "ConvTranspose"
    vectors = affine.along(1, weight.shape[0] if transposed else weight.shape[1] * group)
    # A padded position is 0 after the map, so a shift cannot move through the padding.
    if vectors is None or (not affine.keeps_zero and (transposed or _pads(node))):
        return None
    scale, shift = vectors
    spatial = (1,) * (weight.ndim - 2)
    if transposed:
        return _checked(node, _scaled(weight, scale.reshape(-1, 1, *spatial)), bias, {})
    grouped = weight.reshape(group, weight.shape[0] // group, *weight.shape[1:])
    per_group = (group, 1, weight.shape[1], *spatial)
    scaled = _scaled(grouped, scale.reshape(per_group))
    moved = grouped.astype(np.float64) * shift.reshape(per_group)
    per_channel = moved.sum(tuple(range(2, moved.ndim))).reshape(-1)
    new_bias = _shifted(bias, np.ones(1), per_channel, weight.shape[0])
    return _checked(node, None if scaled is None else scaled.reshape(weight.shape), new_bias, {})


def _after_gemm(node: Node, affine: Affine, weight: Array, bias: Array | None) -> _Parts | None:
    transposed = bool(node.attributes["transB"])
    alpha, beta = node.attributes["alpha"], node.attributes["beta"]
    vectors = affine.along(1, weight.shape[1 if transposed else 0])
    if vectors is None or node.attributes["transA"]:
        return None
    assert isinstance(alpha, (int, float)) and isinstance(beta, (int, float))
    scale, shift = vectors
    matrix = weight.astype(np.float64).T if transposed else weight.astype(np.float64)
    new_weight = _scaled(weight, scale if transposed else scale[:, None])
    own = None if bias is None else bias.astype(np.float64) * beta
    new_bias = _shifted(own, np.ones(1), alpha * (shift @ matrix), matrix.shape[1])
    return _checked(node, new_weight, new_bias, {"beta": 1.0})


def _product(node: Node, weight: Array | None, shift: Array) -> _Parts | None:
    """MatMul with new weights; a Gemm when there is something to add and both operands are matrices."""
    if weight is None:
        return None
    if not shift.any():
        return weight, None, {}, node.op
    bias = rounded(shift, weight)
    if bias is None or bias.ndim != 1 or weight.ndim != 2 or rank_of(node.input(0)) != 2:
        return None
    return weight, bias, {}, "Gemm"


def _scaled(weight: Array, scale: Array) -> Array | None:
    """``weight * scale``; the very same array where the scale is 1."""
    return weight if (scale == 1).all() else rounded(weight.astype(np.float64) * scale, weight)


def _shifted(bias: Array | None, scale: Array, shift: Array, channels: int) -> Array | None:
    """``bias * scale + shift`` in float64; None when it was absent and stays zero."""
    if bias is None and not shift.any():
        return None
    own = np.zeros(channels) if bias is None else bias.astype(np.float64)
    return np.asarray(own * scale + shift)


def _checked(
    node: Node, weight: Array | None, bias: Array | None, attributes: dict[str, Any]
) -> _Parts | None:
    if weight is None:
        return None
    if bias is not None:
        bias = rounded(bias, weight)
        if bias is None:
            return None
    return weight, bias, attributes, node.op


def _pads(node: Node) -> bool:
    """Whether any position of a convolution's input may be padding."""
    pads: Any = node.attributes.get("pads", ())
    auto = node.attributes.get("auto_pad", "NOTSET")
    return bool(any(pads)) if auto == "NOTSET" else auto != "VALID"
