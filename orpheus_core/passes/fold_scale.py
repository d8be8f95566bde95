"""Fold Add, Sub, Mul and Div by constants into the weights of the layer before them, or of all layers after.

The constant is a single number or runs along the channels. A matrix MatMul that gets a bias becomes a Gemm.
"""

from __future__ import annotations

from orpheus_core.graph import Graph, Node
from orpheus_core.passes.affine import read_arithmetic
from orpheus_core.passes.folding import fold
from orpheus_core.passes.rewriting import Context, Replacement, rewrite


def run(graph: Graph) -> Graph:
    """Fold where it is legal; see the module."""
    if graph.ops.isdisjoint(("Add", "Sub", "Mul", "Div", "Neg")):
        return graph
    return rewrite(graph, _rule)


def _rule(node: Node, ctx: Context) -> Replacement | None:
    return fold(node, ctx, read_arithmetic)
