"""Matrix products on plain tensors: Gemm, MatMul and their fused forms; the native side is native/kernels/gemm.cpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem, Step
from orpheus_openmp import epilogue
from orpheus_openmp.layer import Layer, seal


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
        if constant is not None and constant.ndim == 2:
            self.values["b"] = self.packer.panels(constant, bool(self.values["trans_b"]), k, n)
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
    """Y = activation(A B + bias + R), a batch of products; the batches of A and B broadcast."""

    names = ("a", "b", "c", "residual")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        a, b = self.input_shape(0), self.input_shape(1)
        m, k, n = (1, *a)[-2], a[-1], b[-1]
        if len(b) == 2:
            m *= math.prod(a[:-2])  # one tall product
        self.runs = [Run(0, 1, 0, 0, 0, 0)] if len(b) == 2 else batch_runs(a[:-2], b[:-2])
        self.values.update(batch=self.runs[0].count, a_batch=m * k, b_batch=0 if len(b) == 2 else k * n)
        self._sizes(m, k, n)
        if self.has(2):
            self.values["c_cols"] = 1

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """A call for each run of the batch along which both operands advance evenly; most often there is one."""
        bound = self.arrays(inputs, outputs, workspace)
        sizes = {"a": self.values["m"] * self.values["k"], "b": self.values["k"] * self.values["n"]}
        sizes["y"] = sizes["residual"] = self.values["m"] * self.values["n"]
        made = []
        for run in self.runs:
            starts = {"a": run.a, "b": run.b, "y": run.start, "residual": run.start}
            parts = {
                name: array if name not in starts or len(self.runs) == 1
                else array.reshape(-1)[starts[name] * sizes[name] :]
                for name, array in bound.items()
            }  # fmt: skip
            values: dict[str, Any] = {}
            if len(self.input_shape(1)) > 2:
                steps = {"a_batch": run.a_step * sizes["a"], "b_batch": run.b_step * sizes["b"]}
                values = {"batch": run.count, **steps}
            made.append(self.step(parts, **values))
        return made[0] if len(made) == 1 else seal(made)


@dataclass(frozen=True)
class Run:
    """Products ``start`` to ``start + count`` of a batch, from matrix ``a`` and ``b`` on by the given steps."""

    start: int
    count: int
    a: int
    b: int
    a_step: int
    b_step: int


def batch_runs(a: Sequence[int], b: Sequence[int]) -> list[Run]:
    """The fewest runs of a broadcast batch along which the matrices of both operands advance evenly."""
    shape = np.broadcast_shapes(tuple(a), tuple(b))
    left, right = (
        np.broadcast_to(np.arange(math.prod(side)).reshape(side), shape).reshape(-1).tolist()
        for side in (a, b)
    )
    runs, start = [], 0
    while start < len(left):
        end = start + 1
        steps = (0, 0)
        if end < len(left):
            steps = (left[end] - left[start], right[end] - right[start])
            steps = steps if min(steps) >= 0 else (0, 0)
        while end < len(left) and (left[end] - left[end - 1], right[end] - right[end - 1]) == steps != (0, 0):
            end += 1
        runs.append(Run(start, end - start, left[start], right[start], *steps))
        start = end
    return runs
