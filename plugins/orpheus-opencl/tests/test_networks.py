"""Whole networks of the zoo on the device, against the reference in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import orpheus_core as orpheus

pytest.importorskip("pyopencl", reason="pyopencl is not installed")
pytest.importorskip("orpheus_opencl", reason="orpheus-opencl is not installed")
registry = pytest.importorskip(
    "orpheus_experiments.zoo.registry", reason="orpheus-experiments is not installed"
)
exact = pytest.importorskip(
    "orpheus_experiments.accuracy.exact", reason="orpheus-experiments is not installed"
)

#: Small inputs: every layer is there, and the reference takes a second.
SIZES = {"inception-v3": 107, "wrn-40-2": 32}
#: Of a network of halves, in roundings of one (2^-11): those of all layers together. With Inception-v3's small maps the
#: reference itself, which rounds each layer's result as well, comes to 15; of the others none to 4.
ROUNDINGS = {"inception-v3": 30}
NETWORKS = (
    "wrn-40-2",
    "mobilenet-v1",
    "resnet-18",
    "inception-v3",
    "resnet-50",
    "mobilenet-v2",
    "resnet-50-v2",
)


@pytest.mark.zoo
@pytest.mark.parametrize("name", NETWORKS)
def test_network(name: str, tmp_path: Path) -> None:
    model = registry.build(name, resolution=SIZES.get(name, 96))
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    session: Any = orpheus.InferenceSession(model, providers=["opencl", "numpy"], fallback="error")
    feed = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(feed.shape).astype(np.float32)
    expected = exact.evaluate(path, {feed.name: x}, tmp_path)
    for got, wanted in zip(session.run(None, {feed.name: x}), expected):
        assert got.shape == wanted.shape
        assert abs(got - wanted).max() <= 5e-5 * np.ptp(wanted)
    foreign = [row.kernel_id for row in session.kernel_plan() if row.kernel_id.startswith("numpy:")]
    assert not foreign
    again = session.run(None, {feed.name: x})
    np.testing.assert_array_equal(again[0], session.run(None, {feed.name: x})[0])


@pytest.mark.zoo
@pytest.mark.parametrize("name", NETWORKS)
def test_network_of_halves(name: str, tmp_path: Path) -> None:
    """Its weights and input rounded to float16 beforehand, so that the error is that of computing."""
    model = registry.build(name, resolution=SIZES.get(name, 96))
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            rounded = numpy_helper.to_array(tensor).astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    halves = exact.widened(model, onnx.TensorProto.FLOAT16)
    session: Any = orpheus.InferenceSession(halves, providers=["opencl"], fallback="error")
    feed = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(feed.shape).astype(np.float16)
    expected = exact.evaluate(path, {feed.name: x.astype(np.float32)}, tmp_path)
    for got, wanted in zip(session.run(None, {feed.name: x}), expected):
        assert got.shape == wanted.shape and got.dtype == np.float16
        assert abs(got - wanted).max() <= ROUNDINGS.get(name, 8) * 2.0**-11 * np.ptp(wanted)


@pytest.mark.zoo
def test_a_detector(tmp_path: Path) -> None:
    """Wholly on the device up to the suppression; what follows has sizes that only a run tells."""
    model = registry.build("ssd-mobilenet-v2")
    whole, cut = tmp_path / "model.onnx", tmp_path / "cut.onnx"
    onnx.save(model, whole)
    (suppress,) = (node for node in model.graph.node if node.op_type == "NonMaxSuppression")
    onnx.utils.extract_model(str(whole), str(cut), [model.graph.input[0].name], list(suppress.input[:2]))
    session: Any = orpheus.InferenceSession(str(cut), providers=["opencl"], fallback="error")
    feed = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(feed.shape).astype(np.float32)
    for got, wanted in zip(session.run(None, {feed.name: x}), exact.evaluate(cut, {feed.name: x}, tmp_path)):
        assert got.shape == wanted.shape
        assert abs(got - wanted).max() <= 5e-5 * np.ptp(wanted)
    mixed: Any = orpheus.InferenceSession(model, providers=["opencl", "numpy"])
    foreign = [row for row in mixed.kernel_plan() if row.kernel_id.startswith("numpy:")]
    assert {"NonMaxSuppression", "TopK"} <= {row.op for row in foreign}
    for row in foreign:
        types = (*row.inputs, *row.outputs)
        assert any("?" in t for t in types) or all(t.startswith("int64") for t in types), row
    reference = orpheus.InferenceSession(model, providers=["numpy"])
    for got, wanted in zip(mixed.run(None, {feed.name: x}), reference.run(None, {feed.name: x})):
        assert got.shape == wanted.shape
        assert abs(got - wanted).max() <= 5e-5 * max(1.0, abs(wanted).max())
