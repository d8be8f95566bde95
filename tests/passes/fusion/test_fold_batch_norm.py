"""BatchNormalization disappears into the weights before or after it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orpheus_core.graph import Graph, Value
from orpheus_core.ops import make_node
from orpheus_core.passes import fold_batch_norm


@pytest.mark.parametrize("group", [1, 2, 4])
@pytest.mark.parametrize("bias", [False, True])
def test_conv_before(build, check, ops, group, bias):
    x = build.input(2, 4, 5, 6)
    y = build(
        "Conv",
        x,
        build.array(8, 4 // group, 3, 2),
        build.array(8) if bias else None,
        group=group,
        pads=(1, 0, 1, 1),
    )
    after = check(build, build.graph(build.norm(y, 8)), fold_batch_norm.run)
    assert ops(after) == ["Conv"]


@pytest.mark.parametrize("group", [1, 2])
def test_transposed_conv_before(build, check, ops, group):
    x = build.input(1, 4, 5)
    y = build("ConvTranspose", x, build.array(4, 3, 3), group=group, strides=(2,))
    after = check(build, build.graph(build.norm(y, 3 * group)), fold_batch_norm.run)
    assert ops(after) == ["ConvTranspose"]


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [None, (), (1,), (5,), (1, 5), (3, 1), (3, 5)])
def test_gemm_before(build, check, ops, transposed, bias):
    x = build.input(3, 4)
    matrix = build.array(5, 4) if transposed else build.array(4, 5)
    addend = None if bias is None else build.array(*bias)
    y = build("Gemm", x, matrix, addend, alpha=0.5, beta=2.0, transB=transposed)
    after = check(build, build.graph(build.norm(y, 5)), fold_batch_norm.run)
    assert ops(after) == ["Gemm"]


def test_matrix_product_before_becomes_gemm(build, check, ops):
    y = build("MatMul", build.input(3, 4), build.array(4, 5))
    after = check(build, build.graph(build.norm(y, 5)), fold_batch_norm.run)
    assert ops(after) == ["Gemm"]


@pytest.mark.parametrize("group", [1, 3])
def test_conv_after_without_padding(build, check, ops, group):
    x = build.norm(build("Relu", build.input(2, 6, 5, 5)), 6)
    y = build("Conv", x, build.array(9, 6 // group, 2, 3), build.array(9), group=group)
    after = check(build, build.graph(y), fold_batch_norm.run)
    assert ops(after) == ["Relu", "Conv"]


def test_conv_after_with_padding_stays(build, check, ops):
    x = build.norm(build.input(2, 6, 5, 5), 6)
    y = build("Conv", x, build.array(9, 6, 3, 3), pads=(1, 1, 1, 1))
    graph = build.graph(y)
    assert fold_batch_norm.run(graph) is graph


def test_conv_after_with_padding_and_no_shift(build, check, ops):
    x = build.norm(build.input(2, 6, 5, 5), 6, beta=0, mean=0)
    y = build("Conv", x, build.array(9, 6, 3, 3), pads=(1, 1, 1, 1))
    after = check(build, build.graph(y), fold_batch_norm.run)
    assert ops(after) == ["Conv"]


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_after(build, check, ops, transposed):
    x = build.norm(build("Relu", build.input(3, 4)), 4)
    y = build(
        "Gemm",
        x,
        build.array(5, 4) if transposed else build.array(4, 5),
        build.array(5),
        alpha=0.75,
        transB=transposed,
    )
    after = check(build, build.graph(y), fold_batch_norm.run)
    assert ops(after) == ["Relu", "Gemm"]


def test_two_convs_after(build, check, ops):
    x = build.norm(build("Relu", build.input(1, 4, 5, 5)), 4)
    y = build("Conv", x, build.array(3, 4, 1, 1))
    z = build("Conv", x, build.array(2, 4, 3, 3))
    after = check(build, build.graph(y, z), fold_batch_norm.run)
    assert ops(after) == ["Relu", "Conv", "Conv"]


def test_reader_that_cannot_take_it_keeps_it(build):
    x = build.norm(build("Relu", build.input(1, 4, 5, 5)), 4)
    y = build("Conv", x, build.array(3, 4, 1, 1))
    graph = build.graph(y, build("Relu", x))
    assert fold_batch_norm.run(graph) is graph


def test_result_that_others_need_keeps_it(build):
    y = build("Conv", build.input(1, 4, 5, 5), build.array(3, 4, 1, 1))
    graph = build.graph(build.norm(y, 3), y)
    assert fold_batch_norm.run(graph) is graph


def test_training_form_stays(build):
    y = build("Conv", build.input(1, 4, 5, 5), build.array(3, 4, 1, 1))
    parameters = [build.array(3, low=0.5) for _ in range(4)]
    build_outputs = build("BatchNormalization", y, *parameters, outputs=3, training_mode=1)
    graph = build.graph(build_outputs[0])
    assert fold_batch_norm.run(graph) is graph


def test_overflow_is_not_folded(make_build):
    build = make_build(np.float16)
    x = build("Mul", build.input(1, 2, 3, 3), np.float16(1e-3))
    y = build("Conv", x, np.full((2, 2, 1, 1), 6e4, np.float16))
    two = np.full(2, 2, np.float16)
    graph = build.graph(build("BatchNormalization", y, two, two, two, np.ones(2, np.float16)))
    assert fold_batch_norm.run(graph) is graph


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_conv_before_and_after(make_build, check, ops, data):
    rank = data.draw(st.integers(1, 3))
    group = data.draw(st.integers(1, 3))
    inner, outer = (group * data.draw(st.integers(1, 3)) for _ in range(2))
    dtype = data.draw(st.sampled_from([np.float64, np.float32]))
    build = make_build(dtype, data.draw(st.integers(0, 2**32 - 1)))
    kernel = [data.draw(st.integers(1, 3)) for _ in range(rank)]
    weight = build.array(outer, inner // group, *kernel)
    x = build.input(data.draw(st.integers(1, 2)), inner, *[4] * rank)
    if data.draw(st.booleans()):
        pads = [data.draw(st.integers(0, 1)) for _ in range(2 * rank)]
        y = build.norm(build("Conv", x, weight, group=group, pads=pads), outer)
    else:
        y = build("Conv", build.norm(x, inner), weight, build.array(outer), group=group)
    # Sums of at most 9 * 27 terms of size one, amplified at most 2 / sqrt(0.1) times by the normalization
    # while the largest result is of size one: 300 roundings leave room for all of it.
    tolerance = 300 * np.finfo(dtype).eps * max(1, 8 / max(np.abs(build.held[y]).max(), 0.1))
    after = check(build, build.graph(y), fold_batch_norm.run, tolerance=tolerance)
    assert ops(after) == ["Conv"]


def test_half_precision_rounds_once(make_build, check, ops):
    build = make_build(np.float16)
    y = build("Conv", build.input(1, 4, 5, 5), build.array(3, 4, 1, 1))
    z = build.norm(y, 3)
    after = check(build, build.graph(z), fold_batch_norm.run, tolerance=0.02)
    assert ops(after) == ["Conv"]
    gamma, beta, mean, variance = (v.const.astype(np.float64) for v in build.nodes[1].inputs[1:])
    scale = gamma / np.sqrt(variance + build.nodes[1].attributes["epsilon"])
    weight, bias = (v.const for v in after.nodes[0].inputs[1:])
    before = build.nodes[0].inputs[1].const.astype(np.float64)
    assert (weight == (before * scale.reshape(3, 1, 1, 1)).astype(np.float16)).all()
    assert (bias == (beta - mean * scale).astype(np.float16)).all()


@pytest.mark.parametrize("weight", [(), (3,), (3, 4), (3, 5, 1, 1), (0, 4, 1, 1)])
@pytest.mark.parametrize("op", ["Conv", "Gemm", "MatMul", "ConvTranspose"])
@pytest.mark.parametrize("channels", [0, 1, 2, 3])
def test_shapes_that_contradict_each_other_are_left_alone(build, op, weight, channels):
    x = build.input(1, 4, 5, 5)
    w = Value.constant("w", build.array(*weight))
    y, z = Value("y", x.type), Value("z", x.type)
    norm = [
        build.array(channels, low=0.5),
        build.array(channels),
        build.array(2),
        build.array(channels, low=0.5),
    ]
    parameters = [Value.constant(f"p{i}", array) for i, array in enumerate(norm)]
    nodes = (make_node(op, [x, w], [y]), make_node("BatchNormalization", [y, *parameters], [z]))
    graph = Graph((x,), (z,), nodes)
    if channels != 2:
        assert fold_batch_norm.run(graph) is graph
    else:
        fold_batch_norm.run(graph)
