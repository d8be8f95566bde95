"""Convolutions and products of bytes on tensor cores, summed exactly: ConvInteger, MatMulInteger, QLinear-.

With zero points za and 0, sum (a - za) b is sum a b, less za sum b, which joins the bias; outside X lies za. Weights of
uint8 around 128 become int8 around 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_cuda.conv import steps
from orpheus_cuda.expressions import TYPES
from orpheus_cuda.launch import Launch
from orpheus_cuda.operands import AT
from orpheus_cuda.product import Product, Sides, forms, pack
from orpheus_cuda.runtime import Tensor, load


class _Integers:
    """What convolutions and products share."""

    choice: int

    def value(self, problem: Problem, name: str, default: float = 0) -> Array:
        """A constant operand, of one element or one for each filter."""
        found: Array = np.asarray(problem.constants.get(AT[problem.op].get(name, -1), default)).reshape(-1)
        return found

    def settle(self, problem: Problem, rows: Array, sides: Sides) -> None:
        """``rows``: weights [filters, depth], as they come. The strides of ``sides`` for them are set here."""
        element: Any = problem.inputs[0].dtype  # type: ignore[union-attr]
        target: Any = problem.outputs[0]
        index = target.device.index
        signed = rows.astype(np.int32) - (128 if rows.dtype == np.uint8 else 0)
        zero = int(self.value(problem, "x_zero")[0])
        whole = pack(np.ascontiguousarray(signed.astype(np.int8)))
        self.packed = tuple(sorted(problem.constants))
        self.w = load(index, whole)
        bias = self.value(problem, "bias").astype(np.int64) - zero * signed.sum(1, dtype=np.int64)
        self.bias = load(index, bias.astype(np.int32))  # sums of 32 bits wrap around, and so may this
        self.scale: Tensor | None = None
        sides.w, sides.packed = (whole.shape[1], 1), True
        sides.offsets[:, 1] *= whole.shape[1]
        self.product = Product(problem, sides, element=element, choice=self.choice)
        words = self.product.words
        words.update(SUM="i32", TB="i32", TS="float", TO=TYPES[target.dtype.value], FINISH="total")
        if zero and any(sides.window.pads):
            words["FILL"] = zero
        if "y_scale" in AT[problem.op]:
            factor = self.value(problem, "x_scale").astype(np.float64) * self.value(problem, "w_scale")
            factor = factor / self.value(problem, "y_scale")
            self.scale = load(index, np.broadcast_to(factor, len(rows)).astype(np.float32))
            ends = np.iinfo(target.dtype.numpy)
            sides.beta = float(self.value(problem, "y_zero")[0])
            self.product.parameters = [np.float32(ends.min), np.float32(ends.max)]
            words["FINISH"] = "clipped(rint((float)total * by) + beta, p0, p1)"
        self.workspace = self.product.workspace

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        (y,) = outputs
        assert y is not None
        return self.product.bind((inputs[0], self.w, self.bias, None, self.scale, None), y, None, workspace)


class Conv(_Integers):
    """QLinearConv and ConvInteger: any window, stride, dilation and groups."""

    def __init__(self, problem: Problem, *, choice: int = 0) -> None:
        self.choice = choice
        x, y = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
        w = problem.constants[AT[problem.op]["w"]]
        groups = int(problem.attributes.get("group", 1))
        filters, depth = w.shape[0] // groups, w.shape[1]
        xn, xc, xh, xw = steps(problem.inputs[0])
        yn, yc, _, yp = steps(problem.outputs[0])
        group = np.arange(groups, dtype=np.int64)
        rows = np.moveaxis(w, 1, -1).reshape(w.shape[0], -1)
        places = np.stack([group * depth * xc, group * filters, group * filters * yc, group * filters], 1)
        self.settle(problem, rows, Sides(
            x[0] * prod(y[2:]), filters, depth, window(problem, w.shape[2:]), (xn, xh, xw, xc), (0, 1), (yn, yp, yc),
            offsets=places,
        ))  # fmt: skip


class MatMul(_Integers):
    """QLinearMatMul and MatMulInteger by one matrix."""

    def __init__(self, problem: Problem, *, choice: int = 0) -> None:
        self.choice = choice
        b = problem.constants[AT[problem.op]["w"]]
        k, n = b.shape
        m = prod(shape_of(problem.outputs[0])) // n
        row = Window((1, m), (1, 1), (1, m), (1, 1), (1, 1), (0, 0, 0, 0))
        self.settle(problem, b.T, Sides(m, n, k, row, (0, 0, k, 1), (0, 1), (0, n, 1)))


#: ``prepare`` of each kernel, by the operator and its name.
conv, matmul = (SimpleNamespace(**forms(make, "tiles")) for make in (Conv, MatMul))
