"""Pins: the user's own choice of kernel for a node, an operator, or everything."""

from __future__ import annotations

from collections.abc import Mapping

from orpheus_core.graph import Node
from orpheus_core.ops import ORPHEUS_DOMAIN
from orpheus_core.selection.candidates import Candidate, kernel_id


def pin_for(node: Node, pins: Mapping[str, str]) -> tuple[str, str] | None:
    """The pin that applies to a node as (key, wanted), the most specific first.

    A key is a node's name, the name of one of its outputs, an operator, or ``*``. ``Conv`` also means
    ``FusedConv``, since the user sees one convolution either way.
    """
    if not pins:
        return None
    return next(((key, pins[key]) for key in pin_keys(node) if key in pins), None)


def pin_keys(node: Node) -> list[str]:
    """Every key that would pin this node, the most specific first."""
    keys = [
        node.name,
        *(v.name for v in node.results),
        node.op_id,
        node.op,
        base_op(node.domain, node.op),
        "*",
    ]
    return [key for key in keys if key]


def satisfies(candidate: Candidate, wanted: str) -> bool:
    """Whether a candidate is what a pin asks for.

    ``wanted`` is a kernel id (``numpy:Conv/direct``), a backend (``numpy``), or a kernel's name (``direct``).
    """
    kernel, backend = candidate.kernel, candidate.backend
    base = f"{backend.name}:{base_op(kernel.domain, kernel.op)}/{kernel.name}"
    return wanted in (kernel_id(backend, kernel), base, backend.name, kernel.name)


def base_op(domain: str, op: str) -> str:
    """The ONNX operator at the heart of one of Orpheus's fused ones; any other operator is its own."""
    return op.removeprefix("Fused") if domain == ORPHEUS_DOMAIN else op
