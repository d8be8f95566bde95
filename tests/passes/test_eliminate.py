"""Dead code, common subexpressions, reshape chains."""

from __future__ import annotations

import numpy as np
import pytest
from passes.building import Builder, check, ops

from orpheus_core.graph import Value
from orpheus_core.ops import make_node
from orpheus_core.passes import eliminate_common, eliminate_dead, eliminate_reshapes
from orpheus_core.types import DType


def with_if(b, x, *results):
    """An If on the sign of x whose branches return ``results(inner builder, op)``."""
    condition = b.op("Greater", b.op("ReduceSum", x, keepdims=0), b.const(np.float32(0)))
    branches = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Abs")):
        inner = b.inner()
        branches[name] = inner.branch(*(make(inner, op) for make in results))
    outputs = [Value(b.name("y")) for _ in results]
    b.add(make_node("If", [condition], outputs, branches))
    return outputs


class TestDead:
    def test_unread_chain_goes(self):
        b = Builder()
        x = b.input(2)
        b.op("Neg", b.op("Abs", x))
        check(eliminate_dead.run, b.graph(b.op("Relu", x)), ["Relu"])

    def test_unread_optional_outputs_are_left_out(self):
        b = Builder()
        y, _ = b.op("MaxPool", b.input(1, 1, 4, 4), kernel_shape=(2, 2), outputs=2)
        after = check(eliminate_dead.run, b.graph(y), ["MaxPool"])
        assert after.nodes[0].outputs == (y,)

    def test_unread_first_output_becomes_none(self):
        b = Builder()
        x = b.input(3, 1, 2)
        w, r = b.const(np.ones((1, 4, 2), "f4")), b.const(np.ones((1, 4, 4), "f4"))
        _, last = b.op("RNN", x, w, r, hidden_size=4, outputs=2)
        after = check(eliminate_dead.run, b.graph(last), ["RNN"])
        assert after.nodes[0].outputs == (None, last)

    def test_required_outputs_stay(self):
        b = Builder()
        values, _ = b.op("TopK", b.input(4), b.ints(2), outputs=2)
        graph = b.graph(values)
        assert eliminate_dead.run(graph) is graph

    def test_unread_output_of_if_leaves_both_branches(self):
        b = Builder()
        x = b.input(2)
        first, _ = with_if(b, x, lambda i, op: i.op(op, x), lambda i, op: i.op("Exp", x))
        check(eliminate_dead.run, b.graph(first), ["ReduceSum", "Greater", "If", "Neg", "Abs"])

    def test_what_only_a_branch_reads_lives(self):
        b = Builder()
        x = b.input(2)
        hidden = b.op("Exp", x)
        (y,) = with_if(b, x, lambda i, op: i.op(op, hidden))
        graph = b.graph(y)
        assert eliminate_dead.run(graph) is graph


class TestCommon:
    def test_equal_nodes_merge_along_chains(self):
        b = Builder()
        x = b.input(2, 3)
        parts = [b.op("Exp", b.op("Transpose", x, perm=(1, 0))) for _ in range(2)]
        check(eliminate_common.run, b.graph(b.op("Add", *parts)), ["Transpose", "Exp", "Add"])

    def test_equal_constants_merge_and_then_their_readers(self):
        b = Builder()
        x = b.input(2)
        parts = [b.op("Add", x, b.const(np.ones(2, "f4"))) for _ in range(2)]
        after = check(eliminate_common.run, b.graph(b.op("Mul", *parts)), ["Add", "Mul"])
        assert len(after.constants) == 1

    def test_constants_that_differ_in_one_place_stay(self):
        b = Builder()
        x = b.input(1000)
        arrays = [np.zeros(1000, "f4") for _ in range(2)]
        arrays[1][777] = 1
        graph = b.graph(b.op("Mul", *(b.op("Add", x, b.const(a)) for a in arrays)))
        assert eliminate_common.run(graph) is graph

    @pytest.mark.parametrize(
        "pair", [(np.float32(0), np.float32(-0.0)), (np.zeros(1, "f4"), np.zeros((1, 1), "f4"))]
    )
    def test_sign_of_zero_and_shape_tell_constants_apart(self, pair):
        b = Builder()
        graph = b.graph(b.op("Sum", b.input(2), *(b.const(a) for a in pair)))
        assert eliminate_common.run(graph) is graph

    def test_attributes_tell_nodes_apart(self):
        b = Builder()
        x = b.input(2, 2)
        graph = b.graph(b.op("Add", b.op("Softmax", x, axis=0), b.op("Softmax", x, axis=1)))
        assert eliminate_common.run(graph) is graph

    def test_random_numbers_stay_apart(self):
        b = Builder()
        x = b.input(2)
        graph = b.graph(b.op("Add", b.op("RandomNormalLike", x), b.op("RandomNormalLike", x)))
        assert eliminate_common.run(graph) is graph

    def test_two_outputs_keep_their_names(self):
        b = Builder()
        x = b.input(2)
        check(eliminate_common.run, b.graph(b.op("Relu", x), b.op("Relu", x)), ["Relu", "Identity"])

    def test_an_equal_node_inside_a_branch_is_its_own(self):
        b = Builder()
        x = b.input(2)
        outer = b.op("Exp", x)
        (y,) = with_if(b, x, lambda i, op: i.op("Add", i.op("Exp", x), i.op("Exp", x)))
        after = check(eliminate_common.run, b.graph(b.op("Add", outer, y)))
        assert ops(after).count("Exp") == 3


class TestReshapes:
    def test_chain_becomes_one(self):
        b = Builder()
        x = b.input(2, 3, 4)
        y = b.op("Flatten", b.op("Unsqueeze", b.op("Reshape", x, b.ints(6, 4)), b.ints(0)), axis=2)
        after = check(eliminate_reshapes.run, b.graph(b.op("Relu", y)), ["Reshape", "Relu"])
        assert after.nodes[0].inputs[1].const.tolist() == [6, 4]

    def test_chain_back_to_the_start_goes(self):
        b = Builder()
        y = b.op("Squeeze", b.op("Unsqueeze", b.input("n", 3), b.ints(1)), b.ints(1))
        check(eliminate_reshapes.run, b.graph(b.op("Relu", y)), ["Relu"])

    def test_other_readers_keep_the_middle(self):
        b = Builder()
        middle = b.op("Reshape", b.input(2, 6), b.ints(3, 4))
        y = b.op("Reshape", middle, b.ints(12))
        check(
            eliminate_reshapes.run,
            b.graph(b.op("Neg", middle), b.op("Abs", y)),
            ["Reshape", "Reshape", "Neg", "Abs"],
        )

    def test_symbolic_batch(self):
        b = Builder()
        x = b.input("n", 6)
        y = b.op("Unsqueeze", b.op("Reshape", x, b.ints(0, 2, 3)), b.ints(3))
        after = check(eliminate_reshapes.run, b.graph(b.op("Relu", y)), ["Reshape", "Relu"])
        assert after.nodes[0].inputs[1].const.tolist() == [-1, 2, 3, 1]

    def test_empty_tensors(self):
        b = Builder()
        y = b.op(
            "Reshape", b.op("Reshape", b.input(0, 6), b.ints(3, 0), allowzero=1), b.ints(2, 0, 5), allowzero=1
        )
        check(eliminate_reshapes.run, b.graph(b.op("Relu", y)), ["Reshape", "Relu"])

    def test_unknown_shapes_stay(self):
        b = Builder()
        target = b.input(2, dtype=DType.INT64)
        y = b.op("Unsqueeze", b.op("Reshape", b.input("n", 6), target), b.ints(0))
        graph = b.graph(y)
        assert eliminate_reshapes.run(graph) is graph
