"""Fold BatchNormalization into the weights of the layer before it, or of all layers after it.

Before: Conv, ConvTranspose, Gemm or a matrix MatMul whose result nothing else reads. After: the same, where a
Conv does not pad, because the shift would have to be there in the padding too. What is left over
becomes part of a fused operator, see fuse_scale_shift.
"""

from __future__ import annotations

from orpheus_core.graph import Graph, Node
from orpheus_core.passes.affine import read_normalization, remembered
from orpheus_core.passes.folding import PRODUCTS, fold
from orpheus_core.passes.rewriting import Context, Replacement, rewrite

_MAPS = frozenset(("BatchNormalization", "ScaleShift"))


def run(graph: Graph) -> Graph:
    """Fold where it is legal; see the module."""
    if graph.ops.isdisjoint(_MAPS):
        return graph
    read = remembered(read_normalization)

    def rule(node: Node, ctx: Context) -> Replacement | None:
        return fold(node, ctx, read)

    return rewrite(graph, rule, starts=_MAPS | PRODUCTS)
