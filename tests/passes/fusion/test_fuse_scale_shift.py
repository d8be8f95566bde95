"""What no weights can take in becomes one ScaleShift."""

from __future__ import annotations

import numpy as np
import pytest

from orpheus_core.graph import Value
from orpheus_core.ops import ORPHEUS_DOMAIN, make_node
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


@pytest.mark.parametrize("op", ["Relu", "Tanh", None])
def test_scale_shift_of_the_model_takes_what_is_around_it(build, op):
    factor, scale, shift = (np.asarray([1, 2, 3, 4], build.dtype) * k for k in (0.5, 0.25, 2))
    x = build("Mul", build.input(2, 4, 5), factor.reshape(4, 1))
    y, z = Value("y", x.type), Value("z", x.type)
    operands = [x, build.constant(scale), build.constant(shift)]
    build.nodes.append(make_node("ScaleShift", operands, [y], {"axis": 1}, domain=ORPHEUS_DOMAIN))
    if op:
        build.nodes.append(make_node(op, [y], [z]))
    (node,) = fuse_scale_shift.run(build.graph(z if op else y)).nodes
    assert (node.op, node.attributes["activation"]) == ("ScaleShift", op or "")
    np.testing.assert_array_equal(node.inputs[1].const, factor * scale)
    np.testing.assert_array_equal(node.inputs[2].const, shift)


def test_only_the_first_activation_goes_along(build, check, ops):
    y = build("Tanh", build("Relu", build.norm(build.input(1, 4, 2, 3), 4)))
    assert ops(check(build, build.graph(y), fuse_scale_shift.run)) == ["ScaleShift", "Tanh"]


def test_activation_with_computed_bounds_stays_behind(build, check, ops):
    bound = build("ReduceMin", build.input(3), keepdims=0)
    y = build("Clip", build.norm(build.input(1, 4, 2, 3), 4), bound)
    after = check(build, build.graph(y), fuse_scale_shift.run)
    assert sorted(ops(after)) == ["Clip", "ReduceMin", "ScaleShift"]


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
