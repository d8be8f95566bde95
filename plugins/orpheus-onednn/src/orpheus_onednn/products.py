"""Matrix products: MatMul and Gemm with their fused epilogues, as matmul and as inner product."""

from __future__ import annotations

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_onednn import dnnl
from orpheus_onednn.activation import fused
from orpheus_onednn.call import Call, Md, Operand, Refusal, dtype_of, from_to, has, md_of, shape_of


def matmul(problem: Problem, x: str, y: str) -> list[Call]:
    """MatMul and FusedMatMul of tensors of two axes or more; batches broadcast."""
    a, b = shape_of(problem, 0), shape_of(problem, 1)
    if len(a) < 2 or len(b) < 2:
        raise Refusal(f"needs two axes or more, has shapes {list(a)} and {list(b)}")
    if len(b) == 2:  # one product of all rows
        rows = int(np.prod(a[:-1]))
        a, result = (rows, a[-1]), md_of(problem, ~0, y, (rows, b[-1]))
    else:
        rank = max(len(a), len(b))
        a, b = ((1,) * (rank - len(s)) + s for s in (a, b))
        result = md_of(problem, ~0, y)
    source = md_of(problem, 0, x, a)
    weights = _weights(problem, md_of(problem, 1, shape=b))
    bias = md_of(problem, 2, shape=(1,) * (len(a) - 1) + b[-1:]) if has(problem, 2) else None
    post = [("binary", dnnl.BINARY_ADD, Md(result.shape, result.dtype), 3)] if has(problem, 3) else []
    operands = [Operand(dnnl.SRC, source, 0), weights, Operand(dnnl.DST, result, ~0)]
    if bias is not None:
        operands.append(Operand(dnnl.BIAS, bias, 2))
    parameters = (source, weights.wanted, bias, result)
    return [Call("matmul", parameters, tuple(operands), (*post, *fused(problem)))]


def gemm(problem: Problem, x: str, y: str) -> list[Call]:
    """Gemm and FusedGemm as matmul; C is a post-op."""
    source = _matrix(problem, 0, "transA")
    weights = _weights(problem, _matrix(problem, 1, "transB"))
    result = md_of(problem, ~0, y)
    return from_to(
        "matmul", (source, weights.wanted, None, result), source, result, weights, post=_epilogue(problem)
    )


def inner_product(problem: Problem, x: str, y: str) -> list[Call]:
    """Gemm and FusedGemm of A as it comes and constant B, as a layer of weights [N, K]."""
    if problem.attributes.get("transA") or 1 not in problem.constants:
        raise Refusal("needs transA == 0 and constant B")
    b = _matrix(problem, 1, "transB")
    assert b.strides is not None
    turned = Md(b.shape[::-1], b.dtype, strides=b.strides[::-1])
    source, result, weights = md_of(problem, 0), md_of(problem, ~0), _weights(problem, turned)
    parameters = (dnnl.FORWARD, source, weights.wanted, None, result)
    return from_to("inner_product_forward", parameters, source, result, weights, post=_epilogue(problem))


def _epilogue(problem: Problem) -> tuple[tuple[object, ...], ...]:
    """alpha, beta * C, R and the activation of a Gemm as post-ops."""
    post: list[tuple[object, ...]] = []
    alpha, beta = (float(problem.attributes.get(n, 1.0)) for n in ("alpha", "beta"))
    if alpha != 1:
        post.append(("eltwise", dnnl.LINEAR, alpha, 0.0))
    if has(problem, 2) and beta != 0:
        if beta != 1:
            raise Refusal(f"needs beta == 1, has {beta}")
        shape = shape_of(problem, 2)
        post.append(("binary", dnnl.BINARY_ADD, md_of(problem, 2, shape=(1,) * (2 - len(shape)) + shape), 2))
    if has(problem, 3):
        post.append(("binary", dnnl.BINARY_ADD, md_of(problem, 3), 3))
    return (*post, *fused(problem))


def _matrix(problem: Problem, index: int, transposed: str) -> Md:
    rows, columns = shape_of(problem, index)
    if problem.attributes.get(transposed):
        return Md((columns, rows), dtype_of(problem, index), strides=(1, columns))
    return Md((rows, columns), dtype_of(problem, index), strides=(columns, 1))


def _weights(problem: Problem, md: Md) -> Operand:
    constant = problem.constants.get(1)
    return Operand(dnnl.WEIGHTS, md, 1, None if constant is None else np.asarray(constant))
