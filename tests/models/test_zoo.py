"""Whole networks of the zoo, as a training framework exports them: right, simplified, and planned tightly."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import numpy as np
import pytest

import orpheus_core as orpheus

zoo = pytest.importorskip("orpheus_experiments.zoo")
pytest.importorskip("orpheus_numpy")
pytestmark = pytest.mark.zoo
NAMES = zoo.names()


@cache
def model(name: str) -> bytes:
    return bytes(zoo.build(name, raw=True).SerializeToString())


@cache
def session(name: str) -> orpheus.InferenceSession:
    return orpheus.InferenceSession(model(name), providers=["numpy"])


def feeds(name: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    return {i.name: rng.standard_normal(i.shape).astype(np.float32) for i in session(name).get_inputs()}


def ops(name: str) -> Counter[str]:
    return Counter(n.op for n in session(name).graph.walk())


def test_all_eight_are_there() -> None:
    assert len(NAMES) == 8


@pytest.mark.parametrize("name", NAMES)
def test_outputs_match_onnx_runtime(name: str) -> None:
    ort = pytest.importorskip("onnxruntime")
    peer = ort.InferenceSession(model(name), providers=["CPUExecutionProvider"])
    want = peer.run(None, feeds(name))
    got = session(name).run(None, feeds(name))
    assert len(got) == len(want)
    for a, b in zip(got, want):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        # Two float32 engines, each within its own rounding of the truth; Inception-v3's two ORT modes part by 2e-5.
        assert np.abs(a.astype(np.float64) - b).max() <= 1e-4 * np.abs(b).max()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("passes", [None, ()], ids=["all", "none"])
def test_the_arena_is_near_its_lower_bound(name: str, passes: Any) -> None:
    s = session(name) if passes is None else orpheus.InferenceSession(model(name), enable_passes=passes)
    assert 0 < s.stats.arena_bytes <= 1.1 * s.stats.arena_lower_bound


def test_resnet_50_keeps_no_batch_norm_relu_or_add() -> None:
    assert not {"BatchNormalization", "Relu", "Add", "ScaleShift"} & set(ops("resnet-50"))


def test_pre_activation_wrn_keeps_no_batch_norm_and_uses_dual_outputs() -> None:
    assert not {"BatchNormalization", "ScaleShift", "Add", "Relu"} & set(ops("wrn-40-2"))
    duals = [n for n in session("wrn-40-2").graph.nodes if n.op == "FusedConv" and len(n.results) == 2]
    assert len(duals) >= 15


def test_mobilenet_v2_keeps_no_clip() -> None:
    assert "Clip" not in ops("mobilenet-v2")


def test_the_detectors_shape_arithmetic_is_folded() -> None:
    raw = orpheus.InferenceSession(model("ssd-mobilenet-v2"), providers=["numpy"], enable_passes=[])
    before = Counter(n.op for n in raw.graph.walk())
    after = ops("ssd-mobilenet-v2")
    assert before["Shape"] > 10
    # What is left measures the number of boxes that survive, which only the run knows.
    assert after["Shape"] <= 1
    assert not {"ConstantOfShape", "Range", "Expand", "Cast"} & set(after)


@pytest.mark.parametrize("kernel", ["im2col", "direct"])
def test_either_convolution_gives_the_same_network(kernel: str) -> None:
    s = orpheus.InferenceSession(model("wrn-40-2"), providers=["numpy"], pin={"Conv": kernel})
    chosen = {r.kernel_id.rsplit("/", 1)[1] for r in s.kernel_plan() if "Conv" in r.op}
    assert chosen == {kernel}
    want = session("wrn-40-2").run(None, feeds("wrn-40-2"))[0]
    got = s.run(None, feeds("wrn-40-2"))[0]
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()
