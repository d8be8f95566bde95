"""Fuse a Gemm or MatMul with the bias, the residual and the activation that follow it."""

from __future__ import annotations

from orpheus_core.graph import Graph, Node
from orpheus_core.passes.epilogue import STEPS, Form, absorb, positions_of
from orpheus_core.passes.rewriting import Context, Replacement, rewrite

_GEMM = Form("Gemm", "FusedGemm")
_MATMUL = Form("MatMul", "FusedMatMul", bias=2)


def run(graph: Graph) -> Graph:
    """Fuse where it is legal; see the module."""
    if graph.ops.isdisjoint(("Gemm", "FusedGemm", "MatMul", "FusedMatMul")):
        return graph
    positions = positions_of(graph)

    def rule(node: Node, ctx: Context) -> Replacement | None:
        return absorb(node, ctx, _GEMM, positions) or absorb(node, ctx, _MATMUL, positions)

    return rewrite(graph, rule, starts=STEPS)
