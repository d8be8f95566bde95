"""Matrix products on plain tensors: Gemm, MatMul and their fused forms; the native side is native/kernels/gemm.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp import epilogue
from orpheus_openmp.layer import Layer


class _Product(Layer):
    """A product whose right factor is packed beforehand where it is constant."""

    kernel = "gemm"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.values = {
            "batch": 1, "a_batch": 0, "b_batch": 0, "trans_a": 0, "trans_b": 0, "packed": 0, "c_rows": 0, "c_cols": 0,
            "alpha": 1.0, "beta": 1.0, **epilogue.of_attributes(problem.attributes),
        }  # fmt: skip

    def _sizes(self, m: int, k: int, n: int) -> None:
        self.values.update(m=m, k=k, n=n, lda=m if self.values["trans_a"] else k)
        panel = self.tile_vectors * self.block
        constant = self.problem.constants.get(1)
        if constant is not None and self.values["b_batch"] == 0:
            self.values["b"] = pack_panels(constant, bool(self.values["trans_b"]), k, n, panel)
            self.values["packed"] = 1
            self.packed = (1,)
        else:
            self.workspace = 4 * self.threads * 4 * k * panel


class Gemm(_Product):
    """Y = activation(alpha * A' B' + beta * C + R), A and B of rank 2."""

    names = ("a", "b", "c", "residual")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        given = problem.attributes
        self.values.update(
            trans_a=int(given.get("transA", 0)), trans_b=int(given.get("transB", 0)),
            alpha=float(given.get("alpha", 1.0)), beta=float(given.get("beta", 1.0)),
        )  # fmt: skip
        m, n = self.output_shape()
        k = self.input_shape(0)[0 if self.values["trans_a"] else 1]
        self._sizes(m, k, n)
        if self.has(2):
            shape = (1, 1, *self.input_shape(2))[-2:]
            self.values.update(c_rows=shape[1] if shape[0] > 1 else 0, c_cols=int(shape[1] > 1))


class MatMul(_Product):
    """Y = activation(A B + bias + R), a batch of products, B shared by all of them or of the same batch as A."""

    names = ("a", "b", "c", "residual")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        a, b = self.input_shape(0), self.input_shape(1)
        m, k, n = (1, *a)[-2], a[-1], b[-1]
        batch = math.prod(a[:-2])
        if len(b) == 2:
            m, batch = m * batch, 1  # one tall product
        self.values.update(batch=batch, a_batch=m * k, b_batch=0 if len(b) == 2 else k * n)
        self._sizes(m, k, n)
        if self.has(2):
            self.values["c_cols"] = 1


def pack_panels(b: Any, transposed: bool, k: int, n: int, panel: int) -> Array:
    """B [k, n] (or its transpose) as [panel][k][width], zeros beyond n."""
    panels = -(-n // panel)
    full = np.zeros((k, panels * panel), np.float32)
    full[:, :n] = np.asarray(b, np.float32).T if transposed else b
    return np.ascontiguousarray(full.reshape(k, panels, panel).swapaxes(0, 1))
