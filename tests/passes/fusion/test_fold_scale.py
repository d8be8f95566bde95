"""Arithmetic with constants disappears into the weights before or after it."""

from __future__ import annotations

import numpy as np
import pytest

from orpheus_core.passes import fold_scale

_SHAPES = [(), (1,), (8, 1, 1), (1, 8, 1, 1)]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize("shape", _SHAPES)
@pytest.mark.parametrize("swapped", [False, True])
def test_behind_conv(build, check, ops, op, shape, swapped):
    y = build("Conv", build.input(1, 4, 5, 6), build.array(8, 4, 3, 3))
    constant = build.array(*shape, low=0.5, high=2)
    z = build(op, constant, y) if swapped else build(op, y, constant)
    graph = build.graph(z)
    if op == "Div" and swapped:
        assert fold_scale.run(graph) is graph
    else:
        assert ops(check(build, graph, fold_scale.run)) == ["Conv"]


@pytest.mark.parametrize("op", ["Mul", "Div"])
def test_scale_before_padded_conv(build, check, ops, op):
    x = build(op, build.input(1, 4, 5, 6), build.array(4, 1, 1, low=0.5, high=2))
    y = build("Conv", x, build.array(8, 4, 3, 3), pads=(1, 1, 1, 1))
    assert ops(check(build, build.graph(y), fold_scale.run)) == ["Conv"]


def test_chain_of_arithmetic(build, check, ops):
    y = build("Conv", build.input(1, 4, 5, 6), build.array(8, 2, 3, 3), group=2)
    for op in ("Mul", "Add", "Neg", "Div", "Sub"):
        y = build(op, y) if op == "Neg" else build(op, y, build.array(8, 1, 1, low=0.5, high=2))
    assert ops(check(build, build.graph(y), fold_scale.run)) == ["Conv"]


@pytest.mark.parametrize("shape", [(5, 6), (1, 6), (8, 5, 6), (1, 1, 8, 1, 1)])
def test_other_broadcasts_stay(build, shape):
    y = build("Conv", build.input(1, 4, 5, 6), build.array(8, 4, 1, 1))
    graph = build.graph(build("Mul", y, build.array(*shape)))
    assert fold_scale.run(graph) is graph


def test_constant_that_widens_one_channel_stays(build):
    y = build("Conv", build.input(1, 4, 5, 6), build.array(1, 4, 1, 1))
    graph = build.graph(build("Add", y, build.array(8, 1, 1)))
    assert fold_scale.run(graph) is graph


def test_matrix_product_with_bias_becomes_gemm(build, check, ops):
    y = build("Add", build("MatMul", build.input(3, 4), build.array(4, 5)), build.array(5))
    assert ops(check(build, build.graph(y), fold_scale.run)) == ["Gemm"]


def test_scale_around_wide_matrix_product(build, check, ops):
    x = build("Mul", build.input(2, 3, 4), build.array(4))
    y = build("Div", build("MatMul", x, build.array(4, 5)), np.float64(3))
    assert ops(check(build, build.graph(y), fold_scale.run)) == ["MatMul"]


def test_shift_behind_wide_matrix_product_stays(build):
    graph = build.graph(
        build("Add", build("MatMul", build.input(2, 3, 4), build.array(4, 5)), build.array(5))
    )
    assert fold_scale.run(graph) is graph


def test_division_by_zero_stays(build):
    y = build("Conv", build.input(1, 2, 3, 3), build.array(2, 2, 1, 1))
    with np.errstate(divide="ignore"):
        graph = build.graph(build("Div", y, np.zeros((2, 1, 1))))
    assert fold_scale.run(graph) is graph


def test_inputs_with_defaults_are_not_constants(build):
    x, scale = build.input(1, 2, 3, 3), build.input(2, 1, 1)
    y = build("Mul", build("Conv", x, build.array(2, 2, 1, 1)), scale)
    graph = build.graph(y).replace(defaults={scale: build.held[scale]})
    assert fold_scale.run(graph) is graph
