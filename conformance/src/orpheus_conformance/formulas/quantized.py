"""Quantized operators. Sources: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer.export import to_onnx
from orpheus_core.types import Array, DType, TensorType

_ZERO_POINTS = "it does not apply zero points or scales per row, column or filter"
_CONV = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


def _input(instance: Instance, index: int) -> Any:
    return instance.arrays[index] if index < len(instance.arrays) else None


def _shifted(x: Array, zero: Array | None, shape: tuple[int, ...]) -> Array:
    """X - zero in float64, the zero point one number or one per element of the axis that ``shape`` names by -1."""
    wide = x.astype(np.float64)
    if zero is None:
        return wide
    return np.asarray(
        wide - (zero.reshape(shape) if zero.ndim == 1 and zero.size != 1 else zero.reshape(-1)[0])
    )


def _convolved(instance: Instance, x: Array, w: Array) -> Array:
    """Conv in float64, exact on integers, by ``onnx.reference``."""
    found = [Value(n, TensorType(DType.FLOAT64, a.shape)) for n, a in (("x", x), ("w", w))]
    result = Value("y", TensorType(DType.FLOAT64))
    attributes = {n: instance.node.attributes[n] for n in _CONV if n in instance.node.attributes}
    graph = Graph(
        tuple(found), (result,), (Node("Conv", tuple(found), (result,), attributes, "conv", "", 11),)
    )
    results: Any = ReferenceEvaluator(to_onnx(graph)).run(None, {"x": x, "w": w})
    return np.asarray(results[0])


@formula("ConvInteger", why=_ZERO_POINTS)
def conv_integer(instance: Instance) -> tuple[Any, ...]:
    """Conv(x - x_zero_point, w - w_zero_point), pads adding nothing."""
    x, w = instance.arrays[:2]
    filters = (-1,) + (1,) * (w.ndim - 1)
    left, right = _shifted(x, _input(instance, 2), (-1,)), _shifted(w, _input(instance, 3), filters)
    return (_convolved(instance, left, right).astype(np.int32),)


@formula("QLinearConv", why=_ZERO_POINTS)
def qlinear_conv(instance: Instance) -> tuple[Any, ...]:
    """Round((sum + B) x_scale w_scale / y_scale) + y_zero_point, saturated."""
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = instance.arrays[:8]
    filters = (-1,) + (1,) * (w.ndim - 1)
    y = _convolved(instance, _shifted(x, x_zero, (-1,)), _shifted(w, w_zero, filters))
    channels = (1, -1) + (1,) * (w.ndim - 2)
    bias = _input(instance, 8)
    if bias is not None:
        y = y + bias.reshape(channels)
    scale = (
        x_scale.astype(np.float64) * w_scale.astype(np.float64).reshape(channels) / y_scale.astype(np.float64)
    )
    limits = np.iinfo(y_zero.dtype)
    return (np.clip(np.rint(y * scale) + int(y_zero), limits.min, limits.max).astype(y_zero.dtype),)


@formula("MatMulInteger", why=_ZERO_POINTS)
def matmul_integer(instance: Instance) -> tuple[Any, ...]:
    """(A - a_zero_point) (B - b_zero_point), by row of A and by column of B."""
    a, b = instance.arrays[:2]
    left, right = _shifted(a, _input(instance, 2), (-1, 1)), _shifted(b, _input(instance, 3), (1, -1))
    return (np.matmul(left, right).astype(np.int32),)


@formula("DequantizeLinear", why="it has no versions before 19, and mistakes types")
def dequantize_linear(instance: Instance) -> tuple[Any, ...]:
    """(x - zero point) * scale; one scale, one per index of an axis, or one per block along it."""
    x, scale = instance.arrays[:2]
    zero = _input(instance, 2)
    at: Any = instance.node.attributes

    def spread(p: Array) -> Any:
        p = p.astype(np.float64)
        axis: Any = at.get("axis", 1)
        if p.ndim == 0 or (p.size == 1 and not at.get("block_size")):
            return p.reshape(())
        if at.get("block_size"):
            block: Any = at["block_size"]
            return np.take(np.repeat(p, block, axis=axis), range(x.shape[axis]), axis=axis)
        shape = [1] * x.ndim
        shape[axis] = -1
        return p.reshape(shape)

    wide = x.astype(np.float64) - (0.0 if zero is None else spread(zero))
    return (np.asarray(wide * spread(scale)),)
