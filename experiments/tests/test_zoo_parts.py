"""The zoo's parts by themselves: sampling, building, folding, counting."""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator
from orpheus_experiments.zoo import sampling
from orpheus_experiments.zoo.builder import Builder
from orpheus_experiments.zoo.count import macs, parameters


def test_samples_have_the_asked_moments():
    values = sampling.normal(0, "a", (400, 500), 0.25)
    assert values.dtype == np.float32
    assert abs(values.mean()) < 3 * 0.25 / 400
    assert values.std() == pytest.approx(0.25, rel=0.01)
    flat = sampling.uniform(0, "b", (200_000,), 0.5, 1.5)
    assert flat.min() >= 0.5
    assert flat.max() < 1.5
    assert flat.mean() == pytest.approx(1.0, abs=0.003)
    assert flat.var() == pytest.approx(1 / 12, rel=0.02)


def test_each_name_and_seed_has_a_stream_of_its_own():
    base = sampling.normal(0, "a", (64,), 1.0)
    for other in (sampling.normal(0, "b", (64,), 1.0), sampling.normal(1, "a", (64,), 1.0)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.5


def test_numbers_are_those_of_every_numpy_version():
    # PCG64's raw output is fixed by numpy's policy (NEP 19), so these bytes may never change.
    drawn = sampling.normal(0, "conv1.weight", (8, 3, 3, 3), 0.1).astype("<f4").tobytes()
    assert hashlib.sha256(drawn).hexdigest().startswith("d444c183cc4680b1")
    drawn = sampling.uniform(0, "bn1.weight", (64,), 0.8, 1.2).astype("<f4").tobytes()
    assert hashlib.sha256(drawn).hexdigest().startswith("6e397b9358b19290")


def network(*, raw, bias):
    """Two convolutions and BatchNormalizations; what the second convolution gives has another reader."""
    b = Builder(seed=5)
    x = b.input("input", (2, 3, 8, 8))
    y = b.relu(b.bn(b.conv(x, "conv1", 6, 3, stride=2, bias=bias), "bn1"))
    z = b.conv(y, "conv2", 6, (1, 3), group=3, bias=bias)
    y = b.add(b.bn(z, "bn2"), z, "sum")
    y = b.linear(b.global_average(y), "fc", 5)
    b.output(y.name, "logits", (2, 5))
    return b.model("test", raw=raw, opset=17)


@pytest.mark.parametrize("bias", [False, True])
def test_folding_keeps_the_function_and_respects_other_readers(bias):
    raw, folded = network(raw=True, bias=bias), network(raw=False, bias=bias)
    left = [node.name for node in folded.graph.node if node.op_type == "BatchNormalization"]
    assert left == ["bn2"]
    assert {tensor.name for tensor in folded.graph.initializer}.isdisjoint({"bn1.weight", "bn1.running_var"})
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8), dtype=np.float32)
    expected, actual = (ReferenceEvaluator(model).run(None, {"input": x})[0] for model in (raw, folded))
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_counts_by_hand():
    model = network(raw=True, bias=True)
    conv1, conv2, norm, linear = 6 * 3 * 9 + 6, 6 * 2 * 3 + 6, 2 * 6, 5 * 6 + 5
    assert parameters(model) == conv1 + conv2 + 2 * norm + linear
    assert macs(model) == 2 * (6 * 4 * 4 * 27 + 6 * 4 * 4 * 6 + 5 * 6)


def test_macs_of_unknown_shapes_are_refused():
    b = Builder()
    x = b.input("input", ("N", 3, 8, 8))
    b.output(b.conv(x, "stem", 4, 3).name, "out", ("N", 4, 8, 8))
    with pytest.raises(ValueError, match="'stem' is not known"):
        macs(b.model("test", raw=True, opset=17))


def test_names_are_unique_and_constants_are_shared():
    b = Builder()
    x = b.input("input", (1, 3, 8, 8))
    b.output(b.relu6(b.relu6(x)).name, "out", (1, 3, 8, 8))
    b.relu(x)
    again = b.relu(x)
    assert again.name == "input.relu_1"
    model = b.model("test", raw=False, opset=17)
    assert [tensor.name for tensor in model.graph.initializer] == ["relu6.min", "relu6.max"]
    onnx.checker.check_model(model, full_check=True)


def test_two_arrays_of_one_name_are_refused():
    b = Builder()
    b.constant("a", 1.0)
    b.constant("a", 1.0)
    with pytest.raises(ValueError, match="called 'a'"):
        b.constant("a", 2.0)
