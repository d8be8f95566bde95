"""Siblings become one wide product and a Split where that saves traffic."""

from __future__ import annotations

import pytest

from orpheus_core.passes import fuse_conv, merge_siblings


def conv(build, x, channels, *, bias=True, **attributes):
    weight = build.array(channels, x.type.shape[1], 1, 1)
    return build("Conv", x, weight, build.array(channels) if bias else None, **attributes)


@pytest.mark.parametrize("bias", [(False, False, False), (True, False, True)])
def test_convs(build, check, ops, bias):
    x = build.input(2, 32, 3, 4)
    results = [conv(build, x, width, bias=b) for width, b in zip((6, 9, 3), bias)]
    after = check(build, build.graph(*(build("Sin", y) for y in results)), merge_siblings.run)
    assert ops(after) == ["Conv", "Split", "Sin", "Sin", "Sin"]
    assert (after.nodes[0].input(2) is not None) == any(bias)


def test_results_that_are_graph_outputs(build, check, ops):
    x = build.input(1, 32, 3, 4)
    after = check(build, build.graph(conv(build, x, 5), conv(build, x, 7)), merge_siblings.run)
    assert ops(after) == ["Conv", "Split"]


def test_fused_activation_has_to_agree(build, check, ops):
    x = build.input(1, 32, 3, 4)
    results = [build(op, conv(build, x, 5)) for op in ("Relu", "Tanh", "Relu")]
    after = check(build, build.graph(*results), lambda g: merge_siblings.run(fuse_conv.run(g)))
    assert sorted(ops(after)) == ["FusedConv", "FusedConv", "Split"]


def test_only_the_narrow_ones_pay(build, check, ops):
    x = build.input(1, 32, 3, 4)
    results = [conv(build, x, width) for width in (30, 4, 5)]
    after = check(build, build.graph(*results), merge_siblings.run)
    assert sorted(ops(after)) == ["Conv", "Conv", "Split"]
    assert {node.inputs[1].const.shape[0] for node in after.nodes if node.op == "Conv"} == {9, 30}


@pytest.mark.parametrize("change", [{"strides": (2, 2)}, {"group": 2}, {"pads": (1, 1, 1, 1)}])
def test_different_geometry_stays(build, change):
    x = build.input(1, 32, 4, 4)
    other = build("Conv", x, build.array(4, 16 if "group" in change else 32, 1, 1), **change)
    graph = build.graph(conv(build, x, 4, bias=False), other)
    assert merge_siblings.run(graph) is graph


def test_wide_results_stay(build):
    x = build.input(1, 8, 4, 4)
    graph = build.graph(conv(build, x, 8), conv(build, x, 8))
    assert merge_siblings.run(graph) is graph


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemms(build, check, ops, transposed):
    x = build.input(3, 40)
    results = [
        build(
            "Gemm",
            x,
            build.array(*((width, 40) if transposed else (40, width))),
            build.array(width),
            transB=transposed,
        )
        for width in (4, 6)
    ]
    assert ops(check(build, build.graph(*results), merge_siblings.run)) == ["Gemm", "Split"]


def test_matrix_products(build, check, ops):
    x = build.input(2, 3, 40)
    results = [build("MatMul", x, build.array(40, width)) for width in (4, 6, 7)]
    assert ops(check(build, build.graph(*results), merge_siblings.run)) == ["MatMul", "Split"]
