"""Subgraphs by name, for cases of control-flow operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from orpheus_conformance.case import Body, CaseError, Operand
from orpheus_conformance.values import array_of
from orpheus_core.graph import Graph, Value
from orpheus_core.importer.export import to_onnx
from orpheus_core.ops.build import make_node
from orpheus_core.types import DType

_BUILDERS: dict[str, Callable[..., Graph]] = {}


def body(name: str) -> Callable[[Callable[..., Graph]], Callable[..., Graph]]:
    """Register a function that builds a subgraph from plain arguments; a case names it as ``Body(name, arguments)``."""

    def register(builder: Callable[..., Graph]) -> Callable[..., Graph]:
        _BUILDERS[name] = builder
        return builder

    return register


def build(wanted: Body) -> Any:
    """The subgraph that a case names; CaseError when there is none of that name, or its arguments do not fit."""
    if wanted.name not in _BUILDERS:
        raise CaseError(
            f"no subgraph is called {wanted.name!r}; there are {', '.join(sorted(_BUILDERS)) or 'none'}"
        )
    try:
        return _BUILDERS[wanted.name](*wanted.arguments)
    except TypeError as error:
        raise CaseError(f"subgraph {wanted.name!r} does not take {wanted.arguments!r}: {error}") from error


def callables(attributes: Mapping[str, Any]) -> dict[str, Callable[..., tuple[Any, ...]]]:
    """Subgraphs among a layer's attributes as functions, by ``onnx.reference``: what a kernel of control flow calls."""
    return {name: _callable(graph) for name, graph in attributes.items() if isinstance(graph, Graph)}


def _callable(graph: Graph) -> Callable[..., tuple[Any, ...]]:
    evaluator = ReferenceEvaluator(to_onnx(graph))

    def call(*inputs: Any) -> tuple[Any, ...]:
        results = evaluator.run(None, dict(zip(evaluator.input_names, inputs)))
        return tuple(r if isinstance(r, list) else np.asarray(r) for r in results)

    return call


def _tensor(dtype: str, shape: tuple[int, ...], seed: int) -> Value:
    return Value.constant("c", array_of(Operand(dtype, tuple(shape), "small"), seed))


def _scalar(dtype: str, value: int) -> Value:
    return Value.constant("c", np.array(value).astype(DType(dtype).numpy))


@body("tensors")
def _tensors(dtype: str, shapes: tuple[tuple[int, ...], ...], seed: int) -> Graph:
    """A branch of If: a constant as it is, a second one that a node computes."""
    outputs = [_tensor(dtype, shape, seed + n) for n, shape in enumerate(shapes)]
    node = make_node("Concat", [outputs[-1]], [Value("y")], {"axis": 0})
    return Graph((), (*outputs[:-1], *node.results), (node,), "branch")


@body("sequences")
def _sequences(dtype: str, shapes: tuple[tuple[int, ...], ...], seed: int) -> Graph:
    """A branch of If that makes a sequence."""
    parts = [_tensor(dtype, shape, seed + n) for n, shape in enumerate(shapes)]
    node = make_node("SequenceConstruct", parts, [Value("y")])
    return Graph((), node.results, (node,), "branch")


@body("repeat")
def _repeat(dtype: str, scans: int, stop: int) -> Graph:
    """A body of Loop: one is added to what is carried, while the number is below ``stop``; scans sum and number."""
    number, going, carried = Value("i"), Value("going"), Value("x")
    less = make_node("Less", [number, _scalar("int64", stop)], [Value("less")])
    add = make_node("Add", [carried, _scalar(dtype, 1)], [Value("sum")])
    scanned = (add.results[0], number)[:scans]
    return Graph((number, going, carried), (less.results[0], add.results[0], *scanned), (less, add), "body")


@body("collect")
def _collect(dtype: str) -> Graph:
    """A body of Loop that carries a sequence, which grows by the iteration's number, and scans its length."""
    number, going, items = Value("i"), Value("going"), Value("items")
    cast = make_node("Cast", [number], [Value("n")], {"to": DType(dtype).onnx})
    insert = make_node("SequenceInsert", [items, cast.results[0]], [Value("more")])
    length = make_node("SequenceLength", [insert.results[0]], [Value("length")])
    outputs = (going, insert.results[0], length.results[0])
    return Graph((number, going, items), outputs, (cast, insert, length), "body")


@body("running")
def _running(states: int, elements: int) -> Graph:
    """A body of Scan: the first state adds the first element up; scans the sum, and each further element doubled."""
    inputs = tuple(Value(f"s{n}") for n in range(states)) + tuple(Value(f"x{n}") for n in range(elements))
    first = inputs[states]
    nodes, after = [], list(inputs[:states])
    if states:
        nodes.append(make_node("Add", [inputs[0], first], [Value("sum")]))
        after[0] = nodes[0].results[0]
    scanned = [after[0] if states else first]
    for element in inputs[states + 1 :]:
        nodes.append(make_node("Add", [element, element], [Value("double")]))
        scanned.append(nodes[-1].results[0])
    return Graph(inputs, (*after, *scanned), tuple(nodes), "body")


@body("each")
def _each(inputs: int) -> Graph:
    """A body of SequenceMap: the first input's shape, and the sum of the first two or the first itself."""
    values = tuple(Value(f"x{n}") for n in range(inputs))
    shape = make_node("Shape", [values[0]], [Value("shape")])
    if inputs == 1:
        node = make_node("Identity", [values[0]], [Value("same")])
    else:
        node = make_node("Add", values[:2], [Value("sum")])
    return Graph(values, (node.results[0], shape.results[0]), (shape, node), "body")
