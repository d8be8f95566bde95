"""Models that must be refused: what is wrong with their values, bodies and attributes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from importer.hostile_cases import case
from importer.hostile_nodes import NODES, ints, one_node
from importer.making import BOOL, FLOAT, INT64, constant, loop_model, model_of, relu, tensor_info
from onnx import helper

for _name, (_op, _shapes, _given) in NODES.items():
    case(f"node-{_name}")(lambda op=_op, shapes=_shapes, given=_given: one_node(op, shapes, **given))


def bad_tensor(**changes: Any) -> onnx.ModelProto:
    tensor = constant("w", np.zeros((2, 2), np.float32))
    for name, value in changes.items():
        if isinstance(value, list):
            del getattr(tensor, name)[:]
            getattr(tensor, name).extend(value)
        else:
            setattr(tensor, name, value)
    return model_of([relu(["w"], ["y"])], [], [tensor_info("y")], initializers=[tensor])


TENSORS: dict[str, dict[str, Any]] = {
    "short": {"raw_data": bytes(15)},
    "long": {"raw_data": bytes(17)},
    "none": {"raw_data": b""},
    "negative": {"dims": [-2, -2]},
    "giant": {"dims": [2**40, 2**40]},
    "giant-one": {"dims": [2**63 - 1]},
    "rank": {"dims": [1] * 300 + [4]},
    "undefined": {"data_type": 0},
    "unknown": {"data_type": 60},
    "string-raw": {"data_type": 8},
    "both": {"float_data": [1.0]},
    "wrong-field": {"raw_data": b"", "int64_data": [1, 2, 3, 4]},
    "nibbles": {"data_type": 22},
    "external-without-location": {"data_location": 1},
}
for _name, _changes in TENSORS.items():
    case(f"tensor-{_name}")(lambda changes=_changes: bad_tensor(**changes))


@case("tensor-segment")
def _segment() -> onnx.ModelProto:
    model = bad_tensor()
    model.graph.initializer[0].segment.begin = 1
    return model


@case("tensor-string-not-utf8")
def _string() -> onnx.ModelProto:
    tensor = onnx.TensorProto(name="w", data_type=8, dims=[1], string_data=[b"\xff\xfe"])
    return model_of(
        [helper.make_node("Identity", ["w"], ["y"])], [], [tensor_info("y", None, 8)], initializers=[tensor]
    )


def bad_sparse(dims: Any, values: Any, indices: Any) -> onnx.ModelProto:
    sparse = onnx.SparseTensorProto(values=constant("w", values), indices=constant("i", indices), dims=dims)
    return model_of([relu(["w"], ["y"])], [], [tensor_info("y")], sparse=[sparse])


ONE = np.ones(1, np.float32)
TWO = np.ones(2, np.float32)
SPARSE: dict[str, tuple[Any, Any, Any]] = {
    "outside": ([4], ONE, ints(4)),
    "negative": ([4], ONE, ints(-1)),
    "descending": ([4], TWO, ints(2, 1)),
    "repeated": ([4], TWO, ints(1, 1)),
    "count": ([4], TWO, ints(1)),
    "giant": ([2**30, 2], ONE, ints(1)),
    "overflow": ([2**40, 2**40], ONE, ints(1)),
    "float-indices": ([4], ONE, ONE),
    "matrix-outside": ([2, 2], ONE, ints(0, 2).reshape(1, 2)),
    "matrix-rank": ([2, 2], ONE, ints(0, 1, 1).reshape(1, 3)),
    "negative-dimension": ([-4], ONE, ints(0)),
}
for _name, _sparse in SPARSE.items():
    case(f"sparse-{_name}")(lambda parts=_sparse: bad_sparse(*parts))


@case("sparse-many")
def _many_sparse() -> onnx.ModelProto:
    stored = [
        onnx.SparseTensorProto(values=constant(f"w{n}", ONE), indices=constant("i", ints(0)), dims=[2**22])
        for n in range(60)
    ]
    nodes = [helper.make_node("Sum", [f"w{n}" for n in range(60)], ["y"])]
    return model_of(nodes, [], [tensor_info("y")], sparse=stored)


@case("constant-without-value")
def _no_value() -> onnx.ModelProto:
    return model_of([helper.make_node("Constant", [], ["y"])], [], [tensor_info("y")])


@case("constant-with-two-values")
def _two_values() -> onnx.ModelProto:
    return model_of(
        [helper.make_node("Constant", [], ["y"], value_int=1, value_float=2.0)], [], [tensor_info("y")]
    )


def changed_loop(change: Callable[[onnx.GraphProto, onnx.NodeProto], Any]) -> onnx.ModelProto:
    model = loop_model()
    node = model.graph.node[1]
    change(node.attribute[0].g, node)
    return model


LOOPS: dict[str, Callable[[onnx.GraphProto, onnx.NodeProto], Any]] = {
    "body-inputs": lambda body, node: body.input.pop(),
    "body-outputs": lambda body, node: (body.output.pop(), body.output.pop()),
    "too-many-outputs": lambda body, node: node.output.append("more"),
    "no-body": lambda body, node: node.attribute.pop(),
    "carried-dtype": lambda body, node: (
        body.node.append(helper.make_node("Cast", [body.output[1].name], ["cast"], to=7)),
        setattr(body.output[1], "name", "cast"),
        body.output[1].type.Clear(),
    ),
    "hidden-name": lambda body, node: body.node.append(helper.make_node("Neg", ["x"], ["trips"])),
    "duplicate": lambda body, node: body.node.append(body.node[0]),
    "undefined": lambda body, node: setattr(body.output[1], "name", "nowhere"),
    "unsorted": lambda body, node: body.node.insert(0, body.node.pop(2)),
    "condition-dtype": lambda body, node: (setattr(node, "name", "n"), node.input.__setitem__(1, "x")),
}  # fmt: skip
for _name, _change in LOOPS.items():
    case(f"loop-{_name}")(lambda change=_change: changed_loop(change))


def bad_if(then_shape: Any, else_dtype: int, **given: Any) -> onnx.ModelProto:
    then = helper.make_graph([helper.make_node("Neg", ["x"], ["a"])], "t", [], [tensor_info("a", then_shape)])
    other = helper.make_graph(
        [helper.make_node("Cast", ["x"], ["b"], to=else_dtype)], "e", [], [tensor_info("b", None, else_dtype)]
    )
    inputs = [tensor_info("x", [2]), tensor_info("c", [], given.get("condition", BOOL))]
    return model_of(
        [helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)],
        inputs,
        [tensor_info("y")],
    )


case("if-dtypes")(lambda: bad_if([2], INT64))
case("if-condition")(lambda: bad_if([2], FLOAT, condition=FLOAT))


def changed_if_output() -> onnx.ModelProto:
    model = bad_if([2], FLOAT)
    model.graph.node[0].attribute[0].g.output[0].type.tensor_type.elem_type = INT64
    return model


case("if-declared-dtype")(changed_if_output)


def scan(**attributes: Any) -> onnx.ModelProto:
    body = helper.make_graph(
        [helper.make_node("Add", ["s", "e"], ["t"]), helper.make_node("Identity", ["t"], ["o"])],
        "body",
        [tensor_info("s", [2]), tensor_info("e", [2])],
        [tensor_info("t", [2]), tensor_info("o", [2])],
    )
    given = {"num_scan_inputs": 1, **attributes}
    node = helper.make_node("Scan", ["x", "z"], ["y", "all"], "scan", body=body, **given)
    inputs = [tensor_info("x", [2]), tensor_info("z", [5, 2])]
    return model_of([node], inputs, [tensor_info("y"), tensor_info("all")])


SCANS: dict[str, dict[str, Any]] = {
    "inputs-zero": {"num_scan_inputs": 0},
    "inputs-many": {"num_scan_inputs": 9},
    "inputs-negative": {"num_scan_inputs": -1},
    "axis": {"scan_input_axes": [3]},
    "axes-count": {"scan_input_axes": [0, 0]},
    "output-axis": {"scan_output_axes": [5]},
    "direction": {"scan_input_directions": [2]},
    "output-direction": {"scan_output_directions": [-1]},
    "directions-count": {"scan_output_directions": [0, 0]},
    "carried-shape": {"scan_input_axes": [1]},
}
for _name, _given in SCANS.items():
    case(f"scan-{_name}")(lambda given=_given: scan(**given))
