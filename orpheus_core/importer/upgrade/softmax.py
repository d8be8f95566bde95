"""Softmax, LogSoftmax and Hardmax before 13, which saw their input as a matrix split at ``axis``."""

from __future__ import annotations

from typing import Any

from orpheus_core.graph import Node
from orpheus_core.importer.upgrade.common import rank, renew, temporary
from orpheus_core.ops.build import make_node


def coerced(node: Node) -> tuple[Node, ...]:
    """The newest form directly where the matrix's rows are the last axis, else between Flatten and Reshape."""
    axis: Any = node.attributes["axis"]
    source = node.inputs[0]
    dims = rank(source)
    if dims is not None:
        if not -dims <= axis <= dims:
            raise ValueError(f"axis {axis} is out of range for rank {dims}")
        if axis % max(dims, 1) == dims - 1 and axis != dims:
            return (renew(node, node.inputs, axis=-1),)
    shape, flat, result = (temporary(node, s) for s in ("shape", "matrix", "rows"))
    return (
        make_node("Shape", [source], [shape]),
        make_node("Flatten", [source], [flat], {"axis": axis}),
        renew(node, (flat,), outputs=(result,), axis=-1),
        make_node("Reshape", [result, shape], node.outputs, {"allowzero": 1}),
    )
