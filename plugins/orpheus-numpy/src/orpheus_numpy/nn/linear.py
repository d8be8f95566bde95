"""Gemm, MatMul and Einsum, and Orpheus's fused forms of the first two.

float16 and bfloat16 are multiplied in float32 and rounded once; float32 and float64 go to BLAS.

Sources: https://onnx.ai/onnx/operators/onnx__Gemm.html, onnx__MatMul.html, onnx__Einsum.html
"""

from __future__ import annotations

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.epilogue import activation_step
from orpheus_numpy.nn.precision import deliver, first, widen

Outputs = tuple["Array | None", ...]


def matmul(A: Array, B: Array, *, out: Outputs | None = None) -> Array:
    """MatMul, as numpy.matmul: [..., M, K] @ [..., K, N] with broadcasting, vectors allowed on either side."""
    return deliver(_product(A, B, first(out)), A.dtype, first(out))


def fused_matmul(
    A: Array, B: Array, bias: Array | None = None, R: Array | None = None, *,
    activation: str = "", activation_params: tuple[float, ...] = (), out: Outputs | None = None,
) -> Array:  # fmt: skip
    """ai.orpheus FusedMatMul: activation(A @ B + bias + R)."""
    y = _product(A, B, first(out))
    return _finish(y, (bias, R), activation, activation_params, A, first(out))


def gemm(
    A: Array, B: Array, C: Array | None = None, *,
    alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0, out: Outputs | None = None,
) -> Array:  # fmt: skip
    """Gemm: alpha * A' B' + beta * C; A' [M, K], B' [K, N], C broadcast to [M, N]."""
    return fused_gemm(A, B, C, alpha=alpha, beta=beta, transA=transA, transB=transB, out=out)


def fused_gemm(
    A: Array, B: Array, C: Array | None = None, R: Array | None = None, *,
    alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0,
    activation: str = "", activation_params: tuple[float, ...] = (), out: Outputs | None = None,
) -> Array:  # fmt: skip
    """ai.orpheus FusedGemm: activation(alpha * A' B' + beta * C + R)."""
    y = _product(A.T if transA else A, B.T if transB else B, first(out))
    if alpha != 1:
        y = y * np.asarray(alpha).astype(y.dtype) if y.dtype.kind == "f" else y * alpha
    if C is not None and beta != 1:
        wide = widen(C)
        C = wide * np.asarray(beta).astype(wide.dtype) if wide.dtype.kind == "f" else wide * beta
    return _finish(y, (C, R), activation, activation_params, A, first(out))


def _product(A: Array, B: Array, out: Array | None) -> Array:
    a, b = widen(A), widen(B)
    usable = out is not None and out.dtype == a.dtype == b.dtype
    return np.asarray(np.matmul(a, b, out=out if usable else None))


def _finish(
    y: Array, addends: tuple[Array | None, ...], activation: str, parameters: tuple[float, ...], like: Array,
    out: Array | None,
) -> Array:  # fmt: skip
    for addend in addends:
        if addend is not None:
            # In place unless alpha or beta made an integer product fractional.
            kept = np.result_type(y, addend) == y.dtype
            y = np.add(
                y, addend, out=y if kept and y.shape == np.broadcast_shapes(y.shape, addend.shape) else None
            )
    step = activation_step(activation, parameters)
    if step is not None:
        step(y)
    return deliver(y, like.dtype, out)


def einsum(*inputs: Array, equation: str) -> Array:
    """Einsum over any number of operands; ModelError for an equation that is malformed or does not fit them."""
    _check_equation(equation, inputs)
    operands = [widen(x) for x in inputs]
    # With three or more operands the order of contraction decides between seconds and hours.
    value = np.einsum(equation.replace(" ", ""), *operands, optimize=len(operands) > 1)
    return deliver(value, inputs[0].dtype)


def _check_equation(equation: str, inputs: tuple[Array, ...]) -> None:
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = left.split(",")
    if len(terms) != len(inputs):
        raise ModelError(f"Einsum {equation!r} has {len(terms)} terms for {len(inputs)} operands")
    sizes: dict[str, int] = {}
    for term, x in zip(terms, inputs):
        labels = _labels(term, equation)
        broadcast = "..." in term
        if len(labels) > x.ndim or (not broadcast and len(labels) != x.ndim):
            raise ModelError(f"Einsum {equation!r}: term {term!r} does not fit an operand of rank {x.ndim}")
        before = len(term.partition("...")[0])
        dims = x.shape[:before] + x.shape[x.ndim - (len(labels) - before) :] if broadcast else x.shape
        for label, size in zip(labels, dims):
            if sizes.setdefault(label, size) != size:
                raise ModelError(
                    f"Einsum {equation!r}: {label!r} is {sizes[label]} in one place and {size} in another"
                )
    if arrow:
        labels = _labels(right, equation)
        if len(set(labels)) != len(labels) or not set(labels) <= set(sizes):
            raise ModelError(
                f"Einsum {equation!r}: the output must name each of its axes once, all of them inputs'"
            )


def _labels(term: str, equation: str) -> str:
    labels = term.replace("...", "", 1)
    if labels and not (labels.isascii() and labels.isalpha()):
        raise ModelError(f"Einsum {equation!r}: {term!r} may only hold letters and one '...'")
    return labels
