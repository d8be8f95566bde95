"""Upsample and old Resize as the newest Resize; GridSample's and RoiAlign's renamed modes."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.importer.upgrade.common import constant, renew

_ASYMMETRIC: dict[str, Any] = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}


def upsample(node: Node) -> tuple[Node, ...]:
    """Upsample: scales were attributes before 9; positions are output index over scale, rounded down."""
    given: dict[str, Any] = dict(node.attributes)
    mode = "linear" if given["mode"] in ("linear", "bilinear") else given["mode"]
    if node.version < 7:
        factors = (1.0, 1.0, given["height_scale"], given["width_scale"])
        scales: Value | None = constant(node, "scales", np.array(factors, np.float32))
    elif node.version < 9:
        scales = constant(node, "scales", np.array(given["scales"], np.float32))
    else:
        scales = node.inputs[1]
    drop = ("scales", "height_scale", "width_scale")
    return (renew(node, (node.inputs[0], None, scales), op="Resize", drop=drop, mode=mode, **_ASYMMETRIC),)


def resize(node: Node) -> tuple[Node, ...] | None:
    """Resize 10 had one coordinate mode; 11 had one that 13 removed, and wrote an absent operand as an empty one."""
    if node.version < 11:
        return (renew(node, (node.inputs[0], None, node.inputs[1]), **_ASYMMETRIC),)
    if node.attributes["coordinate_transformation_mode"] == "tf_half_pixel_for_nn":
        return None
    source, *rest = node.inputs
    kept = [None if v is None or (v.const is not None and v.const.size == 0) else v for v in rest]
    return (renew(node, (source, *kept)),)


def grid_sample(node: Node) -> tuple[Node, ...]:
    """GridSample before 20 said bilinear and bicubic."""
    mode: Any = node.attributes["mode"]
    return (renew(node, node.inputs, mode={"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)),)


def roi_align(node: Node) -> tuple[Node, ...]:
    """RoiAlign before 16 did not shift by half a pixel."""
    return (renew(node, node.inputs, coordinate_transformation_mode="output_half_pixel"),)
