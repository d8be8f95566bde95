"""Small graphs written by hand, and an evaluator that shares no code with Orpheus: onnx.reference."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from orpheus_core.graph import Graph, Value
from orpheus_core.ops import find_spec, latest_version, make_node
from orpheus_core.types import type_of_array


def compute(node, arrays):
    """One standard node on arrays (None where omitted), by onnx.reference."""
    group = node.attributes.get("group", 1)
    if node.op == "ConvTranspose" and group > 1:
        # onnx.reference cannot do groups whose channel counts differ.
        one = node.replace(attributes={**node.attributes, "group": 1})
        parts = [np.split(a, group, axis) for a, axis in zip(arrays, (1, 0, 0)) if a is not None]
        return [np.concatenate([compute(one, piece)[0] for piece in zip(*parts)], axis=1)]
    names = ["" if a is None else f"i{k}" for k, a in enumerate(arrays)]
    outputs = ["" if v is None else f"o{k}" for k, v in enumerate(node.outputs)]
    proto = helper.make_node(node.op, names, outputs, **node.attributes)
    info = [helper.make_tensor_value_info(n, 0, None) for n in names if n]
    for entry, array in zip(info, [a for a in arrays if a is not None]):
        entry.type.tensor_type.elem_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    results = [
        helper.make_tensor_value_info(n, info[0].type.tensor_type.elem_type, None) for n in outputs if n
    ]
    model = helper.make_model(
        helper.make_graph([proto], "one", info, results),
        opset_imports=[helper.make_opsetid("", onnx.defs.onnx_opset_version())],
    )
    feeds = {n: a for n, a in zip(names, arrays) if n}
    return [np.asarray(r) for r in ReferenceEvaluator(model).run(None, feeds)]


def execute(graph, feeds):
    """Every value of a graph as an array; fused operators by their decomposition."""
    known = dict(zip(graph.inputs, feeds))
    for node in graph.nodes:
        arrays = [None if v is None else v.const if v.const is not None else known[v] for v in node.inputs]
        spec = find_spec(node.domain, node.op, latest_version(node.domain))
        if spec.decompose is None:
            results = compute(node, arrays)
        else:
            parts = spec.decompose(node)
            inner = execute(parts, [a for a in arrays if a is not None])
            results = [inner[v] for v in parts.outputs]
        known.update(zip(node.results, results))
    return known


class Build:
    """Writes a graph while running it: every value has the type of what it holds."""

    def __init__(self, dtype=np.float64, seed=0):
        self.dtype = np.dtype(dtype)
        self.random = np.random.default_rng(seed)
        self.inputs = []
        self.feeds = []
        self.nodes = []
        self.held = {}

    def array(self, *shape, low=-1.0, high=1.0):
        return self.random.uniform(low, high, shape).astype(self.dtype)

    def input(self, *shape, symbol=None, spread=1.0):
        array = self.array(*shape, low=-spread, high=spread)
        value = Value(f"x{len(self.inputs)}", type_of_array(array))
        if symbol is not None:
            value.type = value.type.with_shape((symbol, *shape[1:]))
        self.inputs.append(value)
        self.feeds.append(array)
        self.held[value] = array
        return value

    def constant(self, array):
        return Value.constant(f"c{len(self.nodes)}_{len(self.held)}", np.asarray(array))

    def __call__(self, op, *inputs, outputs=1, domain="", **attributes):
        values = [
            v
            if v is None or isinstance(v, Value)
            else self.constant(np.asarray(v, None if hasattr(v, "dtype") else self.dtype))
            for v in inputs
        ]
        results = [Value(f"v{len(self.nodes)}_{i}") for i in range(outputs)]
        node = make_node(op, values, results, attributes, name=f"n{len(self.nodes)}", domain=domain)
        feeds = [None if v is None else v.const if v.const is not None else self.held[v] for v in values]
        symbol = next(
            (
                v.type.shape[0]
                for v in values
                if v is not None and v.type.shape and isinstance(v.type.shape[0], str)
            ),
            None,
        )
        for value, array in zip(results, compute(node, feeds)):
            self.held[value] = array
            value.type = type_of_array(array)
            if symbol is not None and array.ndim > 1:
                value.type = value.type.with_shape((symbol, *array.shape[1:]))
        self.nodes.append(node)
        return results[0] if outputs == 1 else results

    def graph(self, *outputs):
        return Graph(tuple(self.inputs), tuple(outputs), tuple(self.nodes))

    def norm(self, x, channels, **changes):
        """An inference BatchNormalization with random parameters."""
        gamma, beta = self.array(channels, low=0.5, high=2), self.array(channels)
        if "beta" in changes:
            beta[:] = changes["beta"]
        mean, variance = self.array(channels), self.array(channels, low=0.1, high=3)
        if "mean" in changes:
            mean[:] = changes["mean"]
        return self("BatchNormalization", x, gamma, beta, mean, variance)


def check(build, graph, run, *, tolerance=1e-12):
    """Apply a pass and compare every output, relative to its largest magnitude; gives the new graph."""
    after = run(graph)
    assert run(after) is after, "a pass must change nothing in its own result"
    assert after.inputs == graph.inputs
    assert after.outputs == graph.outputs
    names = [v.name for node in after.nodes for v in node.results]
    assert len(set(names)) == len(names)
    known = execute(after, build.feeds)
    for value in graph.outputs:
        want = build.held[value]
        got = known[value]
        assert got.dtype == want.dtype
        assert got.shape == want.shape
        scale = max(np.abs(want).max(), 1e-30)
        assert np.abs(got.astype(np.float64) - want).max() <= tolerance * scale
    return after


@pytest.fixture
def build():
    return Build()


@pytest.fixture
def make_build():
    return Build


@pytest.fixture(name="check")
def check_fixture():
    return check


@pytest.fixture
def ops():
    """The operators of a graph, in order."""
    return lambda graph: [node.op for node in graph.nodes]
