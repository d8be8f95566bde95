"""The zoo's networks: published sizes, valid ONNX, and two forms of one function."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
import onnx
import pytest
from orpheus_experiments.zoo import NETWORKS, build, names
from orpheus_experiments.zoo.count import macs, parameters

from orpheus_core.errors import UsageError

pytestmark = pytest.mark.zoo

# Trainable parameters: torchvision (resnet-18, resnet-50, mobilenet-v2, inception-v3 less its auxiliary head),
# Keras model summaries (mobilenet-v1, resnet-50-v2), the authors' PyTorch code (wrn-40-2).
PARAMETERS = {
    "wrn-40-2": 2_243_546,
    "mobilenet-v1": 4_231_976,
    "resnet-18": 11_689_512,
    "inception-v3": 23_834_568,
    "resnet-50": 25_557_032,
    "mobilenet-v2": 3_504_872,
    "resnet-50-v2": 25_568_360,
}
# 10^9 multiply-accumulates: torchvision's model cards, the MobileNet papers, TF-slim (6.97 GFLOP for resnet_v2_50).
GMACS = {
    "wrn-40-2": 0.33,
    "mobilenet-v1": 0.57,
    "resnet-18": 1.81,
    "inception-v3": 5.71,
    "resnet-50": 4.09,
    "mobilenet-v2": 0.30,
    "resnet-50-v2": 3.48,
}


class Forms(NamedTuple):
    name: str
    raw: onnx.ModelProto
    folded: onnx.ModelProto


@pytest.fixture(scope="module", params=names())
def forms(request):
    return Forms(request.param, build(request.param, raw=True), build(request.param))


def images(name, *, seed=0, batch=1):
    side = NETWORKS[name].resolution
    return np.random.default_rng(seed).standard_normal((batch, 3, side, side), dtype=np.float32)


def session(model):
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def test_counts_are_the_declared_ones(forms):
    network = NETWORKS[forms.name]
    assert parameters(forms.raw) == network.parameters
    assert macs(forms.raw) == macs(forms.folded) == network.macs


@pytest.mark.parametrize("name", PARAMETERS)
def test_declared_counts_are_the_published_ones(name):
    assert NETWORKS[name].parameters == PARAMETERS[name]
    assert round(NETWORKS[name].macs / 1e9, 2) == GMACS[name]


def test_ssdlite_has_the_published_size():
    # OpenVINO's Open Model Zoo, ssdlite_mobilenet_v2: 4.475 M parameters after folding, 1.525 GFLOP in all.
    model = build("ssd-mobilenet-v2")
    assert round(parameters(model) / 1e6, 3) == 4.475
    assert macs(model) == pytest.approx(1.525e9 / 2, rel=0.02)


def test_models_are_valid(forms):
    onnx.checker.check_model(forms.raw, full_check=True)
    onnx.checker.check_model(forms.folded, full_check=True)


def test_only_the_raw_form_normalises_behind_a_convolution(forms):
    def after_convolution(model):
        convolved = {node.output[0] for node in model.graph.node if node.op_type == "Conv"}
        norms = [node for node in model.graph.node if node.op_type == "BatchNormalization"]
        return sum(node.input[0] in convolved for node in norms), len(norms)

    behind, total = after_convolution(forms.raw)
    assert behind > 0
    assert after_convolution(forms.folded) == (0, total - behind)


def test_both_forms_compute_the_same_and_images_differ(forms):
    raw, folded = session(forms.raw), session(forms.folded)
    first, second = images(forms.name, seed=0), images(forms.name, seed=1)
    got = raw.run(None, {"input": first})
    for expected, actual in zip(got, folded.run(None, {"input": first})):
        assert expected.shape == actual.shape
        assert np.isfinite(expected).all()
        np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4 * max(1.0, abs(expected).max()))
    main, other = got[0], folded.run(None, {"input": second})[0]
    assert main.std() > 0.2
    if main.shape == other.shape:
        assert (main - other).std() > 0.05 * main.std()


def test_activations_stay_of_order_one(forms):
    model = onnx.ModelProto()
    model.CopyFrom(forms.folded)
    outputs = [node.output[0] for node in model.graph.node if node.op_type == "Conv"]
    model.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in outputs)
    values = session(model).run(outputs, {"input": images(forms.name)})
    assert all(0.1 < value.std() < 8 for value in values)


def test_detector_gives_sorted_detections_of_each_image():
    found = session(build("ssd-mobilenet-v2", batch="N"))
    both = images("ssd-mobilenet-v2", batch=2)
    boxes, scores, classes, image = found.run(None, {"input": both})
    assert set(image) == {0, 1}
    assert (np.diff(scores) <= 0).all()
    assert scores.min() > 0.4
    assert set(classes) <= set(range(1, 91))
    assert boxes.min() >= 0
    assert boxes.max() <= 1
    assert (boxes[:, :2] <= boxes[:, 2:]).all()
    for index in (0, 1):
        alone = found.run(None, {"input": both[index : index + 1]})
        assert len(alone[1]) > 20
        np.testing.assert_allclose(boxes[image == index], alone[0], atol=1e-4)
        np.testing.assert_array_equal(classes[image == index], alone[2])


def test_detector_has_1917_anchors_computed_in_the_graph():
    model = build("ssd-mobilenet-v2")
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info("anchors"))
    (rows,) = session(model).run(["anchors"], {"input": images("ssd-mobilenet-v2")})
    assert rows.shape == (19 * 19 * 3 + (10 * 10 + 5 * 5 + 3 * 3 + 2 * 2 + 1) * 6, 4) == (1917, 4)
    np.testing.assert_allclose(rows[0], [0.5 / 19, 0.5 / 19, 0.1, 0.1], rtol=1e-6)
    np.testing.assert_allclose(rows[-1], [0.5, 0.5, 0.95**0.5, 0.95**0.5], rtol=1e-6)
    operators = Counter(node.op_type for node in model.graph.node)
    assert min(operators[op] for op in ("Shape", "Gather", "Concat", "Reshape", "Expand", "Range")) >= 6


@pytest.mark.parametrize("name", ["wrn-40-2", "mobilenet-v2"])
def test_same_seed_same_bytes(name):
    first = build(name, seed=3).SerializeToString(deterministic=True)
    assert first == build(name, seed=3).SerializeToString(deterministic=True)
    assert first != build(name, seed=4).SerializeToString(deterministic=True)


def test_parameters_do_not_depend_on_the_structure_around_them():
    def stem(name):
        weights = {tensor.name: tensor.raw_data for tensor in build(name, raw=True).graph.initializer}
        return weights["conv1.weight"], weights["bn1.running_mean"]

    assert stem("resnet-18") == stem("resnet-50")


@pytest.mark.parametrize("opset", [13, onnx.defs.onnx_opset_version()])
@pytest.mark.parametrize("name", ["mobilenet-v2", "ssd-mobilenet-v2", "wrn-40-2"])
def test_every_opset_is_valid(name, opset):
    model = build(name, raw=True, opset=opset)
    assert model.opset_import[0].version == opset
    onnx.checker.check_model(model, full_check=True)


def test_resolution_and_symbolic_batch():
    model = build("mobilenet-v2", batch="N", resolution=64)
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    x = images("mobilenet-v2", batch=3)[:, :, :64, :64]
    run = session(model)
    alone = np.concatenate([run.run(None, {"input": row[None]})[0] for row in x])
    np.testing.assert_allclose(run.run(None, {"input": x})[0], alone, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("resnet18", {}, "did you mean 'resnet-18'"),
        ("resnet-18", {"batch": 0}, "batch 0"),
        ("resnet-18", {"seed": -1}, "seed -1"),
        ("resnet-18", {"opset": 12}, "13 to"),
        ("inception-v3", {"resolution": 74}, "at least 75"),
    ],
)
def test_what_cannot_be_built_is_refused(name, options, message):
    with pytest.raises(UsageError, match=message):
        build(name, **options)


@pytest.mark.parametrize("name", names())
def test_smallest_resolution_is_enough(name):
    model = build(name, resolution=NETWORKS[name].smallest)
    onnx.checker.check_model(model, full_check=True)
    side = NETWORKS[name].smallest
    results = session(model).run(None, {"input": np.ones((1, 3, side, side), np.float32)})
    assert all(np.isfinite(value).all() for value in results)
