"""Transposes: composed, cancelled through other operators, never more than before."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from passes.building import Builder, check, ops

from orpheus_core.passes import eliminate_transposes
from orpheus_core.passes.min_cut import INFINITE, SINK, SOURCE, Network
from orpheus_core.passes.permuted import compose, inverse

LAST, FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def between(build, shape=(2, 3, 4, 5)):
    """NCHW -> NHWC, an operator, and back."""
    b = Builder()
    x = b.input(*shape)
    y = build(b, b.op("Transpose", x, perm=LAST), x)
    return b.graph(b.op("Transpose", y, perm=FIRST))


CROSSED = {
    "nothing": (lambda b, y, x: b.op("Identity", y), ["Identity"]),
    "Relu": (lambda b, y, x: b.op("Relu", y), ["Relu"]),
    "Clip": (lambda b, y, x: b.op("Clip", y, b.const(np.float32(0))), ["Clip"]),
    "Add channels": (lambda b, y, x: b.op("Add", y, b.const(np.arange(3, dtype="f4"))), ["Add"]),
    "Sub from rows": (lambda b, y, x: b.op("Sub", b.const(np.ones((4, 1, 1), "f4")), y), ["Sub"]),
    "PRelu": (lambda b, y, x: b.op("PRelu", y, b.const(np.arange(3, dtype="f4"))), ["PRelu"]),
    "Softmax": (lambda b, y, x: b.op("Softmax", y, axis=-1), ["Softmax"]),
    "ReduceMean": (lambda b, y, x: b.op("ReduceMean", y, b.ints(1, -2)), ["ReduceMean"]),
    "ReduceMax of all": (lambda b, y, x: b.op("ReduceMax", y), ["ReduceMax"]),
    "Concat": (lambda b, y, x: b.op("Concat", y, y, axis=3), ["Concat"]),
    "Pad": (lambda b, y, x: b.op("Pad", y, b.ints(0, 1, 2, 0, 0, 0, 0, 3)), ["Pad"]),
    "Pad of axes": (lambda b, y, x: b.op("Pad", y, b.ints(1, 2), None, b.ints(-1)), ["Pad"]),
    "Slice": (lambda b, y, x: b.op("Slice", y, b.ints(1, 0), b.ints(3, 2), b.ints(3, 1)), ["Slice"]),
    "ArgMax": (lambda b, y, x: b.op("ArgMax", y, axis=3), ["ArgMax"]),
    "two branches": (lambda b, y, x: b.op("Mul", b.op("Neg", y), b.op("Exp", y)), ["Neg", "Exp", "Mul"]),
    "another operand": (
        lambda b, y, x: b.op("Add", y, b.op("Transpose", b.op("Exp", x), perm=LAST)),
        ["Exp", "Add"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CROSSED)
def test_pair_cancels_across(name):
    build, expected = CROSSED[name]
    check(eliminate_transposes.run, between(build), expected)


def test_split_crosses():
    b = Builder()
    parts = b.op("Split", b.op("Transpose", b.input(2, 4, 3, 5), perm=LAST), axis=3, num_outputs=2, outputs=2)
    graph = b.graph(*(b.op("Transpose", p, perm=FIRST) for p in parts))
    check(eliminate_transposes.run, graph, ["Split"])


@pytest.mark.parametrize(
    "build",
    [
        lambda b, y, x: b.op("MatMul", y, b.const(np.ones((3, 3), "f4"))),
        lambda b, y, x: b.op("Reshape", y, b.ints(2, 5, 4, 3)),
        lambda b, y, x: b.op("CumSum", y, b.const(np.int64(3))),
    ],
)
def test_operators_that_need_the_order_keep_both(build):
    graph = between(build)
    assert eliminate_transposes.run(graph) is graph


def test_permutations_compose():
    b = Builder()
    y = b.input(2, 3, 4, 5)
    for perm in [(3, 1, 2, 0), (1, 0, 2, 3), (0, 2, 1, 3)]:
        y = b.op("Transpose", y, perm=perm)
    after = check(eliminate_transposes.run, b.graph(b.op("MatMul", y, b.const(np.ones((2, 2), "f4")))))
    assert ops(after) == ["Transpose", "MatMul"]


def test_default_permutation_reverses():
    b = Builder()
    y = b.op("Transpose", b.op("Relu", b.op("Transpose", b.input(2, 3, 4))))
    check(eliminate_transposes.run, b.graph(y), ["Relu"])


def test_permutation_that_is_its_own_inverse():
    b = Builder()
    x = b.input(2, 3, 4)
    y = b.op("Add", b.op("Transpose", x, perm=(0, 2, 1)), b.const(np.ones((1, 3), "f4")))
    z = b.op("Transpose", b.op("Relu", y), perm=(0, 2, 1))
    check(eliminate_transposes.run, b.graph(z), ["Add", "Relu"])


def test_moving_only_ones_is_a_reshape():
    b = Builder()
    y = b.op("Transpose", b.input(2, 1, 1, 5), perm=LAST)
    check(eliminate_transposes.run, b.graph(b.op("Relu", y)), ["Reshape", "Relu"])


def test_transposes_of_both_operands_become_one_of_the_result():
    b = Builder()
    y = b.op("Add", *(b.op("Transpose", b.input(2, 3, 4, 5), perm=LAST) for _ in range(2)))
    after = check(eliminate_transposes.run, b.graph(b.op("MatMul", y, b.const(np.ones((3, 1), "f4")))))
    assert ops(after) == ["Add", "Transpose", "MatMul"]


def test_graph_is_not_made_worse():
    """Both orders are read: moving the Relu would only move the Transpose."""
    b = Builder()
    x = b.input(2, 3, 4, 5)
    y = b.op("Relu", b.op("Transpose", x, perm=LAST))
    graph = b.graph(b.op("MatMul", y, b.const(np.ones((3, 2), "f4"))))
    assert eliminate_transposes.run(graph) is graph


def test_one_transpose_is_better_than_one_for_each_output():
    b = Builder()
    y = b.op("Transpose", b.input(2, 3, 4, 5), perm=LAST)
    graph = b.graph(*(b.op(op, y) for op in ("Relu", "Neg", "Exp")))
    assert eliminate_transposes.run(graph) is graph


def test_transposes_move_to_where_tensors_are_small():
    b = Builder()
    x = b.input(2, 3, 4, 5)
    y = b.op("ReduceMean", b.op("Transpose", x, perm=LAST), b.ints(2))
    after = check(eliminate_transposes.run, b.graph(b.op("MatMul", y, b.const(np.ones((3, 2), "f4")))))
    assert ops(after) == ["ReduceMean", "Transpose", "MatMul"]


def test_output_in_the_middle_keeps_its_order():
    b = Builder()
    x = b.input(2, 3, 4, 5)
    middle = b.op("Relu", b.op("Transpose", x, perm=LAST))
    after = check(
        eliminate_transposes.run, b.graph(middle, b.op("Transpose", b.op("Neg", middle), perm=FIRST))
    )
    assert ops(after).count("Transpose") == 1


def test_symbolic_batch():
    b = Builder()
    x = b.input("n", 3, 4, 5)
    y = b.op("Transpose", b.op("Relu", b.op("Transpose", x, perm=LAST)), perm=FIRST)
    check(eliminate_transposes.run, b.graph(y), ["Relu"])


@given(st.permutations(range(4)), st.permutations(range(4)))
@settings(max_examples=50, deadline=None)
def test_compose_and_inverse_agree_with_numpy(first, second):
    x = np.arange(120).reshape(2, 3, 4, 5)
    first, second = tuple(first), tuple(second)
    assert np.array_equal(x.transpose(first).transpose(second), x.transpose(compose(first, second)))
    assert np.array_equal(x.transpose(first).transpose(inverse(first)), x)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9)), max_size=14))
@settings(max_examples=150, deadline=None)
def test_minimum_cut_equals_brute_force(edges):
    points = [SOURCE, SINK, 2, 3, 4, 5]
    network = Network()
    for start, end, capacity in edges:
        network.add(points[start], points[end], INFINITE if capacity == 9 else capacity)

    def cost(sink_side):
        cut = [
            (a, b, c) for a, b, c in edges if a != b and points[a] not in sink_side and points[b] in sink_side
        ]
        return sum(INFINITE if c == 9 else c for _, _, c in cut)

    found, side = network.cut()
    options = [{SINK, *some} for n in range(5) for some in itertools.combinations(points[2:], n)]
    assert found == min(map(cost, options)) == cost(side)
    assert len(side) == min(len(o) for o in options if cost(o) == found)
