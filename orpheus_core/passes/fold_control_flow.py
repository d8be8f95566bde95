"""Inline an If whose condition is constant, and drop a Loop that never runs."""

from __future__ import annotations

from collections import Counter

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.passes.match import is_op, uniform_of
from orpheus_core.passes.rewriting import Context, Replacement, all_values, rewrite


def run(graph: Graph) -> Graph:
    """Inline and drop, innermost first; inlined values keep their names where these are unique."""
    if graph.ops.isdisjoint(("If", "Loop")):
        return graph
    shared = Counter(v.name for v in dict.fromkeys(all_values(graph)))

    def fold(node: Node, context: Context) -> Replacement | None:
        if is_op(node, "If"):
            condition = uniform_of(node.input(0))
            if condition is None:
                return None
            branch = node.attributes["then_branch" if condition else "else_branch"]
            assert isinstance(branch, Graph)
            return _inlined(node, branch, context, shared)
        return _unrun_loop(node, context) if is_op(node, "Loop") else None

    return rewrite(graph, fold, starts=frozenset(("If", "Loop")))


def _inlined(node: Node, branch: Graph, context: Context, shared: Counter[str]) -> Replacement:
    # Two branches may use one name, which must not end up twice in one graph.
    fresh: dict[Value, Value] = {}
    for inner in branch.nodes:
        for value in inner.results:
            if shared[value.name] > 1:
                fresh[value] = context.new_value(value.name, value.type)
    branch = branch.substitute(fresh)
    nodes = [
        inner.replace(outputs=tuple(None if v is None else fresh.get(v, v) for v in inner.outputs))
        for inner in branch.nodes
    ]
    values = {old: new for old, new in zip(node.outputs, branch.outputs) if old is not None}
    return Replacement(nodes, values)


def _unrun_loop(node: Node, context: Context) -> Replacement | None:
    trips, condition = uniform_of(node.input(0)), uniform_of(node.input(1))
    never = (trips is not None and trips <= 0) or (condition is not None and not condition)
    if not never:
        return None
    carried = node.inputs[2:]
    # What a scan output's empty result looks like is only known after a trip.
    if any(v is not None and context.is_read(v) for v in node.outputs[len(carried) :]):
        return None
    values = {old: new for old, new in zip(node.outputs, carried) if old is not None and new is not None}
    if any(old is not None and old not in values and context.is_read(old) for old in node.outputs):
        return None
    return Replacement(values=values)
