"""What the plan does with memory: views, concatenation by offset, in-place kernels, arenas near their lower bound."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import orpheus_core as orpheus

pytest.importorskip("orpheus_numpy")


def build(nodes: list[Any], inputs: dict[str, Any], outputs: list[str], **arrays: Any) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in inputs.items()],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [onnx.numpy_helper.from_array(a, n) for n, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def plain(model: onnx.ModelProto) -> Any:
    return orpheus.InferenceSession(model, providers=["numpy"], enable_passes=[])


def draw(*shape: int) -> Any:
    return np.random.default_rng(1).standard_normal(shape).astype(np.float32)


def test_reshape_costs_no_step() -> None:
    model = build(
        [helper.make_node("Relu", ["x"], ["r"]), helper.make_node("Reshape", ["r", "s"], ["y"])],
        {"x": [2, 6]},
        ["y"],
        s=np.array([3, 4]),
    )
    s = plain(model)
    assert [r.kernel_id for r in s.kernel_plan()] == ["numpy:Relu/reference", "core:Reshape/view"]
    x = draw(2, 6)
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], np.maximum(x, 0).reshape(3, 4))


def test_concat_is_an_offset_when_batch_is_one() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Neg", ["x"], ["b"]),
        helper.make_node("Concat", ["a", "b"], ["c"], axis=1),
        helper.make_node("Exp", ["c"], ["y"]),
    ]
    x1, x2 = draw(1, 3, 4), draw(2, 3, 4)
    for x, elided in ((x1, True), (x2, False)):
        s = plain(build(nodes, {"x": list(x.shape)}, ["y"]))
        assert ("core:Concat/offset" in [r.kernel_id for r in s.kernel_plan()]) is elided
        want = np.exp(np.concatenate([np.maximum(x, 0), -x], axis=1))
        np.testing.assert_allclose(s.run(None, {"x": x})[0], want, rtol=1e-6)


def test_an_output_that_is_also_concatenated_stays_whole() -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["a"]),
        helper.make_node("Concat", ["a", "a", "x"], ["c"], axis=1),
        helper.make_node("Split", ["c"], ["p", "q", "r"], axis=1, num_outputs=3),
        helper.make_node("Neg", ["q"], ["n"]),
    ]
    s = plain(build(nodes, {"x": [1, 2]}, ["a", "p", "n", "r"]))
    x = draw(1, 2)
    a, p, n, r = s.run(None, {"x": x})
    np.testing.assert_array_equal(a, np.maximum(x, 0))
    np.testing.assert_array_equal(p, a)
    np.testing.assert_array_equal(n, -a)
    np.testing.assert_array_equal(r, x)


def test_a_chain_of_in_place_kernels_needs_little_memory() -> None:
    names = ["x", *(f"v{i}" for i in range(20))]
    nodes = [helper.make_node("Relu", [a], [b]) for a, b in pairwise(names)]
    s = plain(build(nodes, {"x": [1000]}, [names[-1]]))
    assert s.stats.arena_bytes <= 3 * 4096
    x = draw(1000)
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], np.maximum(x, 0))


def test_a_value_read_later_is_not_overwritten_in_place() -> None:
    nodes = [
        helper.make_node("Neg", ["x"], ["a"]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["y"]),
    ]
    s = plain(build(nodes, {"x": [64]}, ["y"]))
    x = draw(64)
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], -x + np.maximum(-x, 0))


def test_feeds_and_constants_are_never_written() -> None:
    nodes = [helper.make_node("Relu", ["x"], ["a"]), helper.make_node("Add", ["a", "k"], ["y"])]
    k = draw(8)
    s = plain(build(nodes, {"x": [8]}, ["y"], k=k))
    x = draw(8)
    before = x.copy()
    first = s.run(None, {"x": x})[0]
    second = s.run(None, {"x": x})[0]
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(first, second)
    assert not np.shares_memory(first, second)


def test_outputs_survive_the_next_run_and_do_not_alias_feeds() -> None:
    s = plain(build([helper.make_node("Identity", ["x"], ["y"])], {"x": ["N"]}, ["y"]))
    x = draw(5)
    (y,) = s.run(None, {"x": x})
    assert not np.shares_memory(x, y)
    kept = y.copy()
    s.run(None, {"x": x + 1})
    np.testing.assert_array_equal(y, kept)
