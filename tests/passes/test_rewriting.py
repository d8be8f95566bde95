"""The rewrite driver: uses, outputs, captures, merges, termination."""

from __future__ import annotations

import logging

import pytest
from passes.building import Builder, check, ops

from orpheus_core.graph import Value
from orpheus_core.ops import make_node
from orpheus_core.passes.match import is_op
from orpheus_core.passes.rewriting import Replacement, forget, rewrite


def drop_identity(node, context):
    return Replacement(values={node.outputs[0]: node.inputs[0]}) if is_op(node, "Identity") else None


def run_drop(graph):
    return rewrite(graph, drop_identity)


def test_chain_of_replacements_collapses_and_output_keeps_its_value():
    b = Builder()
    y = b.op("Identity", b.op("Identity", b.op("Relu", b.input(2, 3))))
    after = check(run_drop, b.graph(y), ["Relu"])
    assert after.nodes[0].outputs == (y,)


def test_nothing_to_do_gives_the_same_object():
    b = Builder()
    graph = b.graph(b.op("Relu", b.input(2)))
    assert rewrite(graph, drop_identity) is graph


def test_a_rule_is_offered_only_what_it_starts_from_in_subgraphs_too():
    b = Builder()
    x = b.input(2)
    inner = b.inner()
    hidden = inner.op("Relu", inner.op("Identity", x))
    other = b.inner()
    condition = b.op("Greater", b.op("ReduceSum", x, keepdims=0), b.const(0.0, "f4"))
    y = b.op("If", condition, then_branch=inner.branch(hidden), else_branch=other.branch(other.op("Relu", x)))
    graph, offered = b.graph(b.op("Identity", b.op("Relu", y))), []

    def rule(node, context):
        offered.append(node.op)
        return drop_identity(node, context)

    after = rewrite(graph, rule, starts=frozenset(("Identity",)))
    assert set(offered) == {"Identity"}
    assert not [n for n in after.walk() if n.op == "Identity"]
    assert rewrite(after, rule, starts=frozenset(("Identity",))) is after


@pytest.mark.parametrize("source", ["input", "constant", "other output"])
def test_identity_stays_where_the_output_needs_a_name_of_its_own(source):
    b = Builder()
    x = b.input(2)
    first = b.op("Relu", x)
    read = {"input": x, "constant": b.ints(1, 2), "other output": first}[source]
    check(run_drop, b.graph(first, b.op("Identity", read)), ["Relu", "Identity"])


def test_captures_follow_a_replaced_value():
    b = Builder()
    x = b.input(2)
    hidden = b.op("Identity", b.op("Relu", x))
    condition = b.op("Greater", b.op("ReduceSum", x, keepdims=0), b.const(0.0, "f4"))
    branches = {}
    for name, op in (("then_branch", "Neg"), ("else_branch", "Exp")):
        inner = b.inner()
        branches[name] = inner.branch(inner.op("Identity", inner.op(op, hidden)))
    y = Value("y")
    b.add(make_node("If", [condition], [y], branches))
    check(run_drop, b.graph(y), ["Relu", "ReduceSum", "Greater", "If", "Neg", "Exp"])


def test_uses_count_every_input_captures_and_outputs():
    b = Builder()
    x = b.op("Relu", b.input(2))
    y = b.op("Add", x, x)
    seen = {}

    def look(node, context):
        if node.op == "Relu":
            seen["uses"] = context.uses(x), context.sole_consumer(x)
            seen["output"] = context.uses(y), context.sole_consumer(y), context.is_output(y)

    rewrite(b.graph(y), look)
    assert seen == {"uses": (2, None), "output": (1, None, True)}


def test_fusing_consumer_removes_the_producer_only_when_unread():
    def fuse(node, context):
        before = context.producer(node.input(0))
        if not is_op(node, "Neg") or not is_op(before, "Abs"):
            return None
        return Replacement([make_node("Sign", before.inputs, node.outputs)])

    b = Builder()
    a = b.op("Abs", b.input(2))
    y = b.op("Neg", a)
    assert ops(rewrite(b.graph(y), fuse)) == ["Sign"]
    assert ops(rewrite(b.graph(y, a), fuse)) == ["Abs", "Sign"]


def test_merge_may_replace_outputs_of_a_later_node_and_order_is_restored():
    b = Builder()
    x = b.input(2)
    first = b.op("Abs", x)
    middle = b.op("Neg", first)
    second = b.op("Exp", x)

    def merge(node, context):
        if node.op != "Abs":
            return None
        both = context.new_value("both", x.type)
        return Replacement([make_node("Relu", [x], [both])], {first: both, second: both})

    after = rewrite(b.graph(second, middle), merge)
    assert ops(after) == ["Relu", "Neg"]
    assert after.outputs == (second, middle)


@pytest.mark.parametrize("kept", [True, False])
def test_a_pass_that_follows_a_rewrite_sees_the_graph_as_it_is_now(kept):
    b = Builder()
    x = b.input(2)
    hidden = b.op("Identity", b.op("Abs", x))
    late = b.op("Exp", x)
    y, z = b.op("Add", b.op("Neg", hidden), late), b.op("Identity", b.op("Mul", hidden, late))
    seen = []

    def merge(node, context):
        if node.op != "Abs":
            return None
        both = context.new_value("both", x.type)
        return Replacement([make_node("Relu", [x], [both])], {node.outputs[0]: both, late: both})

    def look(node, context):
        readers = [sorted(reader.op for reader in context.consumers(v)) for v in node.results]
        makers = [maker and maker.op for maker in map(context.producer, node.inputs)]
        seen.append((node.op, makers, readers, [context.uses(v) for v in node.results]))

    graph = b.graph(y, z)
    for rule in (drop_identity, merge):
        graph = rewrite(graph, rule)
        if not kept:
            forget()
    rewrite(graph, look)
    assert seen == [
        ("Relu", [None], [["Add", "Mul", "Neg"]], [4]),
        ("Neg", ["Relu"], [["Add"]], [1]),
        ("Add", ["Neg", "Relu"], [[]], [1]),
        ("Mul", ["Relu", "Relu"], [[]], [1]),
    ]


def test_losing_an_output_is_an_error():
    b = Builder()
    y = b.op("Relu", b.input(2))
    with pytest.raises(ValueError, match="loses its output"):
        rewrite(b.graph(y), lambda node, context: Replacement())


def test_rule_that_never_ends_is_stopped(caplog):
    b = Builder()
    graph = b.graph(b.op("Relu", b.input(2)))
    with caplog.at_level(logging.WARNING, "orpheus.passes"):
        rewrite(graph, lambda node, context: Replacement([node.replace()]))
    assert "stopped rewriting" in caplog.text


def test_new_names_are_unique_in_the_whole_model():
    b = Builder()
    x = b.input(2, name="y_1")
    y = Value("y", x.type)
    b.add(make_node("Relu", [x], [y]))
    names = []

    def look(node, context):
        names.extend(context.new_value("y").name for _ in range(2))

    rewrite(b.graph(y), look)
    assert names == ["y_2", "y_3"]


def test_long_chains_are_no_problem():
    b = Builder()
    x = y = b.input(2)
    nodes = []
    for i in range(5000):
        before, y = y, Value(f"v{i}", x.type)
        nodes.append(make_node("Identity" if i % 2 else "Relu", [before], [y]))
    b.nodes = nodes
    assert len(rewrite(b.graph(y), drop_identity).nodes) == 2500
