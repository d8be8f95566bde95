"""Inferring types, binding shapes, and writing graphs with Orpheus's own operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from importer.making import INT64, constant, evaluate, loop_model, model_of, small_network, tensor_info
from onnx import TensorProto, helper

import orpheus_core as orpheus
from orpheus_core.errors import InputError, LimitError, ModelError, UnsupportedModelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer import bind_shapes, infer, infer_types, load, to_onnx
from orpheus_core.ops import make_node
from orpheus_core.types import DType, TensorType, ValueType


def shapes(graph: Graph) -> list[Any]:
    return [v.type.shape for n in graph.nodes for v in n.results]


def test_binding_fixes_every_shape() -> None:
    original = load(small_network()).graph
    bound = bind_shapes(original, {"x": (7, 3, 8, 8)})
    assert shapes(bound) == [(7, 4, 8, 8), (7, 4, 8, 8), (7, 4, 1, 1), (7, 4), (7, 5)]
    assert original.inputs[0].type.shape[0] == "N"
    assert all(v.type.shape[0] != 7 for n in original.nodes for v in n.results)
    assert not {v for n in original.nodes for v in n.results} & {v for n in bound.nodes for v in n.results}
    assert bound.nodes[0].inputs[1] is original.nodes[0].inputs[1]


def test_binding_one_input_binds_its_symbols_elsewhere() -> None:
    node = helper.make_node("Add", ["a", "b"], ["y"])
    graph = load(
        model_of(
            [node], [tensor_info("a", ["N", 2]), tensor_info("b", ["N", 2])], [tensor_info("y", ["N", 2])]
        )
    ).graph
    bound = bind_shapes(graph, {"a": (5, 2)})
    assert bound.inputs[1].type.shape == (5, 2)
    assert shapes(bound) == [(5, 2)]
    with pytest.raises(InputError, match=r"'N' 4.*'a'.*5"):
        bind_shapes(graph, {"a": (5, 2), "b": (4, 2)})


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"z": (1,)}, "no input 'z'"),
        ({"x": (1, 3, 8)}, "rank 4"),
        ({"x": (1, 4, 8, 8)}, "axis 1"),
        ({"x": (-1, 3, 8, 8)}, "negative"),
    ],
)
def test_shapes_that_contradict_the_model(given: Any, match: str) -> None:
    with pytest.raises(InputError, match=match):
        bind_shapes(load(small_network()).graph, given)


def test_binding_reaches_into_bodies() -> None:
    graph = load(loop_model()).graph
    again = bind_shapes(graph, {"x": (2,)})
    (body,) = again.nodes[0].subgraphs
    (old,) = graph.nodes[0].subgraphs
    assert not set(body.inputs) & set(old.inputs)
    assert again.inputs[0] in body.captures
    assert str(again) == str(graph)
    x = np.array([3, 4], np.float32)
    for a, b in zip(evaluate(to_onnx(again), {"x": x}), evaluate(loop_model(), {"x": x})):
        np.testing.assert_array_equal(a, b)


def reshaping() -> Any:
    """(N, 3, 4) -> (N, 12) through Shape, Gather, Unsqueeze and Concat, as exporters write it."""
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Unsqueeze", ["n", "axes"], ["n1"]),
        helper.make_node("Concat", ["n1", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
        helper.make_node("Mul", ["n", "n"], ["square"]),
        helper.make_node("Range", ["zero", "square", "n"], ["count"]),
    ]
    stored = [
        constant("zero", np.array(0)),
        constant("axes", np.array([0])),
        constant("rest", np.array([-1])),
    ]
    outputs = [tensor_info("y", None), tensor_info("count", None, INT64)]
    return model_of(nodes, [tensor_info("x", ["N", 3, 4])], outputs, initializers=stored)


def test_shape_arithmetic_is_followed() -> None:
    graph = load(reshaping()).graph
    assert graph.outputs[0].type.rank == 2
    bound = bind_shapes(graph, {"x": (6, 3, 4)})
    assert [v.type.shape for v in bound.outputs] == [(6, 12), (6,)]


def test_inference_may_be_repeated_after_a_change() -> None:
    x, y, z = Value("x", TensorType(DType.FLOAT32, (2, 6))), Value("y"), Value("z")
    target = Value.constant("t", np.array([3, -1]))
    graph = Graph((x,), (z,), (make_node("Reshape", [x, target], [y]), make_node("Relu", [y], [z])))
    assert infer_types(graph) is graph
    assert z.type == TensorType(DType.FLOAT32, (3, 4))
    x.type = TensorType(DType.FLOAT32, (2, 9))
    infer_types(graph)
    assert z.type == TensorType(DType.FLOAT32, (3, 6))


def test_contradictions_are_refused() -> None:
    x, w, y = (Value(n, TensorType(DType.FLOAT32, s)) for n, s in (("x", (2, 3)), ("w", (4, 5)), ("y", None)))
    with pytest.raises(ModelError, match="MatMul"):
        infer_types(Graph((x, w), (y,), (make_node("MatMul", [x, w], [y]),)))


def test_carried_shapes_that_grow_lose_their_dimension() -> None:
    body = helper.make_graph(
        [helper.make_node("Concat", ["a", "x"], ["b"], axis=0), helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [tensor_info("i", [], INT64), tensor_info("c", [], 9), tensor_info("a", None)],
        [tensor_info("d", [], 9), tensor_info("b", None)],
    )
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
    inputs = [tensor_info("x", [2, 3]), tensor_info("n", [], INT64)]
    graph = load(model_of([node], inputs, [tensor_info("y", None)])).graph
    assert graph.outputs[0].type == TensorType(DType.FLOAT32, (None, 3))


def test_branches_of_different_rank_leave_the_shape_open() -> None:
    then = helper.make_graph([helper.make_node("Neg", ["x"], ["a"])], "t", [], [tensor_info("a", None)])
    other = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["b"], keepdims=0)], "e", [], [tensor_info("b", None)]
    )
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    graph = load(
        model_of([node], [tensor_info("x", [2]), tensor_info("c", [], 9)], [tensor_info("y", None)])
    ).graph
    assert graph.outputs[0].type == TensorType(DType.FLOAT32, None)


def test_scan_slices_and_stacks() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "e"], ["t"]), helper.make_node("Identity", ["t"], ["o"])],
        "body",
        [tensor_info("s", None), tensor_info("e", None)],
        [tensor_info("t", None), tensor_info("o", None)],
    )
    node = helper.make_node(
        "Scan",
        ["x", "z"],
        ["y", "all"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[1],
        scan_output_axes=[-1],
    )
    inputs = [tensor_info("x", [2]), tensor_info("z", [2, 5])]
    graph = load(model_of([node], inputs, [tensor_info("y", None), tensor_info("all", None)])).graph
    assert [v.type.shape for v in graph.outputs] == [(2,), (2, 5)]


def fused() -> Graph:
    """A fused convolution, as the passes make it."""
    x = Value("x", TensorType(DType.FLOAT32, (1, 2, 6, 6)))
    w = Value.constant("w", np.random.default_rng(0).standard_normal((3, 2, 3, 3)).astype(np.float32))
    y = Value("y")
    node = make_node(
        "FusedConv",
        [x, w],
        [y],
        {"activation": "Relu", "kernel_shape": (3, 3)},
        domain="ai.orpheus",
        name="fused",
    )
    return infer_types(Graph((x,), (y,), (node,)))


def test_types_of_fused_operators() -> None:
    assert fused().outputs[0].type == TensorType(DType.FLOAT32, (1, 3, 4, 4))


def test_fused_operators_are_exported_as_functions() -> None:
    graph = fused()
    model = to_onnx(graph)
    assert len(model.functions) == 1
    x = np.random.default_rng(1).standard_normal((1, 2, 6, 6), dtype=np.float32)
    (got,) = evaluate(model, {"x": x})
    parts = [
        helper.make_node("Conv", ["x", "w"], ["c"]),
        helper.make_node("Relu", ["c"], ["y"]),
    ]
    plain = model_of(
        parts, [tensor_info("x", [1, 2, 6, 6])], [tensor_info("y", None)],
        initializers=[constant("w", graph.nodes[0].inputs[1].const)],
    )  # fmt: skip
    np.testing.assert_allclose(got, evaluate(plain, {"x": x})[0], rtol=1e-6)
    assert [n.op for n in load(model).graph.nodes] == ["Conv", "Relu"]


def test_export_chooses_an_old_opset_where_forms_only_widened() -> None:
    model = to_onnx(load(small_network()).graph)
    assert model.opset_import[0].version == 17
    assert to_onnx(load(small_network()).graph, opset=13).opset_import[0].version == 13
    gelu = model_of(
        [helper.make_node("Gelu", ["x"], ["y"])], [tensor_info("x", [2])], [tensor_info("y", [2])]
    )
    assert to_onnx(load(gelu).graph).opset_import[0].version == 20
    with pytest.raises(UnsupportedModelError, match="Gelu needs 20"):
        to_onnx(load(gelu).graph, opset=13)


def test_an_input_may_be_an_output_and_outputs_may_repeat() -> None:
    x, y = Value("x", TensorType(DType.FLOAT32, (2,))), Value("y")
    k = Value.constant("k", np.ones(2, np.float32))
    graph = infer_types(Graph((x,), (x, y, y, k), (make_node("Neg", [x], [y]),)))
    data = np.array([1, 2], np.float32)
    for got, want in zip(evaluate(to_onnx(graph), {"x": data}), (data, -data, -data, k.const), strict=True):
        np.testing.assert_array_equal(got, want)


def test_values_may_share_a_name() -> None:
    x = Value("v", TensorType(DType.FLOAT32, (2,)))
    y, z = Value("v"), Value("v")
    graph = infer_types(Graph((x,), (z,), (make_node("Neg", [x], [y]), make_node("Exp", [y], [z]))))
    (got,) = evaluate(to_onnx(graph), {"v": np.array([0, 1], np.float32)})
    np.testing.assert_allclose(got, np.exp([0, -1]), rtol=1e-6)


def test_a_shape_that_grows_beyond_memory_is_refused() -> None:
    x, y = Value("x", TensorType(DType.FLOAT32, (2**20,))), Value("y")
    target = Value.constant("t", np.array([2**20, 2**20]))
    with pytest.raises(LimitError, match="'y'"):
        infer_types(Graph((x,), (y,), (make_node("Expand", [x, target], [y]),)))


@pytest.mark.parametrize("shape", [(), None])
@pytest.mark.parametrize("key", [INT64, TensorProto.STRING])
def test_classifiers_end_in_a_sequence_of_maps(key: int, shape: tuple[int, ...] | None) -> None:
    labels = {"classlabels_int64s": [4, 5]} if key == INT64 else {"classlabels_strings": ["a", "b"]}
    scores = helper.make_tensor_type_proto(TensorProto.FLOAT, shape)
    maps = helper.make_sequence_type_proto(helper.make_map_type_proto(key, scores))
    nodes = [
        helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", **labels),
        helper.make_node("DictVectorizer", ["m"], ["v"], domain="ai.onnx.ml",
                         **{k.replace("classlabels_int64s", "int64_vocabulary")
                            .replace("classlabels_strings", "string_vocabulary"): v for k, v in labels.items()}),
    ]  # fmt: skip
    inputs = [tensor_info("x", ["N", 2]), helper.make_value_info("m", maps.sequence_type.elem_type)]
    outputs = [helper.make_value_info("y", maps), tensor_info("v", ["K", 2])]
    model = model_of(nodes, inputs, outputs)
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 1))
    session = orpheus.InferenceSession(model, providers=["numpy"])
    first, second = labels.popitem()[1]
    table, (row,) = session.run(["y", "v"], {"x": np.float32([[1, 2]]), "m": {second: 3.0}})
    assert table == [{first: 1.0, second: 2.0}]
    assert row.tolist() == [0.0, 3.0]
    other = TensorProto.STRING if key == INT64 else INT64
    model.graph.output[0].type.sequence_type.elem_type.map_type.key_type = other
    with pytest.raises(ModelError, match="'y'"):
        orpheus.InferenceSession(model, providers=["numpy"])


_SHAPES: tuple[Any, ...] = (None, (), (0, 3), (2, 3, 4), ("N", None, 5), (1,) * 7)
_DTYPES = (DType.FLOAT32, DType.FLOAT64, DType.BFLOAT16, DType.INT8, DType.INT32, DType.BOOL, DType.STRING)


def _inferred(node: Node) -> ValueType | None:
    """The result's type, None when the operands are refused."""
    try:
        infer.Inference().node(node)
    except ModelError:
        return None
    return node.results[0].type


def _by_onnx_alone(node: Node) -> ValueType | None:
    attributes, types = infer._frozen_attributes(node), tuple(v and v.type for v in node.inputs)
    try:
        return infer._by_onnx(node.op, "", node.version, attributes, types, (), (True,), "here")[0]
    except ModelError:
        return None


@pytest.mark.parametrize("op", sorted(infer._ELEMENTWISE))
@pytest.mark.parametrize("dtype", _DTYPES)
def test_results_of_their_inputs_type_are_what_onnx_infers(op: str, dtype: DType) -> None:
    for shape in _SHAPES:
        node = make_node(op, [Value("x", TensorType(dtype, shape))], [Value("y")])
        assert _inferred(node) == _by_onnx_alone(node)


@pytest.mark.parametrize("op", sorted(infer._BROADCASTING))
@pytest.mark.parametrize("dtype", _DTYPES)
def test_results_of_their_inputs_one_type_are_what_onnx_infers(op: str, dtype: DType) -> None:
    for shape in _SHAPES:
        node = make_node(op, [Value(name, TensorType(dtype, shape)) for name in "ab"], [Value("y")])
        assert _inferred(node) == _by_onnx_alone(node)


@pytest.mark.parametrize("other", _DTYPES)
def test_bounds_of_another_type_are_judged_as_onnx_does(other: DType) -> None:
    x, low = Value("x", TensorType(DType.FLOAT32, (2, 3))), Value("low", TensorType(other, ()))
    for op, operands in (("Clip", [x, low]), ("Clip", [x, None, low]), ("Add", [x, low]), ("Max", [x, low])):
        node = make_node(op, operands, [Value("y")])
        assert _inferred(node) == _by_onnx_alone(node)
