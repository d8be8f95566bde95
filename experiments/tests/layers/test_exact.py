"""What rounding explains, and what it does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from orpheus_experiments.layer.exact import apart, exact, limit_of, widen
from orpheus_experiments.layer.written import parse_layer

import orpheus_core as core
from orpheus_core.importer import load

LAYERS = [
    "Conv[1x64x14x14,k3]+Relu", "Conv[1x16x9x9,k5,s2]+Add+Relu6", "Depthwise[1x32x20x20,k3]", "Gemm[8x512,n100]",
    "MatMul[3x40x64,3x64x40]", "GlobalAveragePool[1x8x64x64]", "AveragePool[1x8x9x9,k3,s1]", "Softmax[4x1000]",
    "HardSwish[1x64x5x5]", "Conv[1x8x9x9,k3,float16]",
]  # fmt: skip


@pytest.mark.parametrize("text", LAYERS)
def test_right_results_are_within_the_limit_and_wrong_ones_are_not(text: str) -> None:
    model = parse_layer(text).model()
    graph = load(model).graph
    random = np.random.default_rng(1)
    inputs = [random.standard_normal(v.type.shape).astype(v.type.dtype.numpy) for v in graph.inputs]
    found = exact(graph, inputs)
    session = core.InferenceSession(model, providers=["numpy"])
    (got,) = session.run(None, {v.name: x for v, x in zip(graph.inputs, inputs)})
    limit = limit_of(found, 0, graph.outputs[0].type)
    assert apart(got, found.outputs[0]) <= limit
    spread = float(np.ptp(got.astype(np.float64)))
    # One percent of the range is an error for float32; float16 has eleven bits.
    assert limit < spread * (0.01 if got.dtype == np.float32 else 0.5)
    assert limit_of(found, 0, graph.outputs[0].type, factor=4.0) == pytest.approx(4 * limit)


def test_sums_of_one_sign_may_lose_more() -> None:
    graph = load(parse_layer("GlobalAveragePool[1x1x224x224]").model()).graph
    x = np.abs(np.random.default_rng(0).standard_normal((1, 1, 224, 224))).astype(np.float32)
    serial = np.float32(0)
    for v in x.reshape(-1):
        serial += v
    found = exact(graph, [x])
    got = np.reshape(serial / np.float32(x.size), (1, 1, 1, 1))
    assert apart(got, found.outputs[0]) <= limit_of(found, 0, graph.outputs[0].type)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_widening_leaves_nothing_narrow(dtype: str) -> None:
    graph = widen(load(parse_layer(f"Conv[1x8x9x9,k3,{dtype}]+Relu6").model()).graph)
    values = [v for n in graph.nodes for v in (*n.inputs, *n.outputs) if v is not None]
    assert not [v for v in values if dtype in str(v.type)]
    assert {v.const.dtype for v in values if v.const is not None} == {np.dtype(np.float64)}


def test_nan_and_infinity() -> None:
    a = np.array([np.nan, np.inf, -np.inf, 1.0])
    assert apart(a, a.copy()) == 0
    for place, value in ((0, 1.0), (1, -np.inf), (1, np.nan), (3, np.nan), (3, np.inf)):
        other = a.copy()
        other[place] = value
        assert apart(other, a) == math.inf
    assert apart(np.float32([1, 3]), np.float64([1, 2])) == 1
    assert apart([a, None], [a, None]) == 0 and apart([a], [a, a]) == math.inf
    assert apart(np.array(["a"], object), np.array(["b"], object)) == math.inf
    assert apart({"k": a}, {"k": a}) == 0 and apart({"k": a}, {"j": a}) == math.inf
    assert apart(a, a[:2]) == math.inf and apart(None, a) == math.inf
