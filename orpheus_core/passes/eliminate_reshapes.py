"""Join chains of Reshape, Flatten, Squeeze and Unsqueeze into one Reshape.

A chain back to the first shape is dropped altogether. The target must be expressible as a constant.
"""

from __future__ import annotations

from orpheus_core.graph import Graph, Node
from orpheus_core.passes.match import are_known_same, shape_of
from orpheus_core.passes.reshaping import RESHAPING, is_reshaping, make_reshape, target_for
from orpheus_core.passes.rewriting import Context, Replacement, rewrite


def run(graph: Graph) -> Graph:
    """Every such node reads what the first of its chain reads."""
    return rewrite(graph, _join, starts=frozenset(RESHAPING))


def _join(node: Node, context: Context) -> Replacement | None:
    if not is_reshaping(node) or node.outputs[0] is None:
        return None
    result, source = node.outputs[0], node.input(0)
    if source is None:
        return None
    shape = shape_of(result)
    if are_known_same(shape, shape_of(source)):
        return Replacement(values={result: source})
    producer = context.producer(source)
    if producer is None or not is_reshaping(producer):
        return None
    first = producer.input(0)
    if first is None:
        return None
    if are_known_same(shape, shape_of(first)):
        return Replacement(values={result: first})
    target = target_for(shape, shape_of(first))
    if target is None:
        return None
    return Replacement([make_reshape(context, first, target, result, node.name)])
