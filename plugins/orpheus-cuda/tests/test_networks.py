"""Networks of the zoo wholly on the device: planned as they are, and small ones run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import orpheus_core as orpheus
from orpheus_core.plan.context import Context

registry = pytest.importorskip(
    "orpheus_experiments.zoo.registry", reason="orpheus-experiments is not installed"
)
exact = pytest.importorskip(
    "orpheus_experiments.accuracy.exact", reason="orpheus-experiments is not installed"
)

NETWORKS = (
    "wrn-40-2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50", "mobilenet-v2", "resnet-50-v2",
    "ssd-mobilenet-v2",
)  # fmt: skip


@pytest.mark.zoo
@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_planned_wholly_on_the_device(name: str) -> None:
    session: Any = orpheus.InferenceSession(registry.build(name), providers=["cuda"], fallback="error")
    plan = session.executable.ready().plan
    Context(plan)  # every kernel is bound, every program asked for
    moved = [o for o in plan.program.operations if o.kernel_id == "core:Move"]
    assert len(moved) == len(session.get_inputs()) + len(session.get_outputs())
    assert not [o.kernel_id for o in plan.program.operations if o.kernel_id.startswith("core:Reorder")]


@pytest.mark.zoo
@pytest.mark.parametrize(("name", "resolution"), [("mobilenet-v2", 32), ("resnet-18", 32)])
def test_a_small_network_runs(name: str, resolution: int, tmp_path: Path) -> None:
    model = registry.build(name, resolution=resolution)
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    session: Any = orpheus.InferenceSession(model, providers=["cuda"], fallback="error")
    feed = session.get_inputs()[0]
    x = np.random.default_rng(0).standard_normal(feed.shape).astype(np.float32)
    (wanted,) = exact.evaluate(path, {feed.name: x}, tmp_path)
    for _ in range(3):
        (got,) = session.run(None, {feed.name: x})
        # Rounding of some fifty layers in float32, beside the spread of the results.
        assert abs(got - wanted).max() <= 5e-5 * np.ptp(wanted)


def detector() -> Any:
    """The end of a detector: boxes and scores, suppressed, ranked, picked."""
    boxes, scores = (
        helper.make_tensor_value_info(n, 1, s) for n, s in (("b", [1, 60, 4]), ("s", [1, 3, 60]))
    )
    numbers = {"most": np.array([9]), "iou": np.array([0.3], np.float32), "least": np.array([0.2], np.float32),
               "one": np.array(1), "axes": np.array([1])}  # fmt: skip
    nodes = [
        helper.make_node("NonMaxSuppression", ["b", "s", "most", "iou", "least"], ["kept"], "nms"),
        helper.make_node("GatherND", ["s", "kept"], ["chances"], "chances"),
        helper.make_node("Shape", ["chances"], ["count"], "count"),
        helper.make_node("Min", ["most", "count"], ["k"], "k"),
        helper.make_node("TopK", ["chances", "k"], ["top", "places"], "rank"),
        helper.make_node("Gather", ["kept", "places"], ["rows"], "rows"),
        helper.make_node("Gather", ["rows", "one"], ["class"], "class", axis=1),
        helper.make_node("Unsqueeze", ["class", "axes"], ["column"], "column"),
        helper.make_node("Concat", ["column", "rows"], ["both"], "both", axis=1),
        helper.make_node("Add", ["both", "one"], ["more"], "more"),
    ]
    outputs = [helper.make_tensor_value_info("top", 1, None), helper.make_tensor_value_info("more", 7, None)]
    constants = [numpy_helper.from_array(v, n) for n, v in numbers.items()]
    graph = helper.make_graph(nodes, "g", [boxes, scores], outputs, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_what_follows_a_suppression_stays_on_the_device() -> None:
    session = orpheus.InferenceSession(detector(), providers=["cuda"], fallback="error")
    reference = orpheus.InferenceSession(detector(), providers=["numpy"])
    for seed in range(3):
        rng = np.random.default_rng(seed)
        corners = rng.random((1, 60, 2)).astype(np.float32)
        feeds = {
            "b": np.concatenate([corners, corners + 0.3 * rng.random((1, 60, 2)).astype(np.float32)], 2),
            "s": rng.integers(0, 20, (1, 3, 60)).astype(np.float32) / 20,  # with equals
        }
        for got, wanted in zip(session.run(None, feeds), reference.run(None, feeds)):
            np.testing.assert_array_equal(got, wanted)
