"""Valid models become the Graph they describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
from importer.making import (
    INT64,
    constant,
    evaluate,
    loop_model,
    model_of,
    small_network,
    tensor_info,
    through,
)
from onnx import helper

from orpheus_core.errors import LimitError, ModelError, UsageError
from orpheus_core.importer import Limits, load, to_onnx
from orpheus_core.types import DType, OptionalType, SequenceType, TensorType

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "models"
MODELS = sorted(SHARED.glob("*.onnx")) + sorted(SHARED.glob("*/mnist.onnx"))


def test_types_names_and_attributes() -> None:
    graph = load(small_network()).graph
    conv, relu, *_ = graph.nodes
    assert [n.op for n in graph.nodes] == ["Conv", "Relu", "GlobalAveragePool", "Flatten", "Gemm"]
    assert conv.name == "conv"
    assert graph.inputs[0].type == TensorType(DType.FLOAT32, ("N", 3, 8, 8))
    assert conv.outputs[0] is relu.inputs[0]
    assert conv.outputs[0].type == TensorType(DType.FLOAT32, ("N", 4, 8, 8))
    assert conv.attributes["group"] == 1
    assert conv.attributes["pads"] == (1, 1, 1, 1)
    assert "dilations" not in conv.attributes
    assert conv.inputs[1].const.shape == (4, 3, 3, 3)
    assert graph.outputs[0].type.dtype is DType.FLOAT32


@pytest.mark.parametrize("source", ["path", "text", "bytes", "model"])
def test_every_kind_of_source(source: str, tmp_path: Path) -> None:
    model = small_network()
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    found = load({"path": path, "text": str(path), "bytes": path.read_bytes(), "model": model}[source])
    assert len(found.graph.nodes) == found.nodes == 5
    assert found.opset_imports == {"": 20}
    assert found.ir_version == 9
    assert found.nbytes == path.stat().st_size


def test_a_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nothing\.onnx"):
        load(tmp_path / "nothing.onnx")
    with pytest.raises(UsageError, match="regular file"):
        load(tmp_path)


def test_metadata_is_kept() -> None:
    model = small_network()
    model.producer_name, model.producer_version, model.doc_string = "maker", "2", "about"
    model.metadata_props.add(key="author", value="me")
    found = load(model)
    assert (found.producer, found.doc, found.metadata) == ("maker 2", "about", {"author": "me"})


def test_results_are_unchanged() -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 8), dtype=np.float32)
    for got, want in zip(through(small_network(), {"x": x}), evaluate(small_network(), {"x": x})):
        np.testing.assert_array_equal(got, want)


def test_initializers_that_are_inputs() -> None:
    default = constant("w", np.ones(2, np.float32))
    node = helper.make_node("Add", ["x", "w"], ["y"])
    inputs = [tensor_info("x", [2]), tensor_info("w", [2])]
    for ir_version, expected in ((3, 1), (8, 2)):
        graph = load(
            model_of([node], inputs, [tensor_info("y", [2])], initializers=[default], ir_version=ir_version)
        ).graph
        assert len(graph.inputs) == expected
        assert len(graph.defaults) == expected - 1
        assert (graph.nodes[0].inputs[1].const is None) == (expected == 2)
    (value,) = graph.defaults
    assert value is graph.inputs[1]
    np.testing.assert_array_equal(graph.defaults[value], [1, 1])


def test_omitted_operands() -> None:
    nodes = [
        helper.make_node("Clip", ["x", "", "high"], ["a"]),
        helper.make_node("Clip", ["a", "", ""], ["b"]),
        helper.make_node("Dropout", ["b"], ["y", ""]),
    ]
    graph = load(
        model_of(
            nodes, [tensor_info("x", [2])], [tensor_info("y", [2])],
            initializers=[constant("high", np.array(1, np.float32))],
        )
    ).graph  # fmt: skip
    first, second, third = graph.nodes
    assert first.inputs[1] is None
    assert len(first.inputs) == 3
    assert len(second.inputs) == 1
    assert len(third.outputs) == 1


CONSTANTS: dict[str, tuple[dict[str, Any], Any]] = {
    "float": ({"value_float": 1.5}, np.float32(1.5)),
    "floats": ({"value_floats": [1.0, 2.0]}, np.array([1, 2], np.float32)),
    "int": ({"value_int": 3}, np.array(3)),
    "ints": ({"value_ints": [3, 4]}, np.array([3, 4])),
    "string": ({"value_string": "ab"}, np.array("ab", object)),
    "strings": ({"value_strings": ["a", "b"]}, np.array(["a", "b"], object)),
    "tensor": ({"value": constant("", np.array([[1, 2]], np.uint8))}, np.array([[1, 2]], np.uint8)),
}


@pytest.mark.parametrize("form", CONSTANTS)
def test_constant_nodes_become_constants(form: str) -> None:
    attributes, expected = CONSTANTS[form]
    nodes = [
        helper.make_node("Constant", [], ["k"], **attributes),
        helper.make_node("Identity", ["k"], ["y"]),
    ]
    dtype = DType.from_numpy(np.asarray(expected).dtype)
    graph = load(model_of(nodes, [], [tensor_info("y", None, dtype.onnx)])).graph
    (node,) = graph.nodes
    found = node.inputs[0].const
    assert found.dtype == np.asarray(expected).dtype
    assert found.shape == np.shape(expected)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("linear", [True, False])
def test_sparse_tensors_are_written_out(linear: bool) -> None:
    indices = np.array([1, 5]) if linear else np.array([[0, 1], [1, 2]])
    sparse = onnx.SparseTensorProto(
        values=constant("w", np.array([3, 4], np.float32)), indices=constant("i", indices), dims=[2, 3]
    )
    node = helper.make_node("Constant", [], ["k"])
    attribute = node.attribute.add(name="sparse_value", type=onnx.AttributeProto.SPARSE_TENSOR)
    attribute.sparse_tensor.CopyFrom(sparse)
    model = model_of(
        [node, helper.make_node("Add", ["k", "w"], ["y"])], [], [tensor_info("y")], sparse=[sparse]
    )
    (add,) = load(model).graph.nodes
    for value in add.inputs:
        np.testing.assert_array_equal(value.const, [[0, 3, 0], [0, 0, 4]])


def test_loops_and_branches() -> None:
    x = np.array([1, 2], np.float32)
    graph = load(loop_model()).graph
    (loop,) = graph.nodes
    assert loop.outputs[1].type.shape == (None, 2)
    (body,) = loop.subgraphs
    assert graph.inputs[0] in body.captures
    for got, want in zip(through(loop_model(), {"x": x}), evaluate(loop_model(), {"x": x})):
        np.testing.assert_array_equal(got, want)


FUNCTIONS = """
<ir_version: 10, opset_import: ["" : 20, "local" : 1]>
main (float[N, 4] x, float[4] w) => (float[N, 4] y, float[N, 4] z)
{
    y = local.scaled <alpha = 0.5> (x, w)
    z = local.scaled (y)
}
<domain: "local", opset_import: ["" : 18, "local" : 1]>
leak <alpha> (v) => (r) { r = LeakyRelu <alpha: float = @alpha> (v) }
<domain: "local", opset_import: ["" : 13, "local" : 1]>
scaled <alpha: float = 0.25> (v, w) => (r)
{
    s = Clip (v, w0, w)
    w0 = Constant <value_float = 1.0> ()
    r = local.leak <alpha: float = @alpha> (v)
}
"""


def test_functions_are_inlined() -> None:
    text = FUNCTIONS.replace("    s = Clip (v, w0, w)\n", "").replace(
        "    w0 = Constant <value_float = 1.0> ()\n", ""
    )
    model = onnx.parser.parse_model(text)
    found = load(model)
    assert found.functions == 2
    assert found.nodes == 2
    assert [n.op for n in found.graph.nodes] == ["LeakyRelu", "LeakyRelu"]
    assert [n.attributes["alpha"] for n in found.graph.nodes] == [0.5, 0.25]
    x = np.random.default_rng(0).standard_normal((3, 4), dtype=np.float32)
    feeds = {"x": x, "w": np.zeros(4, np.float32)}
    for got, want in zip(through(model, feeds), [np.where(x < 0, x / 2, x), np.where(x < 0, x / 8, x)]):
        np.testing.assert_allclose(got, want)


def test_functions_use_their_own_opset() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20, "f" : 1]>
    main (float[2, 3, 4] x) => (float[2, 3, 4] y, float[2, 3, 4] z)
    { y = f.soft (x)
      z = Softmax <axis = 1> (x) }
    <domain: "f", opset_import: ["" : 11]>
    soft (v) => (r) { r = Softmax <axis = 1> (v) }
    """
    model = onnx.parser.parse_model(text)
    x = np.random.default_rng(0).standard_normal((2, 3, 4), dtype=np.float32)
    old, new = through(model, {"x": x})
    e = np.exp(x)
    np.testing.assert_allclose(old, e / e.sum((1, 2), keepdims=True), rtol=1e-5)
    np.testing.assert_allclose(new, e / e.sum(1, keepdims=True), rtol=1e-5)


def test_a_function_may_return_its_input_and_leave_out_optional_ones() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20, "f" : 1]>
    main (float[3] x) => (float[3] y, float[3] z)
    { y, z = f.both (x) }
    <domain: "f", opset_import: ["" : 20]>
    both (v, low) => (v, r) { r = Clip (v, low) }
    """
    x = np.array([1, -2, 3], np.float32)
    y, z = through(onnx.parser.parse_model(text), {"x": x})
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(z, x)


def test_functions_that_share_inner_names_do_not_clash() -> None:
    text = """
    <ir_version: 10, opset_import: ["" : 20, "f" : 1]>
    main (float[3] x) => (float[3] y)
    { t = f.twice (x)
      y = f.twice (t) }
    <domain: "f", opset_import: ["" : 20]>
    twice (v) => (r) { t = Add (v, v)
                       r = Identity (t) }
    """
    model = onnx.parser.parse_model(text)
    np.testing.assert_array_equal(through(model, {"x": np.ones(3, np.float32)})[0], [4, 4, 4])
    names = [v.name for n in load(model).graph.nodes for v in n.outputs]
    assert len(set(names)) == len(names)


def test_sequences_and_optionals() -> None:
    sequence = helper.make_tensor_sequence_value_info("s", 1, None)
    optional = onnx.ValueInfoProto(name="o")
    inner = helper.make_tensor_type_proto(1, [2])
    optional.type.CopyFrom(helper.make_optional_type_proto(inner))
    nodes = [
        helper.make_node("SequenceInsert", ["s", "x"], ["t"]),
        helper.make_node("OptionalGetElement", ["o"], ["e"]),
        helper.make_node("SequenceAt", ["t", "n"], ["a"]),
    ]
    inputs = [sequence, optional, tensor_info("x", [2]), tensor_info("n", [], INT64)]
    graph = load(model_of(nodes, inputs, [tensor_info("a", None), tensor_info("e", [2])])).graph
    assert isinstance(graph.inputs[0].type, SequenceType)
    assert isinstance(graph.inputs[1].type, OptionalType)
    assert graph.outputs[1].type == TensorType(DType.FLOAT32, (2,))
    assert graph.outputs[0].type.dtype is DType.FLOAT32


def test_limits_can_be_set() -> None:
    data = small_network().SerializeToString()
    with pytest.raises(LimitError, match="nodes"):
        load(data, limits=Limits(nodes=3))
    with pytest.raises(LimitError, match="bytes"):
        load(data, limits=Limits(file_bytes=100))
    with pytest.raises(LimitError, match="rank"):
        load(data, limits=Limits(rank=3))


def test_a_name_may_be_used_again_in_a_sibling_branch() -> None:
    def branch(op: str) -> onnx.GraphProto:
        return helper.make_graph([helper.make_node(op, ["x"], ["r"])], op, [], [tensor_info("r", [2])])

    node = helper.make_node("If", ["c"], ["y"], then_branch=branch("Neg"), else_branch=branch("Abs"))
    model = model_of([node], [tensor_info("x", [2]), tensor_info("c", [], 9)], [tensor_info("y", [2])])
    for condition, want in ((True, [-1, 2]), (False, [1, 2])):
        feeds = {"x": np.array([1, -2], np.float32), "c": np.array(condition)}
        np.testing.assert_array_equal(through(model, feeds)[0], want)


def test_messages_name_the_place() -> None:
    model = loop_model()
    model.graph.node[1].attribute[0].g.node[0].op_type = "Relu"
    with pytest.raises(ModelError) as caught:
        load(model)
    text = str(caught.value)
    assert all(part in text for part in ("graph 'g'", "'loop'", "subgraph 'body'", "Relu"))


@pytest.mark.skipif(not MODELS, reason="the folder of real models is not beside the checkout")
@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.stem)
def test_real_models_survive_the_round_trip(path: Path) -> None:
    first = load(path).graph
    again = load(to_onnx(first)).graph
    assert [n.op for n in first.walk()] == [n.op for n in again.walk()]
    for a, b in zip(first.walk(), again.walk()):
        assert a.version == b.version
        assert [v.type for v in a.results] == [v.type for v in b.results]
    assert [v.name for v in first.outputs] == [v.name for v in again.outputs]
