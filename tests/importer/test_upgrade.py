"""Old forms of operators mean the same after they were brought up to date."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from importer.making import constant, model_of, tensor_info, through
from onnx import helper

from orpheus_core.errors import ModelError
from orpheus_core.graph import Graph
from orpheus_core.importer import load
from orpheus_core.ops.spec import find_spec, latest_version

RNG = np.random.default_rng(7)
X = RNG.standard_normal((2, 3, 4, 5)).astype(np.float32)
POSITIVE = np.abs(X) + np.float32(0.5)
MATRIX = RNG.standard_normal((3, 4)).astype(np.float32)


def softmax(x: Any, axis: Any) -> Any:
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def coerced(function: Any, x: Any, axis: int) -> Any:
    return function(x.reshape(int(np.prod(x.shape[:axis])), -1)).reshape(x.shape)


def hardmax(rows: Any) -> Any:
    return np.eye(rows.shape[1], dtype=rows.dtype)[rows.argmax(axis=1)]


def nearest(x: Any, factor: int) -> Any:
    return x.repeat(factor, axis=2).repeat(factor, axis=3)


CHANNEL = np.arange(3, dtype=np.float32) + 1
SLOPE = np.array([0.1, 0.2, 0.3], np.float32)
ROW = np.arange(5, dtype=np.float32)
VARIANCE = np.array([1.5, 0.5, 2.0], np.float32)
EACH = np.abs(RNG.standard_normal((3, 4, 5))).astype(np.float32) + 1


def normalised(x: Any, scale: Any, bias: Any, mean: Any, variance: Any, epsilon: float) -> Any:
    return (x - mean) / np.sqrt(variance + epsilon) * scale + bias


def column(v: Any) -> Any:
    return v.reshape(1, 3, 1, 1)


# operator, opset, inputs (the first is fed, the rest are initializers), attributes, expected outputs
CASES: dict[str, tuple[str, int, list[Any], dict[str, Any], list[Any]]] = {
    "clip-6": ("Clip", 6, [X], {"min": -0.5, "max": 0.25}, [X.clip(-0.5, 0.25)]),
    "clip-6-one-sided": ("Clip", 6, [X], {"max": 0.25}, [X.clip(None, 0.25)]),
    "clip-6-none": ("Clip", 6, [X], {}, [X]),
    "dropout-6": ("Dropout", 6, [X], {"ratio": 0.3, "is_test": 1}, [X]),
    "dropout-7-mask": ("Dropout", 7, [X], {"ratio": 0.3}, [X, np.ones_like(X)]),
    "dropout-10-mask": ("Dropout", 10, [X], {"ratio": 0.3}, [X, np.ones(X.shape, bool)]),
    "slice-1": ("Slice", 1, [X], {"starts": [1, 0], "ends": [3, 2], "axes": [1, 3]}, [X[:, 1:3, :, :2]]),
    "slice-1-negative": ("Slice", 1, [X], {"starts": [0, 1], "ends": [2, -1]}, [X[0:2, 1:-1]]),
    "pad-1": ("Pad", 1, [MATRIX], {"paddings": [0, 1, 2, 0]}, [np.pad(MATRIX, ((0, 2), (1, 0)))]),
    "pad-2": ("Pad", 2, [MATRIX], {"pads": [1, 0, 0, 2], "value": 3.0},
              [np.pad(MATRIX, ((1, 0), (0, 2)), constant_values=3)]),
    "pad-2-reflect": ("Pad", 2, [MATRIX], {"pads": [1, 0, 0, 2], "mode": "reflect"},
                      [np.pad(MATRIX, ((1, 0), (0, 2)), mode="reflect")]),
    "squeeze-1": ("Squeeze", 1, [X[:, :1]], {"axes": [1]}, [X[:, 0]]),
    "squeeze-11-all": ("Squeeze", 11, [X[:1, :1]], {}, [X[0, 0]]),
    "unsqueeze-1": ("Unsqueeze", 1, [X], {"axes": [0, 5]}, [X[None, ..., None]]),
    "reduce-mean-1": ("ReduceMean", 1, [X], {"axes": [2, 3], "keepdims": 0}, [X.mean((2, 3))]),
    "reduce-max-13-all": ("ReduceMax", 13, [X], {}, [X.max(keepdims=True).reshape(1, 1, 1, 1)]),
    "reduce-sum-11": ("ReduceSum", 11, [X], {"axes": [-1]}, [X.sum(-1, keepdims=True)]),
    "reduce-l2-1": ("ReduceL2", 1, [X], {"axes": [1]}, [np.sqrt((X * X).sum(1, keepdims=True))]),
    "split-2": ("Split", 2, [X], {"axis": 3, "split": [1, 4]}, [X[..., :1], X[..., 1:]]),
    "split-2-even": ("Split", 2, [X], {"axis": 2}, [X[:, :, :2], X[:, :, 2:]]),
    "split-13-input": ("Split", 13, [X, np.array([2, 1])], {"axis": 1}, [X[:, :2], X[:, 2:]]),
    "split-1": ("Split", 1, [X], {"split": [1, 1]}, [X[:1], X[1:]]),
    "softmax-1": ("Softmax", 1, [X], {}, [coerced(lambda m: softmax(m, 1), X, 1)]),
    "softmax-11-last": ("Softmax", 11, [X], {"axis": 3}, [softmax(X, 3)]),
    "softmax-11-negative": ("Softmax", 11, [X], {"axis": -2}, [softmax(X.reshape(6, 20), 1).reshape(X.shape)]),
    "softmax-11-first": ("Softmax", 11, [X], {"axis": 0}, [coerced(lambda m: softmax(m, 1), X, 0)]),
    "log-softmax-1": ("LogSoftmax", 1, [X], {"axis": 2}, [np.log(coerced(lambda m: softmax(m, 1), X, 2))]),
    "hardmax-11": ("Hardmax", 11, [X], {"axis": 1}, [coerced(hardmax, X, 1)]),
    "top-k-1": ("TopK", 1, [MATRIX], {"k": 2},
                [-np.sort(-MATRIX, 1)[:, :2], np.argsort(-MATRIX, 1)[:, :2]]),
    "upsample-1": ("Upsample", 1, [X], {"height_scale": 2.0, "width_scale": 2.0, "mode": "nearest"}, [nearest(X, 2)]),
    "upsample-7": ("Upsample", 7, [X], {"scales": [1.0, 1.0, 3.0, 3.0]}, [nearest(X, 3)]),
    "upsample-9": ("Upsample", 9, [X, np.array([1, 1, 2, 2], np.float32)], {}, [nearest(X, 2)]),
    "resize-10": ("Resize", 10, [X, np.array([1, 1, 2, 2], np.float32)], {}, [nearest(X, 2)]),
    "resize-10-down": ("Resize", 10, [X, np.array([1, 1, 0.5, 0.6], np.float32)], {},
                       [X[:, :, [0, 2]][..., [0, 1, 3]]]),
    "reshape-1": ("Reshape", 1, [X], {"shape": [0, -1]}, [X.reshape(2, 60)]),
    "tile-1": ("Tile", 1, [MATRIX, np.array(3, np.float32), np.array(1, np.float32)], {}, [np.tile(MATRIX, (1, 3))]),
    "cast-1": ("Cast", 1, [MATRIX], {"to": "INT32"}, [MATRIX.astype(np.int32)]),
    "concat-1": ("Concat", 1, [MATRIX, MATRIX], {}, [np.concatenate([MATRIX, MATRIX], 1)]),
    "add-6-axis": ("Add", 6, [X, CHANNEL], {"broadcast": 1, "axis": 1}, [X + column(CHANNEL)]),
    "mul-6-suffix": ("Mul", 6, [X, ROW], {"broadcast": 1}, [X * ROW]),
    "sub-1-same": ("Sub", 1, [X, POSITIVE], {"consumed_inputs": [0, 0]}, [X - POSITIVE]),
    "div-6-axis-negative": ("Div", 6, [X, ROW + 1], {"broadcast": 1, "axis": -1}, [X / (ROW + 1)]),
    "pow-1-axis": ("Pow", 1, [POSITIVE, CHANNEL], {"broadcast": 1, "axis": 1}, [POSITIVE ** column(CHANNEL)]),
    "greater-1": ("Greater", 1, [X, np.float32(0)], {"broadcast": 1}, [X > 0]),
    "relu-1": ("Relu", 1, [X], {"consumed_inputs": [0]}, [np.maximum(X, 0)]),
    "prelu-6": ("PRelu", 6, [X, SLOPE], {}, [np.where(X < 0, X * column(SLOPE), X)]),
    "prelu-1-shared": ("PRelu", 1, [X, np.array([0.2], np.float32)], {}, [np.where(X < 0, X * np.float32(0.2), X)]),
    "gemm-6": ("Gemm", 6, [MATRIX, MATRIX.T.copy(), CHANNEL], {"broadcast": 1}, [MATRIX @ MATRIX.T + CHANNEL]),
    "batch-normalization-6": (
        "BatchNormalization", 6, [X, CHANNEL, SLOPE, CHANNEL, VARIANCE], {"is_test": 1, "epsilon": 1e-3},
        [normalised(X, *map(column, (CHANNEL, SLOPE, CHANNEL, VARIANCE)), 1e-3)],
    ),
    "batch-normalization-7-each": (
        "BatchNormalization", 7, [X, EACH, EACH + 1, EACH - 1, EACH], {"spatial": 0},
        [normalised(X, EACH, EACH + 1, EACH - 1, EACH, 1e-5)],
    ),
    "scatter-9": (
        "Scatter", 9, [MATRIX, np.array([[1, 0]]), np.array([[5, 6]], np.float32)], {"axis": 1},
        [np.concatenate([[[6, 5]], MATRIX[:1, 2:]], 1).astype(np.float32).tolist() + MATRIX[1:].tolist()],
    ),
    "group-normalization-18": (
        "GroupNormalization", 18, [np.concatenate([X, X[:, :1]], 1), CHANNEL[:2], SLOPE[:2]], {"num_groups": 2},
        None,  # type: ignore[list-item]
    ),
    "lp-pool-1": ("LpPool", 1, [X], {"p": 2.0, "kernel_shape": [4, 5]}, [np.sqrt((X * X).sum((2, 3), keepdims=True))]),
    "dft-17": ("DFT", 17, [X[..., None][0]], {"axis": 1}, None),  # type: ignore[dict-item]
    "arg-max-1": ("ArgMax", 1, [X], {"axis": 1, "keepdims": 0}, [X.argmax(1)]),
    "one-hot-9": ("OneHot", 9, [np.array([1, 0]), np.array(3), np.array([0, 1], np.float32)], {},
                  [np.array([[0, 1, 0], [1, 0, 0]], np.float32)]),
    "average-pool-1": ("AveragePool", 1, [X], {"kernel_shape": [2, 2], "strides": [2, 2]},
                       [X[:, :, :, :4].reshape(2, 3, 2, 2, 2, 2).mean((3, 5))]),
    "max-pool-1": ("MaxPool", 1, [X], {"kernel_shape": [2, 2], "strides": [2, 2]},
                   [X[:, :, :, :4].reshape(2, 3, 2, 2, 2, 2).max((3, 5))]),
    "selu-1": ("Selu", 1, [X], {}, [1.0507 * np.where(X > 0, X, 1.6732 * (np.exp(X) - 1))]),
}  # fmt: skip
_SPLIT_OUTPUTS = {"TopK": 2, "Split": 2}


def expected_group_normalization() -> Any:
    x = np.concatenate([X, X[:, :1]], 1)
    groups = x.reshape(2, 2, -1)
    unit = (groups - groups.mean(2, keepdims=True)) / np.sqrt(groups.var(2, keepdims=True) + 1e-5)
    return (unit * CHANNEL[:2].reshape(1, 2, 1) + SLOPE[:2].reshape(1, 2, 1)).reshape(x.shape)


def expected_dft() -> Any:
    found = np.fft.fft(X[0], axis=1)
    return np.stack([found.real, found.imag], -1)


def build(case: str) -> tuple[Any, dict[str, Any], list[Any]]:
    op, opset, inputs, attributes, expected = CASES[case]
    if expected is None:
        expected = [expected_group_normalization() if op == "GroupNormalization" else expected_dft()]
    names = [f"i{n}" for n in range(len(inputs))]
    outputs = [f"o{n}" for n in range(len(expected))]
    node = helper.make_node(op, names, outputs, **attributes)
    first = np.asarray(inputs[0])
    info = tensor_info("i0", first.shape, helper.np_dtype_to_tensor_dtype(first.dtype))
    kinds = [helper.np_dtype_to_tensor_dtype(np.asarray(e).dtype) for e in expected]
    if op == "Scatter" or op == "BatchNormalization" or op in ("DFT", "Selu", "GroupNormalization"):
        kinds = [1] * len(expected)
    outs = [tensor_info(o, None, kind) for o, kind in zip(outputs, kinds)]
    stored = [constant(n, np.asarray(v)) for n, v in zip(names[1:], inputs[1:])]
    return model_of([node], [info], outs, initializers=stored, opset=opset), {"i0": first}, expected


@pytest.mark.parametrize("case", CASES)
def test_old_form_means_the_same(case: str) -> None:
    model, feeds, expected = build(case)
    for got, want in zip(through(model, feeds), expected, strict=True):
        assert got.shape == np.asarray(want).shape
        np.testing.assert_allclose(got, want, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("case", CASES)
def test_every_node_is_of_its_newest_form(case: str) -> None:
    graph: Graph = load(build(case)[0]).graph
    for node in graph.walk():
        newest = find_spec(node.domain, node.op, latest_version(node.domain))
        assert newest is not None
        assert node.version == newest.version
        assert set(node.attributes) <= set(newest.schema.attributes)


def kept(op: str, opset: int, inputs: int, **attributes: Any) -> tuple[str, int]:
    infos = [tensor_info(f"i{n}", [1, 1, 4, 4] if n == 0 else None) for n in range(inputs)]
    model = model_of(
        [helper.make_node(op, [i.name for i in infos], ["o"], **attributes)],
        infos,
        [tensor_info("o")],
        opset=opset,
    )
    (node,) = load(model).graph.nodes
    return node.op, node.version


def test_forms_that_nothing_newer_expresses_stay() -> None:
    removed = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "mode": "nearest"}
    assert kept("Resize", 11, 3, **removed) == ("Resize", 11)


def test_training_batch_normalization_keeps_its_version() -> None:
    vectors = [constant(n, CHANNEL) for n in "sbmv"]
    node = helper.make_node("BatchNormalization", ["x", *"sbmv"], ["y", "m2", "v2", "sm", "sv"])
    model = model_of([node], [tensor_info("x", X.shape)], [tensor_info("y")], initializers=vectors, opset=9)
    (found,) = load(model).graph.nodes
    assert found.version == 9


def test_roi_align_keeps_its_grid() -> None:
    infos = [tensor_info("x", [1, 1, 8, 8]), tensor_info("r", [2, 4]), tensor_info("b", [2], 7)]
    node = helper.make_node("RoiAlign", ["x", "r", "b"], ["y"], output_height=2, output_width=2)
    graph = load(model_of([node], infos, [tensor_info("y")], opset=10)).graph
    assert graph.nodes[0].attributes["coordinate_transformation_mode"] == "output_half_pixel"


@pytest.mark.parametrize(("op", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_layers_from_version_1(op: str, gates: int) -> None:
    hidden, features = 3, 2
    w = RNG.standard_normal((1, gates * hidden, features)).astype(np.float32)
    r = RNG.standard_normal((1, gates * hidden, hidden)).astype(np.float32)
    x = RNG.standard_normal((4, 1, features)).astype(np.float32)

    def model(opset: int, **attributes: Any) -> Any:
        node = helper.make_node(op, ["x", "w", "r"], ["y", "h"], hidden_size=hidden, **attributes)
        outs = [tensor_info("y"), tensor_info("h")]
        stored = [constant("w", w), constant("r", r)]
        return model_of([node], [tensor_info("x", x.shape)], outs, initializers=stored, opset=opset)

    old = through(model(1, output_sequence=1), {"x": x})
    new = through(model(14), {"x": x})
    for a, b in zip(old, new, strict=True):
        np.testing.assert_array_equal(a, b)


def test_split_into_unequal_parts_without_sizes_is_refused() -> None:
    node = helper.make_node("Split", ["x"], ["a", "b"], axis=1)
    model = model_of([node], [tensor_info("x", [2, 3])], [tensor_info("a"), tensor_info("b")], opset=11)
    with pytest.raises(ModelError, match="cannot split 3 into 2"):
        load(model)


def test_softmax_of_unknown_rank_uses_the_matrix_form() -> None:
    x = X.reshape(2, 3, 20)
    node = helper.make_node("Softmax", ["x"], ["y"], axis=1)
    model = model_of([node], [tensor_info("x")], [tensor_info("y")], opset=9)
    (got,) = through(model, {"x": x})
    np.testing.assert_allclose(got, coerced(lambda m: softmax(m, 1), x, 1), rtol=1e-5)
