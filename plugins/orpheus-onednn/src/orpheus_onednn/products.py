"""Matrix products: MatMul and Gemm with their fused epilogues, as matmul and as inner product."""

from __future__ import annotations

import math

from orpheus_core.plugin import Problem
from orpheus_onednn import dnnl
from orpheus_onednn.activation import PostOp, fused, weights, with_operand
from orpheus_onednn.call import Call, Md, Operand, Refusal, operand, shape_of, type_of


def matmul(problem: Problem, x: str, y: str) -> list[Call]:
    """MatMul and FusedMatMul of tensors of two axes or more; batches broadcast."""
    a, b, result = shape_of(problem, 0), shape_of(problem, 1), shape_of(problem, ~0)
    if len(a) < 2 or len(b) < 2:
        raise Refusal(f"needs two axes or more, has shapes {list(a)} and {list(b)}")
    if len(b) == 2:  # one product of all rows
        rows = math.prod(a[:-1])
        a, result = (rows, a[-1]), (rows, b[-1])
    rank = max(len(a), len(b))
    a, b, vector = ((1,) * (rank - len(shape)) + shape for shape in (a, b, b[-1:]))
    source, total = operand(problem, dnnl.SRC, 0, shape=a), operand(problem, dnnl.DST, ~0, shape=result)
    factor = weights(problem, operand(problem, dnnl.WEIGHTS, 1, shape=b).md)
    bias = None if type_of(problem, 2) is None else operand(problem, dnnl.BIAS, 2, shape=vector)
    post = (*with_operand(problem, dnnl.BINARY_ADD, 3, shape=result), *fused(problem))
    return [Call("matmul", (source, factor, bias, total), post=post)]


def gemm(problem: Problem, x: str, y: str) -> list[Call]:
    """Gemm and FusedGemm as matmul; C is a post-op."""
    source = Operand(dnnl.SRC, _matrix(problem, 0, "transA"), 0)
    factor = weights(problem, _matrix(problem, 1, "transB"))
    return [Call("matmul", (source, factor, None, operand(problem, dnnl.DST, ~0)), post=_epilogue(problem))]


def inner_product(problem: Problem, x: str, y: str) -> list[Call]:
    """Gemm and FusedGemm of A as it comes and constant B, as a layer of weights [N, K]."""
    if problem.attributes.get("transA") or 1 not in problem.constants:
        raise Refusal("needs transA == 0 and constant B")
    b = _matrix(problem, 1, "transB")
    factor = weights(problem, Md(b.shape[::-1], b.dtype, strides=b.strides[::-1]))
    operands = (operand(problem, dnnl.SRC, 0), factor, None, operand(problem, dnnl.DST, ~0))
    return [Call("inner_product_forward", (dnnl.FORWARD, *operands), post=_epilogue(problem))]


def _epilogue(problem: Problem) -> tuple[PostOp, ...]:
    """alpha, beta * C, R and the activation of a Gemm as post-ops."""
    alpha, beta = (float(problem.attributes.get(n, 1.0)) for n in ("alpha", "beta"))
    post: list[PostOp] = [("eltwise", dnnl.LINEAR, alpha, 0.0)] if alpha != 1 else []
    if type_of(problem, 2) is not None and beta != 0:
        if beta != 1:
            raise Refusal(f"needs beta == 1, has {beta}")
        shape = shape_of(problem, 2)
        post += with_operand(problem, dnnl.BINARY_ADD, 2, shape=(1,) * (2 - len(shape)) + shape)
    return (*post, *with_operand(problem, dnnl.BINARY_ADD, 3), *fused(problem))


def _matrix(problem: Problem, index: int, transposed: str) -> Md:
    (rows, columns), turn = shape_of(problem, index), -1 if problem.attributes.get(transposed) else 1
    dtype = operand(problem, 0, index).md.dtype
    return Md((rows, columns)[::turn], dtype, strides=(columns, 1)[::turn])
