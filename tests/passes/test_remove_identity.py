"""What counts as doing nothing, case by case."""

from __future__ import annotations

import numpy as np
import pytest
from passes.building import Builder, check

from orpheus_core.graph import Node
from orpheus_core.passes import remove_identity
from orpheus_core.types import DType

INF = 2**62


def f(b, number, *shape):
    return b.const(np.full(shape, number, np.float32))


def pool(op):
    return lambda b, x: b.op(op, x, kernel_shape=(1, 1), strides=(1, 1))


GOES = {
    "Identity": lambda b, x: b.op("Identity", x),
    "Dropout": lambda b, x: b.op("Dropout", x, f(b, 0.5)),
    "Dropout not in training": lambda b, x: b.op("Dropout", x, f(b, 0.5), b.const(np.bool_(False))),
    "Cast": lambda b, x: b.op("Cast", x, to=DType.FLOAT32.onnx),
    "CastLike": lambda b, x: b.op("CastLike", x, f(b, 1)),
    "Transpose": lambda b, x: b.op("Transpose", x, perm=(0, 1, 2, 3)),
    "Reshape": lambda b, x: b.op("Reshape", x, b.ints(0, 0, -1, 4)),
    "Expand": lambda b, x: b.op("Expand", x, b.ints(3, 1, 1)),
    "Pad": lambda b, x: b.op("Pad", x, b.ints(*[0] * 8)),
    "Slice": lambda b, x: b.op("Slice", x, b.ints(0, 0), b.ints(INF, 3), b.ints(0, 1)),
    "Tile": lambda b, x: b.op("Tile", x, b.ints(1, 1, 1, 1)),
    "Concat": lambda b, x: b.op("Concat", x, axis=1),
    "Sum": lambda b, x: b.op("Sum", x),
    "Max": lambda b, x: b.op("Max", x),
    "Min": lambda b, x: b.op("Min", x),
    "Mean": lambda b, x: b.op("Mean", x),
    "Split": lambda b, x: b.op("Split", x, axis=1, num_outputs=1),
    "Add -0": lambda b, x: b.op("Add", x, f(b, -0.0, 3, 1, 1)),
    "-0 Add": lambda b, x: b.op("Add", f(b, -0.0), x),
    "Sub 0": lambda b, x: b.op("Sub", x, f(b, 0)),
    "Mul 1": lambda b, x: b.op("Mul", x, f(b, 1, 1, 3, 4, 4)),
    "1 Mul": lambda b, x: b.op("Mul", f(b, 1), x),
    "Div 1": lambda b, x: b.op("Div", x, f(b, 1)),
    "Pow 1": lambda b, x: b.op("Pow", x, b.ints(1)),
    "Clip": lambda b, x: b.op("Clip", x),
    "Clip at infinity": lambda b, x: b.op("Clip", x, f(b, -np.inf), f(b, np.inf)),
    "MaxPool": pool("MaxPool"),
    "AveragePool": pool("AveragePool"),
    "Resize": lambda b, x: b.op("Resize", x, None, f(b, 1, 4), mode="linear"),
    "Resize to its size": lambda b, x: b.op("Resize", x, None, None, b.ints(2, 3, 4, 4), mode="cubic"),
}

STAYS = {
    "Dropout in training": lambda b, x: b.op("Dropout", x, f(b, 0.0), b.const(np.bool_(True))),
    "Cast": lambda b, x: b.op("Cast", x, to=DType.FLOAT64.onnx),
    "Transpose": lambda b, x: b.op("Transpose", x, perm=(0, 1, 3, 2)),
    "Expand": lambda b, x: b.op("Expand", x, b.ints(2, 1, 1, 1, 1)),
    "Pad": lambda b, x: b.op("Pad", x, b.ints(*[0] * 7, 1)),
    "Slice": lambda b, x: b.op("Slice", x, b.ints(0), b.ints(3), b.ints(2)),
    "Slice from behind": lambda b, x: b.op("Slice", x, b.ints(0), b.ints(-1), b.ints(2)),
    "Slice down": lambda b, x: b.op("Slice", x, b.ints(-1), b.ints(-INF), b.ints(2), b.ints(-1)),
    "Slice by 2": lambda b, x: b.op("Slice", x, b.ints(0), b.ints(INF), b.ints(2), b.ints(2)),
    "Add 0": lambda b, x: b.op("Add", x, f(b, 0)),
    "Sub -0": lambda b, x: b.op("Sub", x, f(b, -0.0)),
    "0 Sub": lambda b, x: b.op("Sub", f(b, 0), x),
    "1 Div": lambda b, x: b.op("Div", f(b, 1), x),
    "Mul 1 that broadcasts": lambda b, x: b.op("Mul", x, f(b, 1, 5, 1, 1, 1, 1)),
    "Pow 1 that broadcasts": lambda b, x: b.op("Pow", x, f(b, 1, 2, 1, 1, 1, 1)),
    "Mul of many": lambda b, x: b.op("Mul", x, b.const(np.array([1, 1, 1, 2], np.float32))),
    "Clip": lambda b, x: b.op("Clip", x, None, f(b, 6)),
    "MaxPool by 2": lambda b, x: b.op("MaxPool", x, kernel_shape=(1, 1), strides=(2, 2)),
    "AveragePool padded": lambda b, x: b.op("AveragePool", x, kernel_shape=(1, 1), pads=(0, 0, 1, 0)),
    "Resize": lambda b, x: b.op("Resize", x, None, b.const(np.array([1, 1, 2, 1], np.float32))),
}


def graph_of(build):
    b = Builder()
    x = b.input(2, 3, 4, 4)
    return b.graph(b.op("Relu", build(b, x)))


@pytest.mark.parametrize("name", GOES)
def test_goes(name):
    check(remove_identity.run, graph_of(GOES[name]), ["Relu"])


@pytest.mark.parametrize("name", STAYS)
def test_stays(name):
    graph = graph_of(STAYS[name])
    assert remove_identity.run(graph) is graph


def test_integer_zero_and_full_range_clip_go():
    b = Builder()
    x = b.input(2, dtype=DType.INT64)
    limits = np.iinfo(np.int64)
    y = b.op("Clip", b.op("Add", x, b.ints(0)), b.const(np.int64(limits.min)), b.const(np.int64(limits.max)))
    check(remove_identity.run, b.graph(b.op("Neg", y)), ["Neg"])


def test_symbols_count_as_equal_only_to_themselves():
    b = Builder()
    x = b.input("n", "m")
    y = b.op("Reshape", x, b.ints(-1, 7))
    graph = b.graph(b.op("Relu", y))
    assert remove_identity.run(graph) is graph


def test_mask_that_is_read_keeps_the_dropout():
    b = Builder()
    y, mask = b.op("Dropout", b.input(2, 3), outputs=2)
    graph = b.graph(b.op("Relu", y), mask)
    assert remove_identity.run(graph) is graph


def test_indices_that_are_read_keep_the_pool():
    b = Builder()
    y, indices = b.op("MaxPool", b.input(1, 1, 2, 2), kernel_shape=(1, 1), outputs=2)
    graph = b.graph(b.op("Relu", y), indices)
    assert remove_identity.run(graph) is graph


@pytest.mark.parametrize("bounds, goes", [((-3.4e38, 3.4e38), False), ((-np.inf, np.inf), True)])
def test_old_clip_by_attributes(bounds, goes):
    b = Builder()
    x = b.input(2)
    y = b.op("Clip", x)
    attributes = {"min": bounds[0], "max": bounds[1]}
    b.nodes[-1] = Node("Clip", (x,), (y,), attributes, version=6)
    graph = b.graph(b.op("Relu", y))
    assert (remove_identity.run(graph) is not graph) == goes
