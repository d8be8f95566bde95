"""Compute between DequantizeLinear and QuantizeLinear on the integers themselves, where the plan has kernels for that.

A convolution or a matrix product whose operands come from DequantizeLinear, and whose only reader is a QuantizeLinear,
becomes a QLinearConv, the Gemm one of windows of one element. A Relu or Clip between them is what QuantizeLinear's
saturation does already, or a Clip of integers. What only moves or picks elements (MaxPool, Reshape, Transpose and the
like) between the same scale and zero point does so with the integers.

Weights have to lie around 0, those of uint8 around 128. Sums are exact then instead of rounded at each step, so a
result may differ by one step of Y's scale where the value lies between two. For plugins to add: a plan without kernels
for integers is slower by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops import make_node
from orpheus_core.passes.gates import bounds_of
from orpheus_core.passes.match import const_of, dtype_of, is_op, rank_of
from orpheus_core.passes.rewriting import Context, Replacement, rewrite
from orpheus_core.types import Array, DType, TensorType

_BYTES = (DType.INT8, DType.UINT8)
#: What gives elements of its first input, and nothing else; MaxPool because it keeps the order.
_MOVES = (
    "DepthToSpace", "Expand", "Flatten", "Gather", "MaxPool", "Reshape", "Slice", "SpaceToDepth", "Squeeze", "Tile",
    "Transpose", "Unsqueeze",
)  # fmt: skip


def run(graph: Graph) -> Graph:
    """Fuse where it is legal; see the module."""
    return rewrite(graph, _rule, starts=frozenset(("QuantizeLinear",)))


@dataclass(frozen=True)
class _Quantized:
    """Integers, and what they stand for: (values - zero) * scale; both constant, of one element or along ``axis``."""

    values: Value
    scale: Array
    zero: Array
    axis: int

    @property
    def step(self) -> float:
        """The scale, or the first of them."""
        return float(self.scale.reshape(-1)[0])

    @property
    def origin(self) -> int:
        """The zero point, or the first of them."""
        return int(self.zero.reshape(-1)[0])

    @property
    def is_plain(self) -> bool:
        """Whether one scale and one zero point hold for all elements, and the scale is a number above zero."""
        return self.scale.size == self.zero.size == 1 and 0 < self.step < math.inf

    def fits(self, array: Array, *, along: int | None = None) -> bool:
        """Whether there are as many as the array needs, ``along`` that axis if there are many."""
        axis = self.axis + array.ndim * (self.axis < 0)
        many = max(self.scale.size, self.zero.size)
        if many == 1:
            return True
        whole = {self.scale.size, self.zero.size} <= {1, many} and 0 <= axis < array.ndim
        return whole and array.shape[axis] == many and along in (None, axis)

    def is_same(self, other: _Quantized) -> bool:
        """Whether both have one type, scale and zero point."""
        same = dtype_of(self.values) is dtype_of(other.values) and self.is_plain and other.is_plain
        return same and self.step == other.step and self.origin == other.origin


def _rule(node: Node, ctx: Context) -> Replacement | None:
    target = _end(node)
    if target is None or not target.is_plain:
        return None
    made = ctx.producer(node.input(0))
    if made is None or ctx.sole_consumer(made.results[0]) is not node or len(made.results) > 1:
        return None
    if is_op(made, "Concat", *_MOVES):
        return _moved(node, made, target, ctx)
    low, high = -math.inf, math.inf
    if is_op(made, "Relu", "Clip"):
        bounds = bounds_of(made)
        if bounds is None:
            return None
        value, low, high = bounds
        made = ctx.producer(value)
        if made is None or ctx.uses(value) != 1:
            return None
    if is_op(made, "Conv", "Gemm"):
        return _layer(node, made, target, (low, high), ctx)
    return None


def _end(node: Node) -> _Quantized | None:
    """What a QuantizeLinear gives, where it is of bytes."""
    result = node.results[0]
    if node.domain or dtype_of(result) not in _BYTES or dtype_of(node.input(1)) is not DType.FLOAT32:
        return None
    return _quantized(node, result)


def _begin(value: Value | None, ctx: Context, types: tuple[DType, ...] = _BYTES) -> _Quantized | None:
    """What a DequantizeLinear reads."""
    node = ctx.producer(value)
    source = node.input(0) if node is not None and is_op(node, "DequantizeLinear") else None
    if node is None or source is None or dtype_of(value) is not DType.FLOAT32:
        return None
    source = _stored(source, ctx)
    return _quantized(node, source) if dtype_of(source) in types else None


def _quantized(node: Node, values: Value) -> _Quantized | None:
    if node.attributes.get("block_size"):
        return None
    scale, given = const_of(node.input(1)), node.input(2)
    zero = np.zeros((), np.int32) if given is None else const_of(given)
    if scale is None or zero is None or dtype_of(values) is None:
        return None
    axis: Any = node.attributes.get("axis", 1)
    return _Quantized(values, scale, zero.astype(np.int64), axis)


def _stored(value: Value, ctx: Context) -> Value:
    """Weights that the model has as floats, and quantizes itself, as the integers that gives."""
    node = ctx.producer(value)
    source = const_of(node.input(0)) if node is not None and is_op(node, "QuantizeLinear") else None
    how = None if node is None or source is None else _end(node)
    if how is None or source is None or source.dtype != np.float32 or not how.fits(source):
        return value
    where = [1] * source.ndim
    if how.scale.size > 1:
        where[how.axis] = -1
    scale, zero = (
        how.scale.reshape(where),
        how.zero.reshape(where if how.zero.size > 1 else [1] * source.ndim),
    )
    kind: Any = dtype_of(value)
    ends = np.iinfo(kind.numpy)
    with np.errstate(all="ignore"):
        found = np.clip(np.rint(source / scale) + zero, ends.min, ends.max)
    return value if np.isnan(found).any() else ctx.new_constant(value.name, found.astype(kind.numpy))


def _moved(node: Node, made: Node, target: _Quantized, ctx: Context) -> Replacement | None:
    """The same operator on integers."""
    count = len(made.inputs) if made.op == "Concat" else 1
    sources = [_begin(value, ctx) for value in made.inputs[:count]]
    found = [source.values for source in sources if source is not None and source.is_same(target)]
    if len(found) < count or all(value.const is not None for value in found):
        return None
    return Replacement([made.replace(inputs=(*found, *made.inputs[count:]), outputs=node.outputs)])


def _layer(
    node: Node, made: Node, target: _Quantized, bounds: tuple[float, float], ctx: Context
) -> Replacement | None:
    """A QLinearConv, with a Clip behind it where bounds lie within the type's own."""
    x, w = _begin(made.input(0), ctx), _begin(made.input(1), ctx)
    if x is None or w is None or not x.is_plain:
        return None
    rows = _rows(made, w)
    if rows is None:
        return None
    weights, scale = rows
    with np.errstate(all="ignore"):
        unit = x.step * scale.astype(np.float64)
        bias = _bias(made.input(2), unit, len(weights), ctx)
    if bias is None:
        return None
    kind: Any = dtype_of(node.results[0])
    ends = np.iinfo(kind.numpy)
    steps = [bound / target.step + target.origin for bound in bounds]
    low, high = (float(np.clip(np.rint(step), ends.min, ends.max)) for step in steps)
    if math.isnan(low) or math.isnan(high) or low > high:
        return None

    def constant(hint: str, array: Any) -> Value:
        return ctx.new_constant(f"{node.name}.{hint}", np.asarray(array))

    given: Any = dtype_of(x.values)
    operands = [
        constant("x_scale", np.float32(x.step)), constant("x_zero", np.asarray(x.origin, given.numpy)),
        constant("w", weights), constant("w_scale", scale.astype(np.float32)),
        constant("w_zero", np.asarray(w.origin, weights.dtype)), constant("y_scale", np.float32(target.step)),
        constant("y_zero", np.asarray(target.origin, kind.numpy)),
        constant("b", bias) if bias.any() else None,
    ]  # fmt: skip
    source, result, before, after = x.values, node.results[0], [], []
    if low > ends.min or high < ends.max:
        inner = ctx.new_value(f"{node.name}.unclipped", result.type)
        edges = [constant(hint, np.asarray(end, kind.numpy)) for hint, end in (("low", low), ("high", high))]
        after.append(make_node("Clip", [inner, *edges], [result], name=f"{node.name}.clip"))
        result = inner
    attributes: dict[str, Any] = {}
    if made.op == "Conv":
        attributes = {
            name: made.attributes.get(name)
            for name in ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
        }
    else:  # rows of A are images of one pixel
        axis = constant("axis", np.array([2], np.int64))
        wide = ctx.new_value(f"{node.name}.wide", _wide(source))
        before.append(make_node("Unsqueeze", [source, axis], [wide], name=f"{node.name}.in"))
        inner = ctx.new_value(f"{node.name}.rows", _wide(result))
        after.insert(0, make_node("Squeeze", [inner, axis], [result], name=f"{node.name}.out"))
        source, result = wide, inner
    layer = make_node("QLinearConv", [source, *operands], [result], attributes, name=made.name)
    return Replacement([*before, layer, *after])


def _wide(value: Value) -> TensorType:
    """The type of a matrix with an axis of one element behind it."""
    type_ = value.type
    assert isinstance(type_, TensorType) and type_.shape is not None
    return TensorType(type_.dtype, (*type_.shape, 1))


def _rows(made: Node, w: _Quantized) -> tuple[Array, Array] | None:
    """Weights a row for each filter, and their scales; None where they have no such form."""
    weights = w.values.const
    if weights is None or (w.zero != (128 if weights.dtype == np.uint8 else 0)).any():
        return None
    axis = 0
    if made.op == "Gemm":
        facts = made.attributes
        plain = (facts.get("alpha", 1.0), facts.get("beta", 1.0), facts.get("transA", 0)) == (1.0, 1.0, 0)
        if not plain or weights.ndim != 2 or rank_of(made.input(0)) != 2:
            return None
        axis = 0 if facts.get("transB") else 1
    if not w.fits(weights, along=axis) or not ((w.scale > 0).all() and np.isfinite(w.scale).all()):
        return None
    if made.op == "Gemm":
        weights = np.ascontiguousarray(weights if axis == 0 else weights.T)[:, :, None]
    return weights, w.scale.reshape(-1)


def _bias(value: Value | None, unit: Array, count: int, ctx: Context) -> Array | None:
    """The bias in steps of ``unit``, x's scale times w's; None when 32 bits hold it not, or it is not known."""
    if value is None:
        return np.zeros(count, np.int32)
    known = const_of(value)
    floats = None if known is None else known.astype(np.float64)
    if floats is None:
        given = _begin(value, ctx, (DType.INT32,))
        if given is None or given.values.const is None or given.values.const.ndim != 1:
            return None
        if not given.fits(given.values.const, along=0):
            return None
        floats = (given.values.const - given.zero) * given.scale.astype(np.float64)
    if floats.size not in (1, count) or (floats.ndim > 1 and floats.shape[-1] != floats.size):
        return None
    steps = np.rint(np.broadcast_to(floats.reshape(-1), (count,)) / unit)
    if not np.isfinite(steps).all() or abs(steps).max(initial=0) >= 2**31:
        return None
    return steps.astype(np.int32)
