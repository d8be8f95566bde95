"""Models that must be refused. Each case is a name and a function that makes the bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from importer.making import BOOL, FLOAT, INT64, constant, loop_model, model_of, small_network, tensor_info
from onnx import helper

Maker = Callable[[], bytes]
CASES: dict[str, Maker] = {}


def case(name: str) -> Callable[[Callable[[], onnx.ModelProto | bytes]], Any]:
    def register(make: Callable[[], onnx.ModelProto | bytes]) -> Any:
        def data() -> bytes:
            made = make()
            return made if isinstance(made, bytes) else made.SerializeToString()

        assert name not in CASES
        CASES[name] = data
        return make

    return register


def one_node(
    op: str, shapes: Any, outputs: int = 1, *, opset: int = 20, dtypes: Any = (), **attributes: Any
) -> Any:
    """A model of one operator whose inputs have these shapes (None leaves one out, an array is a constant)."""
    names, infos, stored = [], [], []
    for n, shape in enumerate(shapes):
        if shape is None:
            names.append("")
            continue
        names.append(f"i{n}")
        if isinstance(shape, np.ndarray):
            stored.append(constant(f"i{n}", shape))
        else:
            infos.append(tensor_info(f"i{n}", shape, dtypes[n] if n < len(dtypes) else FLOAT))
    outs = [f"o{n}" for n in range(outputs)]
    node = helper.make_node(op, names, outs, "n", **attributes)
    return model_of(
        [node], infos, [onnx.ValueInfoProto(name=o) for o in outs], initializers=stored, opset=opset
    )


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


HUGE = 2**62
# Operator, input shapes, attributes (and "outputs", "dtypes", "opset" of one_node)
NODES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "conv-zero-stride": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"strides": [0, 0]}),
    "conv-huge-stride": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"strides": [HUGE, HUGE]}),
    "conv-negative-dilation": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"dilations": [-1, 1]}),
    "conv-negative-pads": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"pads": [-9, 0, 0, 0]}),
    "conv-short-pads": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"pads": [1, 1]}),
    "conv-zero-group": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"group": 0}),
    "conv-group-mismatch": ("Conv", [[1, 4, 8, 8], [4, 3, 3, 3]], {"group": 2}),
    "conv-channels": ("Conv", [[1, 5, 8, 8], [4, 3, 3, 3]], {}),
    "conv-rank": ("Conv", [[1, 3, 8, 8], [4, 3, 3]], {}),
    "conv-bias": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3], [5]], {}),
    "conv-kernel-mismatch": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"kernel_shape": [5, 5]}),
    "conv-auto-pad": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"auto_pad": "SAME"}),
    "conv-missing-weights": ("Conv", [[1, 3, 8, 8]], {}),
    "conv-too-many-inputs": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3], [4], [4]], {}),
    "conv-transpose-output-padding": (
        "ConvTranspose",
        [[1, 3, 8, 8], [3, 4, 3, 3]],
        {"output_padding": [-1, 0]},
    ),
    "pool-no-kernel": ("MaxPool", [[1, 3, 8, 8]], {}),
    "pool-kernel-rank": ("MaxPool", [[1, 3, 8, 8]], {"kernel_shape": [2, 2, 2]}),
    "pool-kernel-zero": ("AveragePool", [[1, 3, 8, 8]], {"kernel_shape": [0, 2]}),
    "pool-rank": ("AveragePool", [[3, 8]], {"kernel_shape": [2]}),
    "lp-pool-p": ("LpPool", [[1, 3, 8, 8]], {"kernel_shape": [2, 2], "p": 0}),
    "depth-to-space-zero": ("DepthToSpace", [[1, 4, 2, 2]], {"blocksize": 0}),
    "depth-to-space-indivisible": ("DepthToSpace", [[1, 5, 2, 2]], {"blocksize": 2}),
    "space-to-depth-negative": ("SpaceToDepth", [[1, 4, 2, 2]], {"blocksize": -2}),
    "matmul-shapes": ("MatMul", [[2, 3], [4, 5]], {}),
    "gemm-rank": ("Gemm", [[2, 3, 4], [3, 4]], {}),
    "gemm-c": ("Gemm", [[2, 3], [3, 4], [3]], {}),
    "gemm-inner": ("Gemm", [[2, 3], [4, 5]], {}),
    "add-shapes": ("Add", [[2, 3], [4]], {}),
    "add-dtypes": ("Add", [[2], [2]], {"dtypes": [FLOAT, INT64]}),
    "add-bool": ("Add", [[2], [2]], {"dtypes": [BOOL, BOOL]}),
    "and-float": ("And", [[2], [2]], {}),
    "concat-axis": ("Concat", [[2, 3], [2, 3]], {"axis": 2}),
    "concat-shapes": ("Concat", [[2, 3], [3, 3]], {"axis": 1}),
    "concat-no-axis": ("Concat", [[2, 3], [2, 3]], {}),
    "split-sum": ("Split", [[10, 2], ints(3, 3)], {"outputs": 2}),
    "split-count": ("Split", [[10, 2], ints(5, 5)], {"outputs": 3}),
    "split-negative": ("Split", [[10, 2], ints(-5, 15)], {"outputs": 2}),
    "split-both": ("Split", [[10, 2], ints(5, 5)], {"outputs": 2, "num_outputs": 2}),
    "split-axis": ("Split", [[10, 2], ints(5, 5)], {"outputs": 2, "axis": 2}),
    "reshape-two-unknown": ("Reshape", [[2, 3], ints(-1, -1)], {}),
    "reshape-negative": ("Reshape", [[2, 3], ints(-2, 3)], {}),
    "reshape-count": ("Reshape", [[2, 3], ints(4, 2)], {}),
    "reshape-indivisible": ("Reshape", [[2, 3], ints(4, -1)], {}),
    "reshape-overflow": ("Reshape", [[2, 3], ints(HUGE, HUGE)], {}),
    "reshape-rank": ("Reshape", [[1], ints(*[1] * 200)], {}),
    "reshape-zero-of-nothing": ("Reshape", [[2, 3], ints(2, 3, 0)], {}),
    "transpose-repeat": ("Transpose", [[2, 3, 4]], {"perm": [0, 0, 1]}),
    "transpose-short": ("Transpose", [[2, 3, 4]], {"perm": [1, 0]}),
    "squeeze-axis": ("Squeeze", [[1, 3], ints(5)], {}),
    "squeeze-not-one": ("Squeeze", [[2, 3], ints(0)], {}),
    "unsqueeze-repeat": ("Unsqueeze", [[2, 3], ints(0, 0)], {}),
    "reduce-axis": ("ReduceSum", [[2, 3], ints(7)], {}),
    "gather-axis": ("Gather", [[2, 3], ints(0)], {"axis": 4}),
    "gather-nd-batch": ("GatherND", [[2, 3], ints(0)], {"batch_dims": -3}),
    "slice-step-zero": ("Slice", [[5], ints(0), ints(5), ints(0), ints(0)], {}),
    "slice-lengths": ("Slice", [[5, 5], ints(0, 0), ints(5)], {}),
    "slice-axes": ("Slice", [[5, 5], ints(0, 0), ints(5, 5), ints(0, 0)], {}),
    "pad-odd": ("Pad", [[5, 5], ints(1, 1, 1)], {}),
    "pad-reflect-too-far": ("Pad", [[2, 2], ints(0, 2, 0, 1)], {"mode": "reflect"}),
    "pad-mode": ("Pad", [[2, 2], ints(0, 1, 0, 1)], {"mode": "mirror"}),
    "pad-negative-too-far": ("Pad", [[2, 2], ints(-2, 0, -1, 0)], {}),
    "pad-overflow": ("Pad", [[2, 2], ints(HUGE, HUGE, HUGE, HUGE)], {}),
    "tile-rank": ("Tile", [[2, 2], ints(1)], {}),
    "tile-overflow": ("Tile", [[2, 2], ints(HUGE, HUGE)], {}),
    "expand-negative": ("Expand", [[2], ints(-1, 2)], {}),
    "expand-huge": ("Expand", [[2], ints(HUGE, 2)], {}),
    "constant-of-shape-huge": ("ConstantOfShape", [ints(2**40, 2**20)], {}),
    "constant-of-shape-negative": ("ConstantOfShape", [ints(-4)], {}),
    "constant-of-shape-values": (
        "ConstantOfShape",
        [ints(4)],
        {"value": constant("", np.zeros(2, np.float32))},
    ),
    "range-zero-step": ("Range", [np.array(0.0), np.array(1.0), np.array(0.0)], {}),
    "range-infinite": ("Range", [np.zeros(()), np.array(np.inf), np.ones(())], {}),
    "range-huge": ("Range", [np.array(0), np.array(2**62), np.array(1)], {}),
    "top-k-too-many": ("TopK", [[2, 3], ints(4)], {"outputs": 2}),
    "top-k-negative": ("TopK", [[2, 3], ints(-1)], {"outputs": 2}),
    "one-hot-depth": ("OneHot", [[2], np.array(-3), np.array([0.0, 1.0], np.float32)], {"dtypes": [INT64]}),
    "einsum-ellipses": ("Einsum", [[3, 3, 3], [3, 3, 3]], {"equation": "......ii,...jj->...ij"}),
    "einsum-terms": ("Einsum", [[3, 3]], {"equation": "ij,jk->ik"}),
    "einsum-sizes": ("Einsum", [[3, 4], [5, 6]], {"equation": "ij,jk->ik"}),
    "einsum-rank": ("Einsum", [[3, 4]], {"equation": "ijk->i"}),
    "einsum-unknown": ("Einsum", [[3, 4]], {"equation": "ij->k"}),
    "einsum-symbols": ("Einsum", [[3, 4]], {"equation": "i$->i"}),
    "einsum-long": ("Einsum", [[3, 4]], {"equation": "a" * 2**20}),
    "einsum-dots": ("Einsum", [[3, 4]], {"equation": "." * 1001}),
    "resize-neither": ("Resize", [[1, 1, 4, 4]], {}),
    "resize-zero-scale": ("Resize", [[1, 1, 4, 4], None, np.array([1, 1, 0, 1], np.float32)], {}),
    "resize-nan-scale": ("Resize", [[1, 1, 4, 4], None, np.array([1, 1, np.nan, 1], np.float32)], {}),
    "resize-huge-scale": ("Resize", [[1, 1, 4, 4], None, np.array([1, 1, 1e30, 1], np.float32)], {}),
    "resize-count": ("Resize", [[1, 1, 4, 4], None, np.array([1, 2], np.float32)], {}),
    "resize-mode": ("Resize", [[1, 1, 4, 4], None, np.array([1, 1, 2, 2], np.float32)], {"mode": "area"}),
    "layer-norm-axis": ("LayerNormalization", [[2, 3], [3]], {"axis": 5}),
    "layer-norm-bias": ("LayerNormalization", [[2, 3], [3], [4]], {}),
    "batch-norm-scale": ("BatchNormalization", [[2, 3, 4], [4], [3], [3], [3]], {}),
    "group-norm-groups": ("GroupNormalization", [[2, 3, 4], [3], [3]], {"num_groups": 2, "opset": 21}),
    "instance-norm-scale": ("InstanceNormalization", [[2, 3, 4], [4], [3]], {}),
    "lp-norm-p": ("LpNormalization", [[2, 3]], {"p": 3}),
    "quantize-scale": ("QuantizeLinear", [[2, 3], [2]], {"axis": 1}),
    "dequantize-zero-point": ("DequantizeLinear", [[2, 3], [3], [2]], {"dtypes": [3, 1, 3]}),
    "dequantize-blocks": (
        "DequantizeLinear",
        [[2, 6], [2, 2]],
        {"dtypes": [3, 1], "block_size": 2, "opset": 21},
    ),
    "lstm-hidden": ("LSTM", [[4, 1, 2], [1, 12, 2], [1, 12, 3]], {"hidden_size": 5, "outputs": 2}),
    "gru-direction": ("GRU", [[4, 1, 2], [1, 9, 2], [1, 9, 3]], {"hidden_size": 3, "direction": "sideways"}),
    "cross-entropy-labels": ("SoftmaxCrossEntropyLoss", [[2, 4, 2], [2]], {"dtypes": [FLOAT, INT64]}),
    "cross-entropy-reduction": (
        "SoftmaxCrossEntropyLoss",
        [[2, 4], [2]],
        {"dtypes": [1, 7], "reduction": "most"},
    ),
    "grid-sample-grid": ("GridSample", [[1, 1, 4, 4], [1, 4, 4, 3]], {}),
    "dft-rank": ("DFT", [[4]], {}),
    "random-dtype": ("RandomNormal", [], {"dtype": 6, "shape": [2]}),
    "random-rank": ("RandomNormal", [], {"shape": [1] * 10**6}),
    "random-negative": ("RandomUniform", [], {"shape": [3, -1]}),
    "random-dtype-unknown": ("EyeLike", [[2, 2]], {"dtype": 999}),
    "cast-unknown": ("Cast", [[2]], {"to": 77}),
    "cast-undefined": ("Cast", [[2]], {"to": 0}),
    "unknown-attribute": ("Relu", [[2]], {"alpha": 0.5}),
    "attribute-type": ("LeakyRelu", [[2]], {"alpha": "0.5"}),
    "attribute-list-for-number": ("Softmax", [[2]], {"axis": [1, 2]}),
    "no-inputs": ("Relu", [], {}),
    "too-many-outputs": ("Relu", [[2]], {"outputs": 3}),
    "negative-dimension": ("Relu", [[-5, 2]], {}),
    "overflowing-dimensions": ("Relu", [[2**31, 2**31, 4]], {}),
    "largest-dimension": ("Relu", [[2**63 - 1]], {}),
    "deep-rank": ("Relu", [[1] * 100], {}),
    "unknown-operator": ("Frobnicate", [[2]], {}),
    "operator-of-a-later-opset": ("Gelu", [[2]], {"opset": 13}),
    "opset-from-the-future": ("Relu", [[2]], {"opset": 999}),
    "opset-zero": ("Relu", [[2]], {"opset": 0}),
    "float-indices": ("Gather", [[2, 3], [2]], {}),
    "gather-elements-rank": ("GatherElements", [[2, 3], [2]], {"dtypes": [FLOAT, INT64]}),
    "flatten-axis": ("Flatten", [[2, 3]], {"axis": 9}),
    "arg-max-axis": ("ArgMax", [[2, 3]], {"axis": -3}),
    "trilu-rank": ("Trilu", [[4]], {}),
    "det-rank": ("Det", [[4, 3]], {}),
    "nms-boxes": ("NonMaxSuppression", [[1, 4, 5], [1, 1, 4]], {}),
    "col2im-blocks": ("Col2Im", [[1, 5, 5], ints(5, 5), ints(1, -5)], {}),
    "reverse-sequence-axes": (
        "ReverseSequence",
        [[2, 3], [3]],
        {"dtypes": [1, 7], "time_axis": 3, "batch_axis": 3},
    ),
    "stft-step": ("STFT", [[1, 16, 1], np.array(0)], {}),
    "hann-negative": ("HannWindow", [np.array(-4)], {}),
    "scatter-reduction": ("ScatterND", [[4], [1, 1], [1]], {"dtypes": [1, 7, 1], "reduction": "xor"}),
}
for _name, (_op, _shapes, _given) in NODES.items():
    case(f"node-{_name}")(lambda op=_op, shapes=_shapes, given=_given: one_node(op, shapes, **given))


def relu(inputs: Any = ("x",), outputs: Any = ("y",), name: str = "n") -> onnx.NodeProto:
    return helper.make_node("Relu", list(inputs), list(outputs), name)


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
case("attribute-twice")(lambda: _attribute_twice())
case("reference-outside-function")(lambda: _reference())


def _attribute_twice() -> onnx.ModelProto:
    model = one_node("LeakyRelu", [[2]], alpha=0.5)
    model.graph.node[0].attribute.append(model.graph.node[0].attribute[0])
    return model


def _reference() -> onnx.ModelProto:
    model = one_node("LeakyRelu", [[2]], alpha=0.5)
    model.graph.node[0].attribute[0].ref_attr_name = "outer"
    return model


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
case("if-declared-dtype")(lambda: changed_if_output())


def changed_if_output() -> onnx.ModelProto:
    model = bad_if([2], FLOAT)
    model.graph.node[0].attribute[0].g.output[0].type.tensor_type.elem_type = INT64
    return model


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


@case("many-empty-nodes")
def _empty_nodes() -> bytes:
    return _varint(8) + _varint(9) + _field(7, _field(1, b"") * 1_500_000)


@case("many-empty-attributes")
def _empty_attributes() -> bytes:
    return _varint(8) + _varint(9) + _field(7, _field(1, _field(4, b"Relu") + _field(5, b"") * 1_500_000))


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
