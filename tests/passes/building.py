"""Writing small graphs for the tests of passes, and running them with onnx.reference."""

from __future__ import annotations

import numpy as np
import pytest
from onnx.inliner import inline_local_functions
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes

from orpheus_core.graph import Graph, Value
from orpheus_core.importer import to_onnx
from orpheus_core.importer.infer import Inference
from orpheus_core.ops import make_node
from orpheus_core.types import DType, TensorType


class Builder:
    """Nodes one after the other, each with the types that ONNX infers."""

    def __init__(self):
        self.inputs = []
        self.nodes = []
        self.inference = Inference()
        self.count = 0

    def name(self, hint):
        self.count += 1
        return f"{hint}{self.count}"

    def input(self, *shape, dtype=DType.FLOAT32, name=None):
        value = Value(name or self.name("x"), TensorType(dtype, shape))
        self.inputs.append(value)
        return value

    def const(self, array, dtype=None):
        return Value.constant(self.name("c"), np.asarray(array, dtype))

    def ints(self, *numbers):
        return self.const(np.array(numbers, np.int64))

    def op(self, op, *inputs, outputs=1, **attributes):
        """The only result of a new node, or the tuple of its ``outputs`` results."""
        results = [Value(self.name(op.lower())) for _ in range(outputs)]
        self.add(make_node(op, inputs, results, attributes, name=results[0].name))
        return results[0] if outputs == 1 else tuple(results)

    def add(self, node):
        self.inference.node(node)
        self.nodes.append(node)

    def graph(self, *outputs, name="test"):
        return Graph(tuple(self.inputs), tuple(outputs), tuple(self.nodes), name)

    def branch(self, *outputs):
        """A subgraph without inputs."""
        return Graph((), tuple(outputs), tuple(self.nodes), self.name("branch"))

    def inner(self):
        """A builder for a subgraph of this graph."""
        inner = Builder()
        inner.name, inner.inference = self.name, self.inference
        return inner


def ops(graph):
    """Operator names in order, those of subgraphs after the node that holds them."""
    return [node.op for node in graph.walk()]


def feeds_of(graph, seed=0):
    """Random arrays for the inputs by name; symbols become 2."""
    rng = np.random.default_rng(seed)
    feeds = {}
    for value in graph.inputs:
        shape = tuple(d if isinstance(d, int) else 2 for d in value.type.shape)
        feeds[value.name] = np.asarray(rng.normal(size=shape)).astype(value.type.dtype.numpy)
    return feeds


def evaluate(graph, feeds):
    """The outputs of a graph on inputs by name."""
    # The reference evaluator expands Gelu and the like by their types, which it only looks for outside functions.
    model = infer_shapes(inline_local_functions(to_onnx(graph)))
    return ReferenceEvaluator(model).run(None, {v.name: feeds[v.name] for v in graph.inputs})


def evaluate_by_onnxruntime(graph, feeds):
    """The same by ONNX Runtime, for operators that the reference evaluator gets wrong."""
    model = to_onnx(graph, opset=21, ir_version=10)
    session = pytest.importorskip("onnxruntime").InferenceSession(model.SerializeToString())
    return session.run(None, {v.name: feeds[v.name] for v in graph.inputs})


def signature(graph):
    """What a caller sees: names and types of inputs and outputs."""
    return [(v.name, v.type) for v in (*graph.inputs, *graph.outputs)]


def assert_close(expected, actual, message="", roundings=1000):
    """The same shapes and types; numbers differ by no more than ``roundings`` of the largest magnitude explain."""
    assert len(expected) == len(actual), message
    for a, b in zip(expected, actual):
        a, b = np.asarray(a), np.asarray(b)
        assert a.shape == b.shape and a.dtype == b.dtype, (message, a.shape, b.shape, a.dtype, b.dtype)
        if a.dtype.kind != "f":
            assert np.array_equal(a, b), message
            continue
        bound = roundings * np.finfo(a.dtype).eps * max(1.0, float(np.max(np.abs(a), initial=0.0)))
        assert np.max(np.abs(a - b), initial=0.0) <= bound, message


def check(run, graph, expected_ops=None, evaluate=evaluate):
    """Run a pass: same interface, same results, idempotent, and the given operators left."""
    feeds, before, text = feeds_of(graph), signature(graph), str(graph)
    expected = evaluate(graph, feeds)
    after = run(graph)
    assert signature(after) == before
    assert all(a is b for a, b in zip(graph.outputs, after.outputs))
    assert_close(expected, evaluate(after, feeds), f"{text}\n{after}")
    assert run(after) is after
    if expected_ops is not None:
        assert ops(after) == expected_ops, str(after)
    return after


def name_seen(graph):
    """A pass that a plugin might add: names the graph "seen"."""
    return graph if graph.name == "seen" else graph.replace(name="seen")
