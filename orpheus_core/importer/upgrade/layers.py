"""Layers whose parameters changed: normalisation, dropout, recurrent layers, pooling norms, casts."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from orpheus_core.graph import Node
from orpheus_core.importer.upgrade.common import constant, dtype, int64s, like, renew, temporary
from orpheus_core.ops.build import make_node
from orpheus_core.types import DType, TensorType


def batch_normalization(node: Node) -> tuple[Node, ...] | None:
    """BatchNormalization before 14: with one output it is inference; ``spatial=0`` had statistics per element.

    A training node (more outputs) keeps its version.
    """
    if len(node.results) != 1:
        return None
    if node.attributes.get("spatial", 1):
        return (renew(node, node.inputs, drop=("is_test", "spatial")),)
    data, scale, bias, mean, variance = node.inputs
    small: Any = node.attributes["epsilon"]
    epsilon = like(node, "epsilon", small, data)
    centred, sum_, deviation, unit, scaled = (
        temporary(node, s) for s in ("centred", "sum", "deviation", "unit", "scaled")
    )
    return (
        make_node("Sub", [data, mean], [centred]),
        make_node("Add", [variance, epsilon], [sum_]),
        make_node("Sqrt", [sum_], [deviation]),
        make_node("Div", [centred, deviation], [unit]),
        make_node("Mul", [unit, scale], [scaled]),
        make_node("Add", [scaled, bias], node.outputs, name=node.name),
    )


def group_normalization(node: Node) -> tuple[Node, ...] | None:
    """GroupNormalization 18 had one scale and bias per group, 21 has one per channel."""
    data, scale, bias = node.inputs
    groups: Any = node.attributes["num_groups"]
    shape = data.type.shape if data is not None and isinstance(data.type, TensorType) else None
    if shape is None or len(shape) < 2 or not isinstance(shape[1], int):
        return None
    if groups < 1 or shape[1] % groups:
        raise ValueError(f"{shape[1]} channels do not divide into {groups} groups")
    nodes = []
    wide = []
    for name, value in (("scale", scale), ("bias", bias)):
        column, grid, flat = (temporary(node, f"{name}_{s}") for s in ("column", "grid", "flat"))
        each = int64s(node, f"{name}_size", (groups, shape[1] // groups))
        nodes += [
            make_node("Unsqueeze", [value, int64s(node, f"{name}_axis", (1,))], [column]),
            make_node("Expand", [column, each], [grid]),
            make_node("Reshape", [grid, int64s(node, f"{name}_shape", (shape[1],))], [flat]),
        ]
        wide.append(flat)
    return (*nodes, renew(node, (data, *wide)))


def dropout(node: Node) -> tuple[Node, ...]:
    """Dropout before 12, at inference: the data itself, and a mask of ones of the data's type before 10."""
    drop = ("ratio", "is_test")
    if len(node.outputs) < 2 or node.version >= 10:
        return (renew(node, node.inputs[:1], drop=drop),)
    kept = temporary(node, "kept")
    to = dtype(node.inputs[0])
    if to is None:
        raise ValueError("the element type of its input is not known")
    return (
        renew(node, node.inputs[:1], drop=drop, outputs=(node.outputs[0], kept)),
        make_node("Cast", [kept], node.outputs[1:2], {"to": to.onnx}),
    )


def recurrent(node: Node) -> tuple[Node, ...]:
    """RNN, GRU, LSTM before 7 had ``output_sequence``; GRU 1 misspelt its default direction."""
    direction = node.attributes["direction"]
    direction = "forward" if direction == "foward" else direction
    return (renew(node, node.inputs, drop=("output_sequence",), direction=direction),)


def lp_pool(node: Node) -> tuple[Node, ...]:
    """LpPool and GlobalLpPool before 2 wrote their p as a float."""
    exponent: Any = node.attributes["p"]
    if exponent != int(exponent):
        raise ValueError(f"p must be a whole number, is {exponent}")
    return (renew(node, node.inputs, p=int(exponent)),)


def cast(node: Node) -> tuple[Node, ...] | None:
    """Cast before 6 named its type; before 24 infinity became NaN in two 8-bit floats even when saturating."""
    to: Any = node.attributes["to"]
    if node.version < 6:
        try:
            to = int(onnx.TensorProto.DataType.Value(str(to).upper()))
        except ValueError:
            raise ValueError(f"{to!r} names no element type") from None
    if node.version >= 19 and to in _EIGHT_BIT:
        return None
    return (renew(node, node.inputs, to=to),)


def cast_like(node: Node) -> tuple[Node, ...] | None:
    """CastLike to an 8-bit float before 24 keeps its version, see :func:`cast`."""
    target = dtype(node.inputs[1])
    if target is None or (node.version >= 19 and target.onnx in _EIGHT_BIT):
        return None
    return (renew(node, node.inputs),)


def target_is_ordinary(node: Node) -> bool:
    """Whether a Cast or CastLike means the same in every version, as it does unless it makes 8-bit floats."""
    found = dtype(node.outputs[0])
    return found is not None and found.onnx not in _EIGHT_BIT


_EIGHT_BIT = tuple(
    t.onnx for t in (DType.FLOAT8E4M3FN, DType.FLOAT8E4M3FNUZ, DType.FLOAT8E5M2, DType.FLOAT8E5M2FNUZ)
)


def scatter(node: Node) -> tuple[Node, ...]:
    """Scatter is ScatterElements."""
    return (renew(node, node.inputs, op="ScatterElements"),)


def gemm(node: Node) -> tuple[Node, ...]:
    """Gemm before 7 said whether to broadcast C."""
    inputs = node.inputs
    if len(inputs) == 2:
        inputs = (*inputs, constant(node, "c", np.zeros((), np.float32)))
    return (renew(node, inputs, drop=("broadcast",)),)
