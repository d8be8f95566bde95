"""Implementations as kernels: names, pins, layouts without reorders, packed weights, dual outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import orpheus_core as orpheus

pytest.importorskip("orpheus_onednn", reason="orpheus-onednn is not installed")


SHAPE = (1, 32, 12, 12)


def network(rng, dual=False):
    """Two convolutions with Relu, the second with a residual; ``dual``: what a pre-activation network has."""
    weights = [rng.standard_normal((32, 32, 3, 3)).astype(np.float32) for _ in range(2)]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], "conv0", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["r"], "relu0"),
        helper.make_node("Conv", ["r", "w1"], ["c"], "conv1", pads=[1] * 4),
        helper.make_node("Add", ["c", "r"], ["s"], "add"),
        helper.make_node("Relu", ["s"], ["y"], "relu1"),
    ]
    outputs = ["y", "s"] if dual else ["y"]
    info = [helper.make_tensor_value_info(n, TensorProto.FLOAT, SHAPE) for n in ("x", *outputs)]
    constants = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    graph = helper.make_graph(nodes, "g", info[:1], info[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return model.SerializeToString()


def session(model, **options):
    return orpheus.InferenceSession(model, providers=["onednn"], threads=1, fallback="error", **options)


@pytest.mark.parametrize("dual", [False, True])
def test_fused_layers_in_one_layout(onednn, dual):
    rng = np.random.default_rng(5)
    model, x = network(rng, dual), rng.standard_normal(SHAPE).astype(np.float32)
    mine = session(model)
    plan = mine.executable.ready().plan
    reorders = [o for o in plan.program.operations if o.node.op == "Reorder"]
    assert len(reorders) <= 2 + dual  # into the blocked layout and out of it, none between
    reference = orpheus.InferenceSession(model, providers=["numpy"], threads=1)
    for got, wanted in zip(mine.run(None, {"x": x}), reference.run(None, {"x": x})):
        # 288 products a sum, of normal values: 288 roundings of sums of at most about 5 * sqrt(288).
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=288 * 6e-8 * 5 * np.sqrt(288))


def test_every_implementation_of_a_convolution_can_be_pinned(onednn):
    from orpheus_onednn.manifest import kernels

    rng = np.random.default_rng(6)
    model, x = network(rng), rng.standard_normal(SHAPE).astype(np.float32)
    wanted = orpheus.InferenceSession(model, providers=["numpy"], threads=1).run(None, {"x": x})[0]
    names = [k.name for k in kernels() if k.op == "FusedConv" and "float32" in k.dtypes["T"]]
    ran = []
    for name in names:
        try:
            mine = orpheus.InferenceSession(
                model, providers=["onednn"], threads=1, pin={"Conv": f"onednn:Conv/{name}"}
            )
        except orpheus.SelectionError:
            continue  # of other layers: depthwise, 1x1
        got = mine.run(None, {"x": x})[0]
        assert np.abs(got - wanted).max() <= 1e-5 * np.abs(wanted).max(), name
        ran.append(name)
    assert ran


def problem(op, shapes, result, attributes):
    from orpheus_core.plugin import Problem
    from orpheus_core.types import DType, TensorType

    inputs = tuple(TensorType(DType.FLOAT32, shape) for shape in shapes)
    constants = {1: np.zeros(shapes[1], np.float32)} if len(shapes) > 1 else {}
    return Problem(op, "", 16, attributes, inputs, (TensorType(DType.FLOAT32, result),), constants)


def test_names_are_the_librarys_own(onednn):
    from orpheus_onednn.call import Walk
    from orpheus_onednn.convolution import convolution
    from orpheus_onednn.manifest import kernels

    layer = problem("Conv", (SHAPE, (32, 32, 3, 3)), SHAPE, {"pads": (1, 1, 1, 1)})
    found = Walk(convolution, "plain", "plain")(layer)
    assert isinstance(found, tuple)
    assert set(found) & {k.name.partition("@")[0] for k in kernels() if k.op == "Conv"}


def test_a_refusal_names_what_there_is(onednn):
    from orpheus_onednn.manifest import ENTRIES, kernels

    kernel = next(k for k in kernels() if k.op == "LeakyRelu")
    entry = getattr(ENTRIES, kernel.supports.split(".")[-2])
    empty = problem("LeakyRelu", [(0, 3)], (0, 3), {"alpha": 0.1})
    assert entry.supports(empty) == "needs tensors of known shapes and at least one element"


@pytest.mark.parametrize("shape", [(2, 3, 1, 1), (2, 3, 1), (1, 3, 1, 1), (2, 3, 2, 1), (4, 3)])
def test_a_scale_and_a_shift_for_each_channel_of_single_pixels(onednn, shape):
    from orpheus_onednn.call import Walk
    from orpheus_onednn.layer import Layer
    from orpheus_onednn.pointwise import scale_shift

    x = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    scale, shift = np.float32([2, 3, 5]), np.float32([7, 11, 13])
    walk = Walk(scale_shift, "plain", "plain")
    layer = problem("ScaleShift", (shape, (3,), (3,)), shape, {"axis": 1})
    if shape in ((2, 3, 1, 1), (2, 3, 1)):  # oneDNN's own results are wrong there
        assert "one pixel" in walk(layer)
        return
    prepared = Layer(layer, walk, walk(layer)[0])
    y = np.zeros_like(x)
    prepared.bind([x, scale, shift], [y], np.empty(prepared.workspace, np.uint8))()
    channels = (3, *(1,) * (len(shape) - 2))
    assert (y == x * scale.reshape(channels) + shift.reshape(channels)).all()


@pytest.mark.parametrize("channels", [32, 20])
def test_scale_shift_and_activation_of_the_sum_are_not_left_to_the_reference(onednn, channels):
    from orpheus_onednn.call import Walk
    from orpheus_onednn.convolution import convolution
    from orpheus_onednn.layer import Layer
    from orpheus_onednn.manifest import _blocked

    shape = (1, channels, 6, 6)
    shapes = (shape, (channels, channels, 3, 3), (channels,), shape, (channels,), (channels,))
    layer = problem("FusedConv", shapes, shape, {"pads": (1, 1, 1, 1), "activation": "Relu"})
    layer = replace(layer, outputs=layer.outputs * 2)
    walk = Walk(convolution, _blocked(), _blocked())
    names = walk(layer)
    if channels % 16:  # the library's own order of such a vector is another
        assert "nothing but its reference" in names
        return
    for name in names:
        ran = [onednn.implementation(p.descriptor) for p in Layer(layer, walk, name).primitives]
        assert ran[0] == name and "ref" not in ran[1]


@pytest.mark.parametrize("channels", [5, 16, 20])
def test_the_padding_of_blocks_is_zero_whatever_the_layer_is_fed(onednn, channels):
    from orpheus_onednn.call import Walk
    from orpheus_onednn.convolution import convolution
    from orpheus_onednn.layer import Layer
    from orpheus_onednn.manifest import _blocked

    from orpheus_core.selection.reorder import to_layout
    from orpheus_core.types import Layout

    layout = Layout(_blocked())
    layer = problem("Conv", ((1, 16, 6, 6), (channels, 16, 1, 1)), (1, channels, 6, 6), {})
    outputs = tuple(replace(t, layout=layout) for t in layer.outputs)
    layer = replace(layer, inputs=(replace(layer.inputs[0], layout=layout), layer.inputs[1]), outputs=outputs)
    prepared = Layer(layer, Walk(convolution, layout.name, layout.name), None)
    x = to_layout(np.full((1, 16, 6, 6), np.inf, np.float32), layout)
    y = np.full(layout.physical_shape((1, channels, 6, 6)), 7, np.float32)
    space = np.empty(prepared.workspace, np.uint8)
    prepared.bind([x, None], [y], space)()
    assert np.isnan(y[:, 0, :, :, : min(channels, layout.block)]).all()  # infinity times weights of zero
    if channels % layout.block:
        assert not y[:, -1, ..., channels % layout.block :].any()


@pytest.mark.parametrize(
    ("op", "late", "given", "outputs"),
    [
        ("ReduceSum", ["axes"], [1], 1),
        ("ReduceMax", ["axes"], [1], 1),
        ("Split", ["split"], [1, 2], 2),
        ("Resize", ["", "scales"], [1, 1, 2, 2], 1),
        ("Resize", ["", "", "sizes"], [2, 3, 8, 8], 1),
    ],
)
def test_what_decides_on_the_results_shape_is_refused_before_the_run(onednn, op, late, given, outputs):
    info = helper.make_tensor_value_info
    kind = TensorProto.FLOAT if "scales" in late else TensorProto.INT64
    names, attributes = [f"y{i}" for i in range(outputs)], {"axis": 1} if op == "Split" else {}
    graph = helper.make_graph(
        [helper.make_node(op, ["x", *late], names, **attributes)],
        "g",
        [info("x", TensorProto.FLOAT, [2, 3, 4, 4]), info(late[-1], kind, [len(given)])],
        [info(name, TensorProto.FLOAT, None) for name in names],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(orpheus.UnsupportedModelError, match=f"{late[-1]}.runtime == False"):
        session(model.SerializeToString())
    both = orpheus.InferenceSession(model.SerializeToString(), providers=["onednn", "numpy"], threads=1)
    x = np.arange(96, dtype=np.float32).reshape(2, 3, 4, 4)
    given = np.array(given, np.float32 if "scales" in late else np.int64)
    got = both.run(None, {"x": x, late[-1]: given})
    wanted = {
        "ReduceSum": lambda: [x.sum(1, keepdims=True)],
        "ReduceMax": lambda: [x.max(1, keepdims=True)],
        "Split": lambda: [x[:, :1], x[:, 1:]],
        "Resize": lambda: [x.repeat(2, 2).repeat(2, 3)],
    }
    for a, b in zip(got, wanted[op](), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("words", "size", "refused"),
    [
        (("nearest", "asymmetric", "floor"), 12, ""),
        (("nearest", "half_pixel", "round_prefer_ceil"), 12, ""),
        (("nearest", "asymmetric", "ceil"), 12, "elements that half_pixel takes"),
        (("nearest", "half_pixel", "round_prefer_floor"), 6, "needs a multiple"),
        (("linear", "pytorch_half_pixel", "floor"), 7, ""),
        (("linear", "align_corners", "floor"), 12, "elements that half_pixel takes"),
        (("cubic", "half_pixel", "floor"), 12, "elements that half_pixel takes"),
    ],
)
def test_resize_by_whatever_words_that_mean_what_the_library_computes(onednn, words, size, refused):
    from orpheus_onednn.call import Walk
    from orpheus_onednn.layer import Layer
    from orpheus_onednn.pointwise import resampling

    from orpheus_core.geometry.sampling import resized

    names = ("mode", "coordinate_transformation_mode", "nearest_mode")
    layer, walk = (
        problem("Resize", [(1, 2, 4)], (1, 2, size), dict(zip(names, words))),
        Walk(resampling, "plain", "plain"),
    )
    if refused:
        assert refused in walk(layer)
        return
    x, y = (
        np.random.default_rng(7).standard_normal((1, 2, 4)).astype(np.float32),
        np.zeros((1, 2, size), np.float32),
    )
    prepared = Layer(layer, walk, None)
    prepared.bind([x], [y], np.empty(prepared.workspace, np.uint8))()
    places, weights = resized(layer)[2]
    shares = np.ones(places.shape) if weights is None else weights
    # Weights near 1 whose roundings, and those of two products and a sum, are of values up to 4.
    np.testing.assert_allclose(y, (x.astype(np.float64)[:, :, places] * shares).sum(-1), atol=4 * 4 * 6e-8)


OPERATORS = (
    "Conv",
    "QLinearConv",
    "QLinearMatMul",
    "FusedMatMul",
    "MaxPool",
    "Add",
    "LSTM",
    "GRU",
    "RNN",
    "Reorder",
)


@pytest.mark.slow
def test_kernels_conform(onednn, tmp_path):
    pytest.importorskip("orpheus_conformance", reason="orpheus-conformance is not installed")
    report = tmp_path / "report.json"
    ops = [part for op in OPERATORS for part in ("--op", op)]
    tiers = [part for tier in ("exact", "special") for part in ("--tier", tier)]
    command = ["conform", "onednn", "--examples", "2", "--json", str(report), *ops, *tiers]
    done = subprocess.run(
        [sys.executable, "-m", "orpheus_core", *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert json.loads(report.read_text())


def test_a_process_that_was_given_the_table_finds_the_code_of_its_kernels(onednn):
    from orpheus_onednn.manifest import kernels

    given = [(k.prepare, k.name) for k in kernels()]
    code = (
        "import json, sys; from orpheus_core.plugin import resolve\n"
        "for reference, name in json.load(sys.stdin):\n"
        "    found = resolve(reference.rpartition('.')[0])\n"
        "    assert name.startswith(found.name), (reference, name, found.name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(given), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
