"""Whole networks of the zoo on the device, against the reference in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

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
