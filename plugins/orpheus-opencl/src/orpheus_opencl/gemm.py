"""Matrix products: B in panels, packed once where it is known, by a kernel of its own where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any

import numpy as np

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_opencl.device import opened
from orpheus_opencl.expressions import act, pair
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Tensor, load
from orpheus_opencl.tiles import BLOCK, lanes


class _Product:
    """Y [batches, M, N] = ACT(alpha * A B + beta * C + bias + R), A and B by strides."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.device: int = problem.outputs[0].device.index  # type: ignore[union-attr]
        self.lanes = lanes(opened(self.device))
        name = str(problem.attributes.get("activation", ""))
        self.source = f"gemm.cl\n{act(name)}"
        self.parameters = pair(problem.attributes.get("activation_params", ()))
        self.alpha, self.beta = (np.float32(problem.attributes.get(n, 1.0)) for n in ("alpha", "beta"))
        self.crow = self.ccolumn = 0
        self.arow, self.acolumn, self.brow, self.bcolumn = 0, 0, 0, 0
        self.m = self.n = self.k = 0
        self.many: tuple[int, ...] = ()
        self.a_index: Array = np.zeros(1, np.int32)
        self.b_index: Array = np.zeros(1, np.int32)

    def settle(self) -> None:
        """What follows once sizes and strides are known: tables, panels, workspace."""
        panels = ceil(self.n / BLOCK)
        self.table = load(self.device, np.stack([self.a_index, self.b_index], -1).astype(np.int32))
        self.matrices = int(self.b_index.max(initial=0)) + 1
        constant = self.problem.constants.get(1)
        self.packed: tuple[int, ...] = ()
        self.workspace = 0
        self.known: Tensor | None = None
        if constant is not None:
            whole = np.zeros((self.matrices, self.k, panels * BLOCK), constant.dtype)
            whole[..., : self.n] = self._matrices(constant)
            cut = whole.reshape(self.matrices, self.k, panels, BLOCK).swapaxes(1, 2)
            self.known = load(self.device, np.ascontiguousarray(cut))
            self.packed = (1,)
        else:
            each = self.problem.outputs[0].dtype.itemsize  # type: ignore[union-attr]
            self.workspace = self.matrices * self.k * panels * BLOCK * each

    def _matrices(self, b: Array) -> Array:
        """B as [matrices, K, N]."""
        flat = b.reshape(self.matrices, -1)
        index = np.arange(self.k)[:, None] * self.brow + np.arange(self.n) * self.bcolumn
        found: Array = flat[:, index]
        return found

    def go(
        self, a: Tensor, b: Tensor | None, y: Tensor, workspace: Tensor | None, extra: Sequence[Tensor | None]
    ) -> Launch:
        """The launches; ``extra``: C, bias and residual."""
        first, panels = Launch(y.queue, ()), ceil(self.n / BLOCK)
        packed = self.known
        if packed is None:
            assert b is not None
            packed = (workspace or y).part(0, (0,), b.dtype)
            longs = [np.int64(v) for v in (self.brow, self.bcolumn, self.k * self.n)]
            first = launch(
                y.queue, "panels.cl", "panels", "", (b, packed, self.k, self.n, *longs), (self.k, panels, self.matrices)
            )  # fmt: skip
        rows = min(self.m, 8)
        options = f"-DV={self.lanes} -DMT={rows} -DKT={max(1, 8 // rows)}"
        longs = [np.int64(v) for v in (self.arow, self.acolumn, self.crow, self.ccolumn)]
        arguments: list[Any] = [a, packed, *extra, y, self.table.buffer, self.m, self.n, self.k, *longs]
        size = (panels * BLOCK // self.lanes, ceil(self.m / max(rows, 1)), prod(self.many))
        arguments += [self.alpha, self.beta, *self.parameters]
        return first.then(launch(y.queue, self.source, "gemm", options, arguments, size))


class Gemm(_Product):
    """Gemm and FusedGemm."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        a, b = (shape_of(t) for t in problem.inputs[:2])
        across, down = (bool(problem.attributes.get(n, 0)) for n in ("transA", "transB"))
        self.m, self.k = a[::-1] if across else a
        self.n = b[0] if down else b[1]
        self.arow, self.acolumn = (1, self.m) if across else (self.k, 1)
        self.brow, self.bcolumn = (1, self.k) if down else (self.n, 1)
        if len(problem.inputs) > 2 and problem.inputs[2] is not None:
            rows, columns = (1, 1, *shape_of(problem.inputs[2]))[-2:]
            self.crow, self.ccolumn = columns * (rows > 1), int(columns > 1)
        self.settle()

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch, or two where B is packed at run time."""
        a, b, c, r = (*inputs, None, None)[:4]
        assert a is not None and outputs[0] is not None
        return self.go(a, b, outputs[0], workspace, (c, None, r))


class MatMul(_Product):
    """MatMul and FusedMatMul: matrices by broadcasting, vectors as matrices of one row or column."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        a, b = (shape_of(t) for t in problem.inputs[:2])
        a = (1, *a) if len(a) == 1 else a
        b = (*b, 1) if len(b) == 1 else b
        (self.m, self.k), self.n = a[-2:], b[-1]
        self.arow, self.acolumn, self.brow, self.bcolumn = self.k, 1, self.n, 1
        self.many = np.broadcast_shapes(a[:-2], b[:-2])
        self.a_index, self.b_index = (
            np.broadcast_to(np.arange(prod(s[:-2])).reshape(s[:-2]), self.many).reshape(-1) for s in (a, b)
        )
        self.settle()

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch, or two where B is packed at run time."""
        a, b, bias, r = (*inputs, None, None)[:4]
        assert a is not None and outputs[0] is not None
        return self.go(a, b, outputs[0], workspace, (None, bias, r))
