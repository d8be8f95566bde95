"""Fold the arithmetic of shapes, also where some dimensions are symbols.

Integer vectors that come from Shape are followed element by element. One that turns out to be all numbers becomes a
constant; a Reshape target with at most one unknown becomes a constant with -1; an Expand to the shape its input has,
and the end of a Slice that is the size of the axis, are recognised.
"""

from __future__ import annotations

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.passes.match import const_of, dtype_of, ints_of, is_given, is_known_same, is_op, shape_of
from orpheus_core.passes.refine_types import Refiner, finer
from orpheus_core.passes.reshaping import make_reshape, shape_after, target_for
from orpheus_core.passes.rewriting import Context, Replacement, rewrite
from orpheus_core.passes.symbols import Symbols
from orpheus_core.types import Dim, TensorType

_TO_THE_END = np.iinfo(np.int64).max


def run(graph: Graph) -> Graph:
    """Fold, and infer again the types that the new constants make known, until nothing more follows."""
    while True:
        folded = rewrite(graph, _Folding())
        if folded is graph:
            return graph
        graph = folded


class _Folding:
    """The rule, with what one sweep gets to know."""

    def __init__(self) -> None:
        self.symbols = Symbols()
        self.refiner = Refiner()

    def __call__(self, node: Node, context: Context) -> Replacement | None:
        self.refiner.visit(node, context)
        result = node.outputs[0] if node.outputs else None
        shape = _shape_from_values(node, self.symbols)
        if shape is not None and result is not None and isinstance(result.type, TensorType):
            self.refiner.say(result, result.type.with_shape(shape), context)
        replacement = self._fold(node, context)
        if replacement is not None:
            for value in replacement.values.values():
                self.refiner.announce(value)
        return replacement

    def _fold(self, node: Node, context: Context) -> Replacement | None:
        vector = self.symbols.follow(node)
        if vector is not None and vector.numbers is not None:
            return _as_constant(node, vector.numbers, vector.is_scalar, context)
        if is_op(node, "Reshape"):
            return _fold_reshape(node, self.symbols, context)
        if is_op(node, "Expand"):
            return _fold_expand(node, self.symbols)
        if is_op(node, "Slice"):
            return _fold_slice(node, self.symbols, context)
        return None


def _shape_from_values(node: Node, symbols: Symbols) -> tuple[Dim, ...] | None:
    """The shape of a result that the values of inputs tell better than ONNX's inference, which knows no symbols."""
    if is_op(node, "ConstantOfShape"):
        vector = symbols.of(node.input(0))
        return None if vector is None else vector.items
    if is_op(node, "Resize", "Upsample") and node.version >= 9:
        source = shape_of(node.input(0))
        scales = const_of(node.input(1 if node.version < 11 else 2))
        if source is None or scales is None or len(source) != scales.size:
            return None
        return tuple(d if scale == 1 else None for d, scale in zip(source, scales.reshape(-1)))
    return None


def _as_constant(
    node: Node, numbers: tuple[int, ...], is_scalar: bool, context: Context
) -> Replacement | None:
    result = node.outputs[0]
    dtype = dtype_of(result)
    if result is None or dtype is None:
        return None
    bounds = np.iinfo(dtype.numpy) if dtype.numpy.kind == "i" else None
    if bounds is not None and not all(bounds.min <= n <= bounds.max for n in numbers):
        return None
    array = np.array(numbers, dtype=dtype.numpy).reshape(() if is_scalar else -1)
    return Replacement(values={result: context.new_constant(result.name, array)})


def _fold_reshape(node: Node, symbols: Symbols, context: Context) -> Replacement | None:
    data, result = node.input(0), node.outputs[0]
    given = node.input(1)
    if data is None or result is None or given is None or given.const is not None:
        return None
    source, shape = shape_of(data), shape_of(result)
    vector = symbols.of(given)
    if vector is not None:
        followed = shape_after(source, vector.items, bool(node.attributes.get("allowzero")))
        shape = _finer_shape(shape, followed)
    target = target_for(shape, source)
    if target is None:
        return None
    if not context.is_output(result) and isinstance(data.type, TensorType):
        better = finer(result.type, data.type.with_shape(shape))
        if better != result.type:
            renamed = context.new_value(result.name, better)
            reshape = make_reshape(context, data, target, renamed, node.name)
            return Replacement([reshape], {result: renamed})
    return Replacement([make_reshape(context, data, target, result, node.name)])


def _finer_shape(old: tuple[Dim, ...] | None, new: tuple[Dim, ...]) -> tuple[Dim, ...]:
    if old is None or len(old) != len(new):
        return new
    return tuple(a if isinstance(a, int) or b is None else b for a, b in zip(old, new))


def _fold_expand(node: Node, symbols: Symbols) -> Replacement | None:
    data, result = node.input(0), node.outputs[0]
    shape, vector = shape_of(data), symbols.of(node.input(1))
    if data is None or result is None or shape is None or vector is None or len(vector.items) > len(shape):
        return None
    pairs = zip(reversed(vector.items), reversed(shape))
    if not all(wanted == 1 or is_known_same(wanted, has) for wanted, has in pairs):
        return None
    return Replacement(values={result: data})


def _fold_slice(node: Node, symbols: Symbols, context: Context) -> Replacement | None:
    """Ends that are the sizes of their axes become "to the end"."""
    ends, shape = node.input(2), shape_of(node.input(0))
    vector = symbols.of(ends)
    if ends is None or ends.const is not None or vector is None or shape is None:
        return None
    axes = ints_of(node, 3, None) if is_given(node, 3, None) else tuple(range(len(vector.items)))
    steps = ints_of(node, 4, None) if is_given(node, 4, None) else (1,) * len(vector.items)
    if axes is None or steps is None or min(steps, default=1) < 1:
        return None
    numbers = []
    for axis, end in zip(axes, vector.items):
        if isinstance(end, int):
            numbers.append(end)
        elif is_known_same(end, shape[axis]):
            numbers.append(_TO_THE_END)
        else:
            return None
    constant: Value = context.new_constant(ends.name, np.array(numbers, dtype=np.int64))
    starts = node.input(1)
    if dtype_of(starts) is not dtype_of(constant):
        return None
    return Replacement([node.replace(inputs=(*node.inputs[:2], constant, *node.inputs[3:]))])
