"""A node like one before it takes over what was found out about that one, and nothing else's."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from importer.making import constant, model_of, tensor_info, through
from onnx import helper

from orpheus_core.errors import ModelError
from orpheus_core.importer import load


def chain(op: str, seconds: dict[str, Any], opset: int = 20, **attributes: Any) -> Any:
    """Nodes of ``op`` on x [2, 6], one for each named second operand; their results are the model's outputs."""
    nodes = [helper.make_node(op, ["x", name], [f"y_{name}"], f"n_{name}", **attributes) for name in seconds]
    weights = [constant(name, array) for name, array in seconds.items()]
    outputs = [tensor_info(node.output[0]) for node in nodes]
    return model_of(nodes, [tensor_info("x", [2, 6])], outputs, initializers=weights, opset=opset)


def test_equal_nodes_are_equal_and_named_apart() -> None:
    graph = load(chain("MatMul", {"a": np.ones((6, 4), np.float32), "b": np.zeros((6, 4), np.float32)})).graph
    first, second = graph.nodes
    assert [n.name for n in graph.nodes] == ["n_a", "n_b"]
    assert [v.name for v in graph.outputs] == ["y_a", "y_b"]
    assert first.outputs[0] is not second.outputs[0]
    assert first.inputs[1] is not second.inputs[1]
    assert [n.outputs[0].type.shape for n in graph.nodes if n.outputs[0]] == [(2, 4), (2, 4)]


def test_targets_of_other_values_give_other_shapes() -> None:
    targets = {
        name: np.array(shape, np.int64) for name, shape in (("a", [3, 4]), ("b", [4, 3]), ("c", [3, 4]))
    }
    graph = load(chain("Reshape", targets)).graph
    assert [v.type.shape for v in graph.outputs] == [(3, 4), (4, 3), (3, 4)]


def test_scales_of_other_values_give_other_shapes() -> None:
    nodes = [helper.make_node("Resize", ["x", "", s], [f"y_{s}"], mode="nearest") for s in "ab"]
    weights = [constant("a", np.array([1, 2], np.float32)), constant("b", np.array([2, 1], np.float32))]
    outputs = [tensor_info("y_a"), tensor_info("y_b")]
    graph = load(model_of(nodes, [tensor_info("x", [2, 6])], outputs, initializers=weights)).graph
    assert [v.type.shape for v in graph.outputs] == [(2, 12), (4, 6)]


def test_values_that_a_like_node_made_known_are_known_again() -> None:
    nodes = []
    for i in "ab":
        nodes += [
            helper.make_node("Shape", ["x"], [f"s_{i}"], f"shape_{i}"),
            helper.make_node("Expand", ["one", f"s_{i}"], [f"y_{i}"], f"expand_{i}"),
        ]
    one, outputs = [constant("one", np.ones((1, 1), np.float32))], [tensor_info("y_a"), tensor_info("y_b")]
    graph = load(model_of(nodes, [tensor_info("x", [2, 6])], outputs, initializers=one)).graph
    assert [v.type.shape for v in graph.outputs] == [(2, 6), (2, 6)]


def test_a_bad_node_after_a_good_one_of_other_weights_is_named() -> None:
    good, bad = np.ones((6, 4), np.float32), np.ones((5, 4), np.float32)
    with pytest.raises(ModelError, match=re.escape("'n_b' (MatMul)")):
        load(chain("MatMul", {"a": good, "again": good, "b": bad}))


def test_a_like_node_may_not_define_a_name_again() -> None:
    twice = [helper.make_node("Relu", ["x"], ["y"], name) for name in ("first", "second")]
    with pytest.raises(ModelError, match=r"'second'.*'y' is already defined"):
        load(model_of(twice, [tensor_info("x", [2])], [tensor_info("y")]))


def test_attributes_tell_nodes_apart() -> None:
    nodes = [helper.make_node("Flatten", ["x"], [f"y{i}"], axis=axis) for i, axis in enumerate((0, 1, 0))]
    graph = load(model_of(nodes, [tensor_info("x", [2, 6])], [tensor_info(n.output[0]) for n in nodes])).graph
    assert [v.type.shape for v in graph.outputs] == [(1, 12), (2, 6), (1, 12)]


def test_old_forms_that_repeat_compute_the_same() -> None:
    nodes = [
        helper.make_node("Unsqueeze", ["x"], ["a"], "first", axes=[1]),
        helper.make_node("Unsqueeze", ["x"], ["b"], "second", axes=[1]),
        helper.make_node("Softmax", ["a"], ["c"], "third"),
        helper.make_node("Softmax", ["b"], ["d"], "fourth"),
        helper.make_node("Add", ["c", "d"], ["y"], "last"),
    ]
    model = model_of(nodes, [tensor_info("x", [2, 6])], [tensor_info("y")], opset=11)
    x = np.random.default_rng(0).standard_normal((2, 6)).astype(np.float32)
    (found,) = through(model, {"x": x})
    # Softmax of opset 11 is over all axes from axis 1 on; two equal ones are twice one.
    wide = np.exp(x.astype(np.float64))
    want = 2 * (wide / wide.sum(axis=1, keepdims=True))[:, None]
    np.testing.assert_allclose(found, want, rtol=1e-6)
