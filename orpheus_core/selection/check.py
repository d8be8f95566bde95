"""Refusing, at load, a model that no backend could run at any shape."""

from __future__ import annotations

from collections import Counter

from orpheus_core.errors import UnsupportedModelError
from orpheus_core.graph import Graph, Node
from orpheus_core.ops.spec import find_spec
from orpheus_core.selection.candidates import kernels_of
from orpheus_core.selection.options import SelectionOptions


def check_operators(graph: Graph, options: SelectionOptions) -> None:
    """Raise UnsupportedModelError listing every operator, subgraphs included, that has no kernel in any version fit."""
    missing = Counter((n.op_id, n.version) for n in graph.walk() if not _has_kernel(n, options))
    if not missing:
        return
    listed = ", ".join(
        f"{op} (version {version}{f', {count} nodes' if count > 1 else ''})"
        for (op, version), count in sorted(missing.items())
    )
    names = ", ".join(b.name for b in options.backends)
    raise UnsupportedModelError(
        f"no backend here implements: {listed}. Asked: {names}. `orpheus backends` lists what is installed and what is"
        " not usable; orpheus-numpy implements every inference operator of ONNX; a backend of your own can add one."
    )


def _has_kernel(node: Node, options: SelectionOptions) -> bool:
    for backend in options.backends:
        for kernel in kernels_of(backend).get((node.domain, node.op), ()):
            low, high = kernel.opset
            if low <= node.version and (high is None or node.version <= high):
                return True
    spec = find_spec(node.domain, node.op, node.version) if node.domain else None
    if spec is None or spec.decompose is None:
        return False
    return all(_has_kernel(part, options) for part in spec.decompose(node).nodes)
