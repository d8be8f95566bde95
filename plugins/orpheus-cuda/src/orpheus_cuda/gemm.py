"""Matrix products: Gemm, MatMul and their fused forms; B packed once where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from orpheus_core.geometry.window import Window, shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_cuda.launch import Launch
from orpheus_cuda.product import Product, Sides, forms, pack
from orpheus_cuda.runtime import Tensor, load


class _Matrices:
    """Y [many, M, N] = ACT(alpha A B + beta BIAS + R)."""

    def __init__(self, **how: Any) -> None:
        self.how = how

    def settle(
        self, problem: Problem, sizes: tuple[int, int, int], a: tuple[int, int], b: tuple[int, int], offsets: Array,
        **more: Any,
    ) -> None:  # fmt: skip
        """Sizes M, N, K; strides of A (row, k) and of B (k, column); where each matrix begins."""
        m, n, k = sizes
        self.packed: tuple[int, ...] = ()
        self.b: Tensor | None = None
        b_steps, constant = b[::-1], problem.constants.get(1)
        if constant is not None:
            flat = constant.reshape(-1, k * n)
            rows = flat[:, np.arange(n)[:, None] * b[1] + np.arange(k) * b[0]]
            whole = pack(np.ascontiguousarray(rows))
            b_steps = (whole.shape[-1], 1)
            offsets = offsets.copy()
            offsets[:, 1] = offsets[:, 1] // (k * n) * (n * whole.shape[-1])
            self.b = load(problem.outputs[0].device.index, whole)  # type: ignore[union-attr]
            self.packed = (1,)
        row = Window((1, m), (1, 1), (1, m), (1, 1), (1, 1), (0, 0, 0, 0))
        sides = Sides(
            m, n, k, row, (0, 0, *a), b_steps, (0, n, 1), offsets=offsets, packed=constant is not None, **more
        )
        self.product = Product(problem, sides, **self.how)
        self.workspace = self.product.workspace

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        a, b, bias, r = (*inputs, None, None)[:4]
        (y,) = outputs
        assert y is not None
        return self.product.bind((a, self.b or b, bias, r, None, None), y, None, workspace)


class Gemm(_Matrices):
    """Gemm and FusedGemm."""

    def __init__(self, problem: Problem, **how: Any) -> None:
        super().__init__(**how)
        a, b = (shape_of(t) for t in problem.inputs[:2])
        across, down = (bool(problem.attributes.get(n, 0)) for n in ("transA", "transB"))
        m, k = a[::-1] if across else a
        n = b[0] if down else b[1]
        c = (0, 0)
        if len(problem.inputs) > 2 and problem.inputs[2] is not None:
            rows, columns = (1, 1, *shape_of(problem.inputs[2]))[-2:]
            c = (columns * (rows > 1), int(columns > 1))
        alpha, beta = (float(problem.attributes.get(name, 1.0)) for name in ("alpha", "beta"))
        self.settle(
            problem, (m, n, k), (1, m) if across else (k, 1), (1, k) if down else (n, 1), np.zeros((1, 4), np.int64),
            bias=c, alpha=alpha, beta=beta,
        )  # fmt: skip


class MatMul(_Matrices):
    """MatMul and FusedMatMul: matrices by broadcasting, vectors as matrices of one row or column."""

    def __init__(self, problem: Problem, **how: Any) -> None:
        super().__init__(**how)
        a, b = (shape_of(t) for t in problem.inputs[:2])
        a = (1, *a) if len(a) == 1 else a
        b = (*b, 1) if len(b) == 1 else b
        (m, k), n = a[-2:], b[-1]
        many = np.broadcast_shapes(a[:-2], b[:-2])
        places = [
            np.broadcast_to(np.arange(prod(s[:-2])).reshape(s[:-2]), many).reshape(-1) * size
            for s, size in ((a, m * k), (b, k * n))
        ]
        count = prod(many)
        offsets = np.stack([*places, np.arange(count) * m * n, np.zeros(count)], 1).astype(np.int64)
        if (
            len({*places[1].tolist()}) == 1
            and len(many)
            and np.array_equal(places[0], np.arange(count) * m * k)
        ):
            m, offsets = m * count, offsets[:1]  # all rows meet the same B: one tall product
        self.settle(problem, (m, n, k), (k, 1), (n, 1), offsets)


#: ``prepare`` of each kernel, by the operator and its name.
gemm, matmul = (
    SimpleNamespace(**forms(make, "tiles"), **forms(make, "tf32", tf32=True)) for make in (Gemm, MatMul)
)
