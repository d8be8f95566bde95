"""Fuse a convolution with the residual, the scale and shift, and the activation that follow it.

The result is a FusedConv. Where something else reads the sum before scale and activation too (networks
with pre-activation: the sum is also the next block's skip), it becomes the second output. Bias and scale
directly behind the convolution are fold_scale's and fold_batch_norm's business.
"""

from __future__ import annotations

from orpheus_core.graph import Graph, Node
from orpheus_core.passes.epilogue import STEPS, Form, absorb, positions_of
from orpheus_core.passes.rewriting import Context, Replacement, rewrite

_FORM = Form("Conv", "FusedConv", residual=3, scale=4)


def run(graph: Graph) -> Graph:
    """Fuse where it is legal; see the module."""
    positions = positions_of(graph)

    def rule(node: Node, ctx: Context) -> Replacement | None:
        return absorb(node, ctx, _FORM, positions)

    return rewrite(graph, rule, starts=STEPS)
