"""Quantized matrix products of com.microsoft. Source: ContribOperators.md of ONNX Runtime."""

from __future__ import annotations

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver
from orpheus_numpy.quant.integer import matmul, per_column, requantize
from orpheus_numpy.quant.linear import dynamic_quantize_linear


def qgemm(
    A: Array,
    a_scale: Array,
    a_zero_point: Array,
    B: Array,
    b_scale: Array,
    b_zero_point: Array,
    C: Array | None = None,
    y_scale: Array | None = None,
    y_zero_point: Array | None = None,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
) -> Array:
    """``alpha`` * A @ B + C of quantized [M, K] and [K, N]; float32 when there is no y_scale (QGemm).

    B's scale and zero point are scalars or [N]; C is int32 of scale alpha * a_scale * b_scale.
    """
    a, b = A.T if transA else A, B.T if transB else B
    total = matmul(a, b, a_zero_point.reshape(()), b_zero_point)
    scale = np.float32(alpha) * a_scale.reshape(()) * per_column(b_scale)
    if y_scale is None or y_zero_point is None:
        return ((total if C is None else total + C) * scale).astype(np.float32)
    return requantize(total, np.asarray(scale / y_scale.reshape(())), y_zero_point.reshape(()), C)


def matmul_integer_to_float(
    A: Array,
    B: Array,
    a_scale: Array,
    b_scale: Array,
    a_zero_point: Array | None = None,
    b_zero_point: Array | None = None,
    bias: Array | None = None,
) -> Array:
    """MatMulInteger scaled to the type of a_scale, plus bias [N]; B's parameters may be per column."""
    total = matmul(A, B, a_zero_point, b_zero_point)
    y = total * (a_scale.astype(np.float32).reshape(()) * per_column(b_scale).astype(np.float32))
    return deliver(y if bias is None else y + bias, a_scale.dtype)


def dynamic_quantize_matmul(
    A: Array, B: Array, b_scale: Array, b_zero_point: Array | None = None, bias: Array | None = None
) -> Array:
    """float32 A, quantized as DynamicQuantizeLinear does, times quantized B, plus bias [N] (DynamicQuantizeMatMul)."""
    a, a_scale, a_zero_point = dynamic_quantize_linear(A)
    return matmul_integer_to_float(a, B, a_scale, b_scale, a_zero_point, b_zero_point, bias)
