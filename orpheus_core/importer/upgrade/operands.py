"""Attributes that became inputs: axes, shapes, bounds, counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.importer.reading import settled
from orpheus_core.importer.upgrade.common import constant, dtype, int64s, like, rank, renew
from orpheus_core.types import DType, TensorType

_LOWEST = -3.4028234663852886e38


def axes_to_input(node: Node) -> tuple[Node, ...]:
    """Squeeze, Unsqueeze before 13; ReduceSum before 13, other reductions before 18."""
    axes: Any = node.attributes.get("axes")
    inputs = node.inputs[:1]
    if axes:
        inputs = (*inputs, int64s(node, "axes", axes))
    return (renew(node, inputs, drop=("axes",)),)


def slice_(node: Node) -> tuple[Node, ...]:
    """Slice before 10: starts, ends and axes were attributes."""
    given: dict[str, Any] = dict(node.attributes)
    inputs = [node.inputs[0], int64s(node, "starts", given["starts"]), int64s(node, "ends", given["ends"])]
    if given.get("axes"):
        inputs.append(int64s(node, "axes", given["axes"]))
    return (renew(node, inputs, drop=("starts", "ends", "axes")),)


def pad(node: Node) -> tuple[Node, ...]:
    """Pad before 11: the amounts and the value were attributes."""
    given: dict[str, Any] = dict(node.attributes)
    amounts = int64s(node, "pads", given["paddings"] if node.version < 2 else given["pads"])
    inputs: list[Value | None] = [node.inputs[0], amounts]
    if given.get("value"):
        inputs.append(like(node, "value", given["value"], node.inputs[0]))
    return (renew(node, inputs, drop=("paddings", "pads", "value")),)


def clip(node: Node) -> tuple[Node, ...]:
    """Clip before 11: the bounds were attributes, by default the ends of float32."""
    given: dict[str, Any] = dict(node.attributes)
    low, high = given.get("min"), given.get("max")
    source = node.inputs[0]
    inputs = (
        source,
        None if low is None or low == _LOWEST else like(node, "min", low, source),
        None if high is None or high == -_LOWEST else like(node, "max", high, source),
    )
    return (renew(node, inputs, drop=("min", "max")),)


def reshape(node: Node) -> tuple[Node, ...]:
    """Reshape before 5: the shape was an attribute."""
    given: dict[str, Any] = dict(node.attributes)
    return (renew(node, (node.inputs[0], int64s(node, "shape", given.get("shape", ()))), drop=("shape",)),)


def split(node: Node) -> tuple[Node, ...] | None:
    """Split before 18: sizes were an attribute before 13 (and could be an input in 1); equal parts had no count."""
    given: dict[str, Any] = dict(node.attributes)
    sizes = node.input(1)
    if sizes is not None and dtype(sizes) is not DType.INT64:
        if sizes.const is None:
            return None  # version 1 took sizes of the data's own type
        sizes = int64s(node, "sizes", settled(sizes.const).reshape(-1))
    if given.get("split"):
        sizes = int64s(node, "sizes", given["split"])
    axis = given.get("axis", 0)
    if sizes is not None:
        return (renew(node, (node.inputs[0], sizes), drop=("split",), axis=axis),)
    type_ = node.inputs[0].type if node.inputs[0] is not None else None
    if isinstance(type_, TensorType) and type_.shape is not None:
        length = type_.shape[axis]
        if isinstance(length, int) and length % len(node.outputs):
            raise ValueError(f"cannot split {length} into {len(node.outputs)} equal parts without sizes")
    return (renew(node, node.inputs[:1], drop=("split",), axis=axis, num_outputs=len(node.outputs)),)


def top_k(node: Node) -> tuple[Node, ...]:
    """TopK before 10: k was an attribute."""
    given: dict[str, Any] = dict(node.attributes)
    return (renew(node, (node.inputs[0], int64s(node, "k", [given["k"]])), drop=("k",)),)


def tile(node: Node) -> tuple[Node, ...] | None:
    """Tile before 6 repeated one axis, given as an input; that must be a constant and the rank known."""
    _, tiles, axis = node.inputs
    dims = rank(node.inputs[0])
    if tiles is None or axis is None or tiles.const is None or axis.const is None or dims is None:
        return None
    repeats = np.ones(dims, np.int64)
    repeats[int(axis.const.item())] = int(tiles.const.item())
    return (renew(node, (node.inputs[0], constant(node, "repeats", repeats))),)


def dft(node: Node) -> tuple[Node, ...]:
    """DFT before 20: the axis was an attribute."""
    given: dict[str, Any] = dict(node.attributes)
    axis = constant(node, "axis", np.array(given["axis"], np.int64))
    return (renew(node, (node.inputs[0], node.input(1), axis), drop=("axis",)),)


def concat(node: Node) -> tuple[Node, ...]:
    """Concat before 4: the axis was 1 unless given."""
    return (renew(node, node.inputs, axis=node.attributes.get("axis", 1)),)
