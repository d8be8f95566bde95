"""Small models for the importer's tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from orpheus_core.importer import load, to_onnx

FLOAT = onnx.TensorProto.FLOAT
INT64 = onnx.TensorProto.INT64
BOOL = onnx.TensorProto.BOOL


def tensor_info(name: str, shape: Any = None, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def constant(name: str, array: Any) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(array), name)


def model_of(
    nodes: Any,
    inputs: Any,
    outputs: Any,
    *,
    initializers: Any = (),
    opset: int = 20,
    ir_version: int = 9,
    functions: Any = (),
    domains: dict[str, int] | None = None,
    sparse: Any = (),
) -> onnx.ModelProto:
    graph = helper.make_graph(list(nodes), "g", list(inputs), list(outputs), list(initializers))
    graph.sparse_initializer.extend(sparse)
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(domain, version) for domain, version in (domains or {}).items()]
    model = helper.make_model(graph, opset_imports=imports, functions=list(functions))
    model.ir_version = ir_version
    return model


def relu(inputs: Any = ("x",), outputs: Any = ("y",), name: str = "n") -> onnx.NodeProto:
    return helper.make_node("Relu", list(inputs), list(outputs), name)


def small_network() -> onnx.ModelProto:
    """Conv, Relu, Flatten, Gemm with weights: something of everything a file holds."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], "conv", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flatten"),
        helper.make_node("Gemm", ["f", "m"], ["y"], "gemm", transB=1),
    ]
    weights = [
        constant("w", rng.standard_normal((4, 3, 3, 3), dtype=np.float32)),
        constant("b", rng.standard_normal(4, dtype=np.float32)),
        constant("m", rng.standard_normal((5, 4), dtype=np.float32)),
    ]
    return model_of(
        nodes, [tensor_info("x", ["N", 3, 8, 8])], [tensor_info("y", ["N", 5])], initializers=weights
    )


def loop_model() -> onnx.ModelProto:
    """A Loop with an If inside, captures, a carried value and a stacked output."""
    then = helper.make_graph(
        [helper.make_node("Add", ["acc", "x"], ["t"])], "then", [], [tensor_info("t", [2])]
    )
    other = helper.make_graph(
        [helper.make_node("Sub", ["acc", "x"], ["e"])], "else", [], [tensor_info("e", [2])]
    )
    body = helper.make_graph(
        [
            helper.make_node("Constant", [], ["one"], value_int=1),
            helper.make_node("Less", ["i", "one"], ["first"]),
            helper.make_node("If", ["first"], ["next"], then_branch=then, else_branch=other),
            helper.make_node("Identity", ["next"], ["scan"]),
            helper.make_node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [tensor_info("i", [], INT64), tensor_info("go", [], BOOL), tensor_info("acc", [2])],
        [tensor_info("go_on", [], BOOL), tensor_info("next", [2]), tensor_info("scan", [2])],
    )
    nodes = [
        helper.make_node("Constant", [], ["trips"], value=constant("", np.array(3, np.int64))),
        helper.make_node("Loop", ["trips", "always", "x"], ["last", "all"], "loop", body=body),
    ]
    always = [constant("always", np.array(True))]
    return model_of(
        nodes,
        [tensor_info("x", [2])],
        [tensor_info("last", [2]), tensor_info("all", ["T", 2])],
        initializers=always,
    )


def evaluate(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """The reference evaluator's results."""
    return ReferenceEvaluator(model).run(None, feeds)


def through(model: onnx.ModelProto, feeds: dict[str, Any]) -> list[Any]:
    """Results of the model after it was imported, brought up to date and written again."""
    return evaluate(to_onnx(load(model).graph), feeds)
