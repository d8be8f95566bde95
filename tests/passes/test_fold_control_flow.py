"""If with a constant condition, Loop that never runs."""

from __future__ import annotations

import numpy as np
import pytest
from passes.building import Builder, check, ops

from orpheus_core.graph import Value
from orpheus_core.ops import make_node
from orpheus_core.passes import fold_control_flow
from orpheus_core.types import DType


def branch(b, op, x, name="inner"):
    inner = b.inner()
    result = Value(name)
    inner.add(make_node(op, [x], [result]))
    return inner.branch(inner.op("Exp", result))


def add_if(b, condition, x, name="inner"):
    y = Value(b.name("if"))
    branches = {"then_branch": branch(b, "Neg", x, name), "else_branch": branch(b, "Abs", x, name)}
    b.add(make_node("If", [condition], [y], branches))
    return y


@pytest.mark.parametrize("condition, op", [(True, "Neg"), (False, "Abs")])
def test_constant_condition_picks_the_branch(condition, op):
    b = Builder()
    x = b.op("Relu", b.input(2))
    y = add_if(b, b.const(np.bool_(condition)), x)
    check(fold_control_flow.run, b.graph(y), ["Relu", op, "Exp"])


def test_names_of_two_branches_do_not_clash():
    b = Builder()
    x = b.input(2)
    y = b.op("Add", *(add_if(b, b.const(np.bool_(True)), x) for _ in range(2)))
    after = check(fold_control_flow.run, b.graph(y), ["Neg", "Exp", "Neg", "Exp", "Add"])
    names = [v.name for node in after.nodes for v in node.results]
    assert len(set(names)) == len(names)


def test_name_that_is_unique_is_kept():
    b = Builder()
    y = Value("y")
    x = b.input(2)
    branches = {"then_branch": branch(b, "Neg", x, "then"), "else_branch": branch(b, "Abs", x, "else")}
    b.add(make_node("If", [b.const(np.bool_(True))], [y], branches))
    after = check(fold_control_flow.run, b.graph(y))
    assert [v.name for v in after.nodes[0].outputs] == ["then"]


def test_nested_ifs():
    b = Builder()
    x = b.input(2)
    yes = b.const(np.bool_(True))
    inner = b.inner()
    outer = inner.branch(add_if(inner, yes, x))
    y = Value("y")
    b.add(make_node("If", [yes], [y], {"then_branch": outer, "else_branch": branch(b, "Abs", x)}))
    check(fold_control_flow.run, b.graph(y), ["Neg", "Exp"])


def test_branch_that_returns_an_outer_value():
    b = Builder()
    x = b.input(2)
    y = Value("y")
    same = b.inner().branch(x)
    b.add(
        make_node(
            "If", [b.const(np.bool_(True))], [y], {"then_branch": same, "else_branch": branch(b, "Abs", x)}
        )
    )
    after = fold_control_flow.run(b.graph(y))
    assert ops(after) == ["Identity"] and after.outputs == (y,)


def test_computed_condition_stays():
    b = Builder()
    x = b.input(2)
    graph = b.graph(add_if(b, b.op("Greater", b.op("ReduceSum", x, keepdims=0), b.const(np.float32(0))), x))
    assert fold_control_flow.run(graph) is graph


def loop(b, trips, condition, x, scans=0):
    inner = b.inner()
    inner.input(dtype=DType.INT64)
    going, carried = inner.input(dtype=DType.BOOL), inner.input(2)
    y = inner.op("Neg", carried)
    body = inner.graph(inner.op("Identity", going), y, *[inner.op("Abs", y) for _ in range(scans)])
    outputs = [Value(b.name("loop")) for _ in range(1 + scans)]
    b.add(make_node("Loop", [trips, condition, x], outputs, {"body": body}))
    return outputs


@pytest.mark.parametrize(
    "trips, condition, goes", [(0, None, True), (3, False, True), (3, True, False), (2, None, False)]
)
def test_loop_that_never_runs(trips, condition, goes):
    b = Builder()
    x = b.op("Relu", b.input(2))
    condition = None if condition is None else b.const(np.bool_(condition))
    (y,) = loop(b, b.const(np.int64(trips)), condition, x)
    after = fold_control_flow.run(b.graph(b.op("Exp", y)))
    assert ops(after) == (["Relu", "Exp"] if goes else ["Relu", "Loop", "Neg", "Identity", "Exp"])


def test_loop_whose_scan_output_is_read_stays():
    b = Builder()
    graph = b.graph(*loop(b, b.const(np.int64(0)), None, b.input(2), scans=1))
    assert fold_control_flow.run(graph) is graph
