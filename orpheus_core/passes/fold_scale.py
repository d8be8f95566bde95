"""Fold Add, Sub, Mul and Div by constants into the weights of the layer before them, or of all layers after.

The constant is a single number or runs along the channels. A matrix MatMul that gets a bias becomes a Gemm.
"""

from __future__ import annotations

from orpheus_core.graph import Graph, Node
from orpheus_core.passes.affine import read_arithmetic, remembered
from orpheus_core.passes.folding import PRODUCTS, fold
from orpheus_core.passes.rewriting import Context, Replacement, rewrite

_MAPS = frozenset(("Add", "Sub", "Mul", "Div", "Neg"))


def run(graph: Graph) -> Graph:
    """Fold where it is legal; see the module."""
    if graph.ops.isdisjoint(_MAPS):
        return graph
    read = remembered(read_arithmetic)

    def rule(node: Node, ctx: Context) -> Replacement | None:
        return fold(node, ctx, read)

    return rewrite(graph, rule, starts=_MAPS | PRODUCTS)
