"""Models that must be refused. Each case is a name and a function that makes the bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from importer import hostile_values
from importer.hostile_cases import case
from importer.hostile_nodes import one_node
from importer.making import BOOL, INT64, constant, loop_model, model_of, relu, small_network, tensor_info
from onnx import helper

__all__ = ["chain", "cut", "flipped", "hostile_values", "nested", "samples"]


def around(nodes: Any, **given: Any) -> onnx.ModelProto:
    return model_of(nodes, [tensor_info("x", [2])], [tensor_info("y", [2])], **given)


case("cycle")(lambda: around([relu(["b"], ["a"]), relu(["a"], ["b"]), relu(["a"], ["y"])]))
case("self-loop")(lambda: around([relu(["y"], ["y"])]))
case("unsorted")(lambda: around([relu(["a"], ["y"]), relu(["x"], ["a"])]))
case("undefined-input")(lambda: around([relu(["nothing"], ["y"])]))
case("undefined-output")(lambda: around([relu(["x"], ["z"])]))
case("duplicate-output")(lambda: around([relu(), relu()]))
case("duplicate-outputs-of-one-node")(
    lambda: around([helper.make_node("Split", ["x"], ["y", "y"], num_outputs=2)])
)
case("output-hides-input")(lambda: around([relu(["x"], ["x"]), relu(["x"], ["y"])]))
case("duplicate-input")(
    lambda: model_of([relu()], [tensor_info("x", [2]), tensor_info("x", [3])], [tensor_info("y", [2])])
)
case("duplicate-initializer")(
    lambda: around([relu(["w"], ["y"])], initializers=[constant("w", np.zeros(2, np.float32))] * 2)
)
case("initializer-hides-output")(
    lambda: around([relu()], initializers=[constant("y", np.zeros(2, np.float32))])
)
case("nameless-initializer")(lambda: around([relu()], initializers=[constant("", np.zeros(2, np.float32))]))
case("default-of-another-type")(lambda: around([relu()], initializers=[constant("x", np.zeros(2, np.int64))]))
case("default-of-another-shape")(
    lambda: around([relu()], initializers=[constant("x", np.zeros(3, np.float32))])
)
case("output-of-another-type")(
    lambda: model_of([relu()], [tensor_info("x", [2])], [tensor_info("y", [2], INT64)])
)
case("output-of-another-rank")(
    lambda: model_of([relu()], [tensor_info("x", [2])], [tensor_info("y", [2, 1])])
)
case("output-of-another-shape")(lambda: model_of([relu()], [tensor_info("x", [2])], [tensor_info("y", [3])]))
case("input-without-type")(lambda: model_of([relu()], [onnx.ValueInfoProto(name="x")], [tensor_info("y")]))
case("input-of-unknown-type")(lambda: model_of([relu()], [tensor_info("x", [2], 99)], [tensor_info("y")]))
case("unknown-domain")(lambda: around([helper.make_node("F", ["x"], ["y"], domain="who.knows")]))
case("operator-of-orpheus")(
    lambda: around(
        [helper.make_node("FusedConv", ["x"], ["y"], domain="ai.orpheus")], domains={"ai.orpheus": 1}
    )
)
case("domain-not-imported")(lambda: around([helper.make_node("Scaler", ["x"], ["y"], domain="ai.onnx.ml")]))
case("unknown-contrib")(
    lambda: around(
        [helper.make_node("Frob", ["x"], ["y"], domain="com.microsoft")], domains={"com.microsoft": 1}
    )
)
case("two-versions-of-a-domain")(lambda: around([relu()], domains={"ai.onnx": 5}))
case("empty")(lambda: b"")
case("zeros")(lambda: bytes(1000))
case("text")(lambda: b"this is not a model, but a text of some length\n" * 20)
case("zip")(lambda: b"PK\x03\x04" + bytes(200))
case("no-graph")(lambda: onnx.ModelProto(ir_version=9))
case("no-ir-version")(lambda: onnx.ModelProto(graph=around([relu()]).graph))


def _attribute_twice() -> onnx.ModelProto:
    model = one_node("LeakyRelu", [[2]], alpha=0.5)
    model.graph.node[0].attribute.append(model.graph.node[0].attribute[0])
    return model


def _reference() -> onnx.ModelProto:
    model = one_node("LeakyRelu", [[2]], alpha=0.5)
    model.graph.node[0].attribute[0].ref_attr_name = "outer"
    return model


case("attribute-twice")(_attribute_twice)
case("reference-outside-function")(_reference)


def nested(levels: int) -> onnx.ModelProto:
    """Ifs in Ifs."""
    inner: list[onnx.NodeProto] = [helper.make_node("Neg", ["x"], ["o0"])]
    for level in range(levels):
        body = helper.make_graph(inner, "b", [], [tensor_info(f"o{level}")])
        other = helper.make_graph(
            [helper.make_node("Abs", ["x"], [f"e{level}"])], "e", [], [tensor_info(f"e{level}")]
        )
        inner = [helper.make_node("If", ["c"], [f"o{level + 1}"], then_branch=body, else_branch=other)]
    inputs = [tensor_info("x", [2]), tensor_info("c", [], BOOL)]
    return model_of(inner, inputs, [tensor_info(f"o{levels}")])


# Python's own protobuf writer nests only so far; the bytes are put together by hand beyond that.
def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def deep_bytes(levels: int) -> bytes:
    graph = _field(1, relu().SerializeToString())
    for _ in range(levels):
        attribute = _field(1, b"body") + _field(6, graph) + _varint(20 << 3) + _varint(5)
        graph = _field(1, _field(4, b"Loop") + _field(5, attribute))
    return _varint(8) + _varint(9) + _field(7, graph) + _field(8, _varint(2 << 3) + _varint(20))


for _levels in (33, 40, 60, 100, 500, 3000):
    case(f"nesting-{_levels}")(lambda levels=_levels: deep_bytes(levels))


def function(
    name: str, nodes: Any, inputs: Any = ("x",), outputs: Any = ("y",), **given: Any
) -> onnx.FunctionProto:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    return helper.make_function("f", name, list(inputs), list(outputs), list(nodes), opsets, **given)


def call(name: str, x: str, y: str) -> onnx.NodeProto:
    return helper.make_node(name, [x], [y], domain="f")


def calling(functions: Any, name: str = "F0") -> onnx.ModelProto:
    return around([call(name, "x", "y")], functions=functions, domains={"f": 1})


def chain(depth: int, width: int) -> onnx.ModelProto:
    functions = [function(f"F{depth}", [relu()])]
    for level in range(depth):
        nodes = [call(f"F{level + 1}", "x" if n == 0 else f"t{n - 1}", f"t{n}") for n in range(width - 1)]
        nodes.append(call(f"F{level + 1}", f"t{width - 2}" if width > 1 else "x", "y"))
        functions.append(function(f"F{level}", nodes))
    return calling(functions)


case("function-recursive")(lambda: calling([function("F0", [call("F0", "x", "y")])]))
case("functions-mutually-recursive")(
    lambda: calling([function("F0", [call("F1", "x", "y")]), function("F1", [call("F0", "x", "y")])])
)
case("function-recursive-unused")(
    lambda: around([relu()], functions=[function("F0", [call("F0", "x", "y")])], domains={"f": 1})
)
for _depth, _width in ((30, 2), (25, 4), (60, 1), (12, 3), (16, 2), (5, 20), (3, 200)):
    case(f"functions-{_width}-to-the-{_depth}")(lambda d=_depth, w=_width: chain(d, w))
case("function-twice")(lambda: calling([function("F0", [relu()])] * 2))
case("function-undefined-output")(lambda: calling([function("F0", [relu(["x"], ["z"])])]))
case("function-captures")(lambda: calling([function("F0", [relu(["outer"], ["y"])])]))
case("function-too-few-inputs")(lambda: calling([function("F0", [relu(["q"], ["y"])], ["x", "q"])]))
case("function-too-many-inputs")(lambda: calling([function("F0", [helper.make_node("Neg", [], ["y"])], [])]))
case("function-unknown-attribute")(
    lambda: around(
        [helper.make_node("F0", ["x"], ["y"], domain="f", alpha=1.0)],
        functions=[function("F0", [relu()])],
        domains={"f": 1},
    )
)
case("function-unknown-operator")(
    lambda: calling([function("F0", [helper.make_node("Frobnicate", ["x"], ["y"])])])
)


def heavy_function() -> onnx.ModelProto:
    """A constant of half a megabyte of numbers as an attribute, in a function that is called often."""
    body = [helper.make_node("Constant", [], ["k"], value_ints=[1] * 200_000), relu()]
    nodes = [call("F0", "x" if n == 0 else f"t{n - 1}", f"t{n}") for n in range(5_000)]
    return around([*nodes, relu(["t4999"], ["y"])], functions=[function("F0", body)], domains={"f": 1})


case("function-heavy")(heavy_function)


@case("many-empty-nodes")
def _empty_nodes() -> bytes:
    return _varint(8) + _varint(9) + _field(7, _field(1, b"") * 700_000)


@case("many-empty-attributes")
def _empty_attributes() -> bytes:
    return _varint(8) + _varint(9) + _field(7, _field(1, _field(4, b"Relu") + _field(5, b"") * 700_000))


@case("many-tensors")
def _many_tensors() -> bytes:
    return _varint(8) + _varint(9) + _field(7, _field(5, b"") * 400_000)


@case("many-inputs-of-nothing")
def _many_inputs() -> bytes:
    opsets = _field(8, _varint(16) + _varint(20))
    return _varint(8) + _varint(9) + _field(7, _field(11, b"") * 400_000) + opsets


@case("long-list")
def _long_list() -> onnx.ModelProto:
    return one_node("Transpose", [[2, 2]], perm=[0] * 2_000_000)


@case("many-nodes-of-nothing")
def _nodes_of_nothing() -> bytes:
    return (
        _varint(8) + _varint(9) + _field(7, _field(1, b"") * 300_000) + _field(8, _varint(16) + _varint(20))
    )


@case("long-names")
def _long_names() -> onnx.ModelProto:
    long = "n" * 500_000
    nodes = [relu(["x" if n == 0 else f"t{n - 1}"], [f"t{n}"], long if n == 0 else "") for n in range(2_000)]
    model = around([*nodes, relu(["nothing"], ["y"])])
    model.graph.name = long
    return model


@case("nested-loops-that-never-settle")
def _unsettled() -> onnx.ModelProto:
    """Loops in loops whose carried value gains an axis at every level: types take several rounds at each."""

    def level(number: int) -> list[onnx.NodeProto]:
        source, result = f"c{number}", f"r{number}"
        go = tensor_info(f"g{number}", [], BOOL)
        inner: list[onnx.NodeProto] = []
        if number < 28:
            inner = level(number + 1)
            tail = f"r{number + 1}"
        else:
            tail = source
        nodes = [
            *inner,
            helper.make_node("Concat", [tail, source], [f"d{number}"], axis=0),
            helper.make_node("Identity", [f"g{number}"], [f"h{number}"]),
        ]
        body = helper.make_graph(
            nodes,
            f"b{number}",
            [tensor_info(f"i{number}", [], INT64), go, onnx.ValueInfoProto(name=source)],
            [onnx.ValueInfoProto(name=f"h{number}"), onnx.ValueInfoProto(name=f"d{number}")],
        )
        feed = f"c{number - 1}" if number else "x"
        return [helper.make_node("Loop", ["n", "", feed], [result], body=body)]

    inputs = [tensor_info("x", [2]), tensor_info("n", [], INT64)]
    return model_of(level(0), inputs, [tensor_info("r0", [7, 7, 7])])


def cut(data: bytes, step: int = 64) -> list[bytes]:
    """The first bytes of a model, up to each multiple of ``step``."""
    return [data[:end] for end in range(step, len(data), step)]


def flipped(data: bytes, count: int) -> list[bytes]:
    """Copies with one bit changed, spread evenly and the same every time."""
    found = []
    for number in range(count):
        position, bit = divmod(number * (len(data) * 8 - 1) // max(count - 1, 1), 8)
        found.append(data[:position] + bytes([data[position] ^ (1 << bit)]) + data[position + 1 :])
    return found


def samples() -> dict[str, bytes]:
    """Small valid models to damage."""
    functions = chain(3, 2)
    return {
        "network": small_network().SerializeToString(),
        "loop": loop_model().SerializeToString(),
        "functions": functions.SerializeToString(),
        "nested": nested(6).SerializeToString(),
    }
