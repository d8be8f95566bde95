"""Arithmetic before version 7, which broadcast its second operand only when told to, at an axis."""

from __future__ import annotations

from typing import Any

from orpheus_core.graph import Node
from orpheus_core.importer.upgrade.common import int64s, rank, renew, temporary
from orpheus_core.ops.build import make_node

_GONE = ("axis", "broadcast")


def binary(node: Node) -> tuple[Node, ...] | None:
    """Add, Sub, Mul, Div, Pow, And, Or, Xor, Equal, Greater, Less before 7.

    With ``axis``, the second operand's dimensions match the first's from that axis on; trailing dimensions of one
    make numpy's rule say the same.
    """
    given: dict[str, Any] = dict(node.attributes)
    left, right = node.inputs
    axis = given.get("axis")
    if not given.get("broadcast") or axis is None:
        return (renew(node, node.inputs, drop=_GONE),)
    left_rank, right_rank = rank(left), rank(right)
    if left_rank is None or right_rank is None:
        return None
    axis = axis + left_rank if axis < 0 else axis
    trailing = left_rank - axis - right_rank
    if trailing < 0:
        raise ValueError(f"axis {axis} leaves no room for the {right_rank} dimensions of its second operand")
    if trailing == 0 or right_rank == 0:
        return (renew(node, node.inputs, drop=_GONE),)
    wide = temporary(node, "aligned")
    axes = int64s(node, "axes", range(right_rank, right_rank + trailing))
    return make_node("Unsqueeze", [right, axes], [wide]), renew(node, (left, wide), drop=_GONE)


def prelu(node: Node) -> tuple[Node, ...] | None:
    """PRelu before 7: a 1-D slope was one per channel (axis 1)."""
    data, slope = node.inputs
    data_rank, slope_rank = rank(data), rank(slope)
    if data_rank is None or slope_rank is None:
        return None
    if slope_rank != 1 or data_rank <= 2:
        return (renew(node, node.inputs),)
    wide = temporary(node, "slope")
    axes = int64s(node, "axes", range(1, data_rank - 1))
    return make_node("Unsqueeze", [slope, axes], [wide]), renew(node, (data, wide))
