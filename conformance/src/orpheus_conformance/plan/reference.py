"""What a graph gives in float64, and how far rounding may carry a result in another type from that.

A bound for a whole network cannot be had from its largest magnitude and depth alone: a normalisation by a small
variance enlarges errors, a saturated sigmoid swallows them. So it is measured on the float64 graph, by Monte
Carlo arithmetic (Parker 1997, "Monte Carlo Arithmetic"): every operator's result is disturbed by random errors of the
size that rounding may have there, and what of them arrives at the outputs is the bound, times a margin for draws that
were lucky. An operator's own rounding is that of the bounded tier, ``(2 + sqrt K) eps`` of the largest magnitude in its
result, with K terms a sum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orpheus_conformance.tolerance import eps, tiny
from orpheus_core.errors import OrpheusError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops.macs import macs
from orpheus_core.plan.evaluate import KernelEvaluator
from orpheus_core.plugin import Backend
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.types import Array, DType, TensorType

#: Independent disturbances, and the margin over the worst of them.
DRAWS = 3
MARGIN = 4.0
#: Disturbances below this would drown in float64's own rounding; results are linear in them, so a larger one is scaled.
_LEAST = 1e-10


class Unjudged(OrpheusError):
    """The reference cannot say what a graph should give."""


@dataclass(frozen=True)
class Expected:
    """An output in float64 (or its own type where that is no float), and the greatest absolute error."""

    value: Array
    bound: float


class Reference:
    """Graphs in float64 by the reference backend's kernels, node by node, without passes or a plan."""

    def __init__(self) -> None:
        import orpheus_numpy

        backend: Backend = orpheus_numpy.orpheus_backend()
        self._evaluator = KernelEvaluator(SelectionOptions((backend,), policy="order"))

    def expect(self, graph: Graph, feeds: Mapping[str, Array], *, factor: float = 1.0) -> list[Expected]:
        """Every output of ``graph`` on ``feeds``; ``factor`` is the largest that any kernel declares.

        Raises Unjudged where results are not finite, or hang on how a tie is rounded.
        """
        wide = widened(graph)
        inputs = {v: _wide(feeds[v.name]) for v in wide.inputs}
        right = self._run(wide, inputs, None, 0.0)
        if not all(np.isfinite(a).all() for a in right if a.dtype.kind == "f"):
            raise Unjudged("the results are not finite")
        unit = max((eps(d.value) for d in _floats(graph)), default=eps("float32"))
        size = max(unit, _LEAST)
        reach = [0.0] * len(right)
        for draw in range(DRAWS):
            disturbed = self._run(wide, inputs, np.random.default_rng(draw), size)
            for index, (a, b) in enumerate(zip(right, disturbed)):
                if a.shape != b.shape or (a.dtype.kind != "f" and not np.array_equal(a, b)):
                    raise Unjudged("whole numbers among the results depend on rounding")
                if a.dtype.kind == "f" and a.size:
                    reach[index] = max(reach[index], float(np.max(np.abs(a - b))))
        found = []
        for value, array, moved in zip(graph.outputs, right, reach):
            kind = value.type.dtype if isinstance(value.type, TensorType) else DType.FLOAT32
            own = eps(kind.value) * float(np.max(np.abs(array), initial=0.0)) if kind.is_float else 0.0
            floor = tiny(kind.value) if kind.is_float else 0.0
            found.append(Expected(array, factor * MARGIN * moved * unit / size + own + floor))
        return found

    def _run(
        self, graph: Graph, inputs: Mapping[Value, Array], rng: np.random.Generator | None, size: float
    ) -> list[Array]:
        known: dict[Value, Array] = dict(inputs)
        reads: dict[Value, int] = {}
        for node in graph.nodes:
            for value in node.reads:
                reads[value] = reads.get(value, 0) + 1
        for value in graph.outputs:
            reads[value] = reads.get(value, 0) + 1
        for node in graph.nodes:
            given = tuple(None if v is None else _value(v, known) for v in node.inputs)
            results = self._evaluator.evaluate(node, given)
            if results is None:
                raise Unjudged(f"the reference cannot compute {node.op_id} in float64")
            for value, result in zip(node.results, results):
                known[value] = result if rng is None else _disturbed(node, result, rng, size)
            for value in node.reads:
                reads[value] -= 1
                if not reads[value]:
                    known.pop(value, None)
        return [_value(v, known) for v in graph.outputs]


def _value(value: Value, known: Mapping[Value, Array]) -> Array:
    return value.const if value.const is not None else known[value]


def _disturbed(node: Node, result: Array, rng: np.random.Generator, size: float) -> Array:
    if result.dtype.kind != "f" or not result.size or node.op in _MOVES:
        return result
    terms = max(_terms(node, result), 1)
    reach = size * (2 + math.sqrt(terms)) * float(np.max(np.abs(result)))
    return np.asarray(result + reach * rng.uniform(-1, 1, result.shape))


#: Operators that copy: they round nothing.
_MOVES = frozenset(
    ("Concat", "Expand", "Flatten", "Gather", "Identity", "MaxPool", "Pad", "Relu", "Reshape", "Slice", "Split",
     "Squeeze", "Transpose", "Unsqueeze", "Where", "Max", "Min", "Neg", "Abs", "Clip")
)  # fmt: skip


def _terms(node: Node, result: Array) -> int:
    """The number of terms that a sum of the operator has, from its multiplications or from how it shrinks its input."""
    first = node.inputs[0] if node.inputs else None
    size = first.type.size if first is not None and isinstance(first.type, TensorType) else None
    return max((macs(node) or 0) // result.size, (size or 0) // result.size)


def widened(graph: Graph) -> Graph:
    """The graph in float64. Raises Unjudged for one with subgraphs."""
    mapping: dict[Value, Value] = {}

    def wide(value: Value | None) -> Value | None:
        if value is None:
            return None
        if value not in mapping:
            type_ = value.type
            if isinstance(type_, TensorType) and type_.dtype.is_float:
                type_ = replace(type_, dtype=DType.FLOAT64)
            const = None if value.const is None else _wide(value.const)
            mapping[value] = Value(value.name, type_, const)
        return mapping[value]

    def each(values: tuple[Value | None, ...]) -> tuple[Any, ...]:
        return tuple(map(wide, values))

    nodes = []
    for node in graph.nodes:
        if node.subgraphs:
            raise Unjudged(f"{node.op_id} holds a graph")
        attributes = dict(node.attributes)
        target = attributes.get("to")
        if node.op == "Cast" and isinstance(target, int) and DType.from_onnx(target).is_float:
            attributes["to"] = DType.FLOAT64.onnx
        nodes.append(
            node.replace(inputs=each(node.inputs), outputs=each(node.outputs), attributes=attributes)
        )
    return graph.replace(
        inputs=each(graph.inputs), outputs=each(graph.outputs), nodes=tuple(nodes), defaults={}
    )


def _wide(array: Array) -> Array:
    if array.dtype == object or not DType.from_numpy(array.dtype).is_float:
        return array
    return array.astype(np.float64)


def _floats(graph: Graph) -> set[DType]:
    values = [*graph.inputs, *(v for n in graph.nodes for v in n.results)]
    return {v.type.dtype for v in values if isinstance(v.type, TensorType) and v.type.dtype.is_float}
