"""Quantized operators of com.microsoft in float64. Source: ContribOperators.md of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_conformance.formulas import Compute, formula
from orpheus_conformance.instance import Instance
from orpheus_conformance.values import int_range
from orpheus_core.types import Array, DType, TensorType

_MS = "com.microsoft"
_WHY = "it does not know the domain"


def _formula(*ops: str) -> Callable[[Compute], Compute]:
    return formula(*ops, domain=_MS, why=_WHY)


def _inputs(instance: Instance, count: int) -> list[Any]:
    return [*instance.arrays, *(None,) * count][:count]


def _given(instance: Instance) -> Any:
    return instance.node.attributes


def _real(x: Array, scale: Array, zero: Array | None, axis: int | None = None) -> Array:
    scale, zero = (np.asarray(0.0 if v is None else v).astype(np.float64) for v in (scale, zero))
    if axis is not None:
        line = [1] * x.ndim
        line[axis] = -1
        scale, zero = (v.reshape(line) if v.ndim else v for v in (scale, zero))
    return np.asarray((x.astype(np.float64) - zero) * scale)


def _quantized(real: Array, scale: Any, zero: Any, dtype: Any) -> Array:
    low, high = int_range(DType.from_numpy(dtype).value)
    shifted = np.rint(real / np.asarray(scale, np.float64)) + (
        0 if zero is None else np.asarray(zero).astype(np.float64)
    )
    return np.clip(shifted, low, high).astype(np.int64).astype(dtype)


@_formula("QLinearAdd", "QLinearMul")
def arithmetic(instance: Instance) -> tuple[Any, ...]:
    """The real sum or product."""
    a, a_scale, a_zero, b, b_scale, b_zero, scale, zero = _inputs(instance, 8)
    x, y = _real(a, a_scale, a_zero), _real(b, b_scale, b_zero)
    return (_quantized(x + y if instance.node.op == "QLinearAdd" else x * y, scale, zero, a.dtype),)


@_formula("QLinearSigmoid", "QLinearLeakyRelu")
def unary(instance: Instance) -> tuple[Any, ...]:
    """The real function."""
    x, x_scale, x_zero, scale, zero = _inputs(instance, 5)
    real = _real(x, x_scale, x_zero)
    if instance.node.op == "QLinearSigmoid":
        real = 1 / (1 + np.exp(-real))
    else:
        real = np.where(real < 0, _given(instance)["alpha"] * real, real)
    return (_quantized(real, scale, zero, x.dtype),)


@_formula("QLinearSoftmax")
def softmax(instance: Instance) -> tuple[Any, ...]:
    """Exponentials over their sum, of the axis or (before opset 13) of all axes from it on."""
    x, x_scale, x_zero, scale, zero = _inputs(instance, 5)
    given = _given(instance)
    real, axis = _real(x, x_scale, x_zero), given["axis"] % x.ndim
    axes = (axis,) if given["opset"] >= 13 else tuple(range(axis, x.ndim))
    powers = np.exp(real - real.max(axes, keepdims=True))
    return (_quantized(powers / powers.sum(axes, keepdims=True), scale, zero, x.dtype),)


@_formula("QLinearConcat")
def concat(instance: Instance) -> tuple[Any, ...]:
    """Each part read by its own scale."""
    scale, zero, *rest = instance.arrays
    parts = [_real(*rest[n : n + 3]) for n in range(0, len(rest), 3)]
    return (_quantized(np.concatenate(parts, _given(instance)["axis"]), scale, zero, zero.dtype),)


@_formula("QLinearAveragePool")
def average_pool(instance: Instance) -> tuple[Any, ...]:
    """The mean of each window of two axes, over what is there or over the pads too."""
    x, x_scale, x_zero, scale, zero = _inputs(instance, 5)
    given = _given(instance)
    real = _real(x, x_scale, x_zero)
    real = np.moveaxis(real, -1, 1) if given["channels_last"] else real
    kernel, strides, pads = given["kernel_shape"], given.get("strides", (1, 1)), given.get("pads", (0,) * 4)
    size = [(real.shape[2 + i] + pads[i] + pads[2 + i] - kernel[i]) // strides[i] + 1 for i in range(2)]
    result = np.zeros((*real.shape[:2], *size))
    for row, column in np.ndindex(*size):
        corner = row * strides[0] - pads[0], column * strides[1] - pads[1]
        rows, columns = (slice(max(c, 0), c + k) for c, k in zip(corner, kernel))
        window = real[:, :, rows, columns]
        count = kernel[0] * kernel[1] if given["count_include_pad"] else window.shape[2] * window.shape[3]
        result[:, :, row, column] = window.sum((2, 3)) / count
    result = _quantized(result, scale, zero, x.dtype)
    return (np.moveaxis(result, 1, -1) if given["channels_last"] else result,)


@_formula("QLinearGlobalAveragePool")
def global_average_pool(instance: Instance) -> tuple[Any, ...]:
    """The mean of all places."""
    x, x_scale, x_zero, scale, zero = _inputs(instance, 5)
    axes = (1, 2) if _given(instance)["channels_last"] else (2, 3)
    return (_quantized(_real(x, x_scale, x_zero).mean(axes, keepdims=True), scale, zero, x.dtype),)


@_formula("QGemm")
def qgemm(instance: Instance) -> tuple[Any, ...]:
    """Alpha A B, and C in units of alpha times both scales."""
    a, a_scale, a_zero, b, b_scale, b_zero, c, scale, zero = _inputs(instance, 9)
    given = _given(instance)
    x, y = a.astype(np.float64) - a_zero, b.astype(np.float64)
    x, y = (x.T if given["transA"] else x), (y.T if given["transB"] else y) - b_zero
    total = x @ y + (0 if c is None else c)
    real = total * given["alpha"] * np.float64(a_scale) * b_scale.astype(np.float64)
    return (real if scale is None else _quantized(real, scale, zero, zero.dtype),)


@_formula("MatMulIntegerToFloat")
def matmul_integer_to_float(instance: Instance) -> tuple[Any, ...]:
    """The real product and bias."""
    a, b, a_scale, b_scale, a_zero, b_zero, bias = _inputs(instance, 7)
    return (_real(a, a_scale, a_zero) @ _real(b, b_scale, b_zero) + (0 if bias is None else bias),)


@_formula("DynamicQuantizeMatMul")
def dynamic_quantize_matmul(instance: Instance) -> tuple[Any, ...]:
    """A in 256 steps from its least to its greatest element, zero among them."""
    a, b, b_scale, b_zero, bias = _inputs(instance, 5)
    low, high = min(a.min(initial=0), 0), max(a.max(initial=0), 0)
    step = (high - low) / 255 or 1.0
    zero = np.rint(np.clip(-low / step, 0, 255))
    steps = np.clip(np.rint(a / step) + zero, 0, 255) - zero
    return (steps * step @ _real(b, b_scale, b_zero) + (0 if bias is None else bias),)


@_formula("QuantizeLinear")
def quantize_linear(instance: Instance) -> tuple[Any, ...]:
    """X / scale + zero point; the axis is 1 unless given."""
    x, scale, zero = _inputs(instance, 3)
    (type_,) = instance.problem.outputs
    assert isinstance(type_, TensorType)
    line = [1] * x.ndim
    if scale.ndim:
        line[_given(instance).get("axis", 1)] = -1
        scale, zero = scale.reshape(line), None if zero is None else zero.reshape(line)
    return (_quantized(x.astype(np.float64), scale.astype(np.float64), zero, type_.dtype.numpy),)


@_formula("DequantizeLinear")
def dequantize_linear(instance: Instance) -> tuple[Any, ...]:
    """(x - zero point) scale; the axis is 1 unless given."""
    x, scale, zero = _inputs(instance, 3)
    return (_real(x, scale, zero, _given(instance).get("axis", 1) if scale.ndim else None),)
