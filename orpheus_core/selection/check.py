"""Refusing at load what could not work at any shape: operators without a kernel, pins without an object."""

from __future__ import annotations

import difflib
from collections import Counter

from orpheus_core.errors import UnsupportedModelError, UsageError
from orpheus_core.graph import Graph, Node
from orpheus_core.ops.spec import find_spec
from orpheus_core.selection.candidates import kernel_id, kernels_of
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.pins import base_op, pin_keys
from orpheus_core.selection.views import VIEWS


def check_operators(graph: Graph, options: SelectionOptions) -> None:
    """Raise UnsupportedModelError listing every operator, subgraphs included, that has no kernel in any version fit."""
    missing = Counter((part.op_id, part.version) for n in graph.walk() for part in _lacking(n, options))
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


def _lacking(node: Node, options: SelectionOptions) -> list[Node]:
    """The node itself, or those of its parts, that nothing implements; a fused node is spoken of by its parts."""
    if not node.domain and node.op in VIEWS:
        return []  # the core itself computes it where sizes are known before the run
    for backend in options.backends:
        for kernel in kernels_of(backend).get((node.domain, node.op), ()):
            low, high = kernel.opset
            if low <= node.version and (high is None or node.version <= high):
                return []
    spec = find_spec(node.domain, node.op, node.version) if node.domain else None
    if spec is None or spec.decompose is None:
        return [node]
    return [lacking for part in spec.decompose(node).nodes for lacking in _lacking(part, options)]


def check_pins(graph: Graph, options: SelectionOptions) -> None:
    """Raise UsageError for a pin that matches no node or names no kernel: none is silently without effect."""
    if not options.pins:
        return
    known = {b.name for b in options.backends}
    for backend in options.backends:
        for kernel in backend.kernels:
            base = f"{backend.name}:{base_op(kernel.domain, kernel.op)}/{kernel.name}"
            known |= {kernel_id(backend, kernel), base, kernel.name}
    keys = {key for node in graph.walk() for key in pin_keys(node)}
    for key, wanted in options.pins.items():
        if wanted not in known:
            close = sorted(n for n in known if key in n or wanted.split("/")[-1] in n)[:8]
            hint = f"; close to it: {', '.join(close)}" if close else ""
            raise UsageError(f"pin {key!r}: there is no kernel or backend {wanted!r}{hint}")
        if key not in keys:
            close = difflib.get_close_matches(key, keys, n=3)
            hint = f"; close to it: {', '.join(close)}" if close else ""
            raise UsageError(f"pin {key!r} matches no node of the simplified graph{hint}")
