"""What no weights can take in becomes one ScaleShift."""

from __future__ import annotations

import numpy as np
import pytest

from orpheus_core.passes import fuse_scale_shift


@pytest.mark.parametrize("shape", [(3, 4), (2, 4, 5), (1, 4, 2, 3)])
def test_normalization_and_activation(build, check, ops, shape):
    y = build("Relu", build.norm(build.input(*shape), 4))
    assert ops(check(build, build.graph(y), fuse_scale_shift.run)) == ["ScaleShift"]


def test_scale_and_shift_along_the_last_axis(build, check, ops):
    y = build("Tanh", build("Add", build("Mul", build.input(2, 3, 5), build.array(5)), build.array(5)))
    after = check(build, build.graph(y), fuse_scale_shift.run)
    assert ops(after) == ["ScaleShift"]
    assert after.nodes[0].attributes["axis"] == 2


def test_number_and_channels_together(build, check, ops):
    x = build.input(2, 3, 5, 5)
    y = build("Sub", build("Mul", x, np.float64(0.3)), build.array(3, 1, 1))
    assert ops(check(build, build.graph(y), fuse_scale_shift.run)) == ["ScaleShift"]


def test_numbers_alone_stay(build):
    y = build("Add", build("Mul", build.input(2, 3, 5, 5), np.float64(2)), np.float64(1))
    graph = build.graph(y)
    assert fuse_scale_shift.run(graph) is graph


def test_different_axes_stay(build):
    y = build("Add", build("Mul", build.input(2, 3, 5, 5), build.array(3, 1, 1)), build.array(5))
    graph = build.graph(y)
    assert fuse_scale_shift.run(graph) is graph


def test_sum_that_others_read_stays(build, check, ops):
    y = build("Mul", build.input(2, 3), build.array(3))
    graph = build.graph(build("Add", y, build.array(3)), y)
    assert fuse_scale_shift.run(graph) is graph
