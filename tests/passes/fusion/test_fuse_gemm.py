"""Matrix products take in bias, residual and activation."""

from __future__ import annotations

import pytest

from orpheus_core.passes import fuse_gemm


@pytest.mark.parametrize("bias", [False, True])
def test_gemm(build, check, ops, bias):
    x, skip = build.input(3, 4), build.input(3, 5)
    y = build("Gemm", x, build.array(5, 4), build.array(5) if bias else None, transB=1, alpha=0.5, beta=2.0)
    y = build("Relu", build("Add", skip, y))
    assert ops(check(build, build.graph(y), fuse_gemm.run)) == ["FusedGemm"]


@pytest.mark.parametrize("shape", [(5,), (1, 5), (1, 1, 5)])
def test_matrix_product(build, check, ops, shape):
    x, skip = build.input(2, 3, 4), build.input(2, 3, 5)
    y = build("Add", build("MatMul", x, build.array(4, 5)), build.array(*shape))
    y = build("Sigmoid", build("Add", skip, y))
    after = check(build, build.graph(y), fuse_gemm.run)
    assert ops(after) == ["FusedMatMul"]
    assert after.nodes[0].inputs[2].const.shape == (5,)
    assert after.nodes[0].inputs[3] is skip


def test_product_of_two_computed_matrices(build, check, ops):
    y = build("Tanh", build("MatMul", build.input(2, 3, 4), build.input(2, 4, 5)))
    assert ops(check(build, build.graph(y), fuse_gemm.run)) == ["FusedMatMul"]


def test_bias_that_widens_the_result_stays(build):
    graph = build.graph(build("Add", build("MatMul", build.input(3, 4), build.array(4, 1)), build.array(5)))
    assert fuse_gemm.run(graph) is graph


def test_gemm_result_that_others_read_stays(build):
    y = build("Gemm", build.input(3, 4), build.array(4, 5))
    graph = build.graph(build("Relu", y), y)
    assert fuse_gemm.run(graph) is graph


def test_integers_stay(make_build):
    build = make_build("int64")
    build.array = lambda *shape, **_: build.random.integers(-3, 3, shape)
    graph = build.graph(build("Relu", build("MatMul", build.input(3, 4), build.input(4, 5))))
    assert fuse_gemm.run(graph) is graph
