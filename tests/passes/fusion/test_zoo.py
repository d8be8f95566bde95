"""What the passes leave of the networks that they were written for."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from orpheus_core.importer import load, to_onnx
from orpheus_core.passes import simplify

zoo = pytest.importorskip("orpheus_experiments.zoo")
pytestmark = pytest.mark.zoo


def simplified(name):
    model = zoo.build(name, raw=True)
    return model, simplify(load(model).graph)


def test_resnet_50():
    _, graph = simplified("resnet-50")
    counts = Counter(node.op for node in graph.nodes)
    assert not {"BatchNormalization", "Relu", "Add", "ScaleShift"} & set(counts)
    assert counts["Conv"] + counts["FusedConv"] == 53
    assert sum(node.input(3) is not None for node in graph.nodes if node.op == "FusedConv") == 16


def test_wide_resnet_has_no_lone_normalization():
    _, graph = simplified("wrn-40-2")
    counts = Counter(node.op for node in graph.nodes)
    assert not {"BatchNormalization", "Relu", "Add", "ScaleShift"} & set(counts)
    # 18 blocks; the sum of every one but those before a shortcut convolution and the end is also a skip.
    assert sum(len(node.results) == 2 for node in graph.nodes) == 15


def test_preactivation_resnet():
    _, graph = simplified("resnet-50-v2")
    counts = Counter(node.op for node in graph.nodes)
    assert not {"BatchNormalization", "Relu", "Add"} & set(counts)
    # Pooling stands between the stem and the first normalization.
    assert counts["ScaleShift"] == 1


def test_mobilenet_has_no_clip():
    _, graph = simplified("mobilenet-v2")
    assert not {"BatchNormalization", "Clip", "Add"} & {node.op for node in graph.nodes}


def test_inception_merges_siblings():
    _, graph = simplified("inception-v3")
    counts = Counter(node.op for node in graph.nodes)
    assert not {"BatchNormalization", "Relu"} & set(counts)
    assert counts["Split"] >= 9


@pytest.mark.parametrize("name", ["wrn-40-2", "mobilenet-v2"])
def test_results_stay(name):
    runtime = pytest.importorskip("onnxruntime")
    model, graph = simplified(name)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    want, got = (
        runtime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
        for proto in (model, to_onnx(graph))
    )
    shape = [d if isinstance(d, int) else 1 for d in want.get_inputs()[0].shape]
    feeds = {want.get_inputs()[0].name: np.random.default_rng(0).standard_normal(shape).astype(np.float32)}
    for a, b in zip(want.run(None, feeds), got.run(None, feeds)):
        # Roundings of some fifty layers in float32.
        assert np.abs(a - b).max() <= 1e-4 * np.abs(a).max()
