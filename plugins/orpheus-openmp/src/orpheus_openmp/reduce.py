"""Reductions, plain and NCHWc; the native side is native/kernels/reduce.cpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem, Step
from orpheus_openmp.layer import Layer, seal
from orpheus_openmp.moves import numbers, positive
from orpheus_openmp.operands import input_shape
from orpheus_openmp.strided import Dimension, View, collapsed, table_of

OPS = {
    "ReduceSum": 0, "ReduceMean": 1, "ReduceProd": 2, "ReduceMax": 3, "ReduceMin": 4, "ReduceL1": 5, "ReduceL2": 6,
    "ReduceSumSquare": 7, "ReduceLogSum": 8, "ReduceLogSumExp": 9,
}  # fmt: skip


class Reduce(Layer):
    """Any axes; LogSumExp takes the maximum first."""

    kernel = "reduce"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        axes = reduced_axes(problem)
        memory = View.of(self.type_of(0).layout.physical_shape(shape))
        kept, reduced = boxes(memory, axes)
        self.values = {
            "op": OPS[problem.op], "kept": len(kept), "reduced": len(reduced), "beside": int(kept[-1].strides[0] == 1),
            "count": float(math.prod(shape[a] for a in axes)),
            "table": np.array(table_of(kept) + table_of(reduced), np.int64),
        }  # fmt: skip
        self.packed = (1,) if 1 in problem.constants else ()

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One step, or two where the maximum comes first."""
        bound = self.arrays(inputs, outputs, workspace)
        if self.problem.op != "ReduceLogSumExp":
            return self.step(bound)
        return seal([self.step(bound, op=OPS[op]) for op in ("ReduceMax", "ReduceLogSumExp")])


def boxes(memory: View, axes: Sequence[int]) -> tuple[list[Dimension], list[Dimension]]:
    """The kept dimensions of x and y, and the reduced ones of x, as few as can be."""
    rank = len(memory.sizes)
    rest = [d for d in range(rank) if d not in axes]
    kept, reduced = memory.permuted(rest), memory.permuted(axes)
    target = View.of(kept.sizes)
    alone = Dimension(1, (0, 1))  # a single result
    if any(size > 1 for size in kept.sizes):
        found = collapsed(kept, target)
    else:
        found = [alone]
    terms = collapsed(reduced) if any(size > 1 for size in reduced.sizes) else [Dimension(1, (0,))]
    return found, terms


def reduced_axes(problem: Problem) -> list[int]:
    """The axes, in order; all where none are given."""
    rank = len(input_shape(problem))
    given = numbers(problem, 1)
    if not given:
        return [] if problem.attributes.get("noop_with_empty_axes", 0) else list(range(rank))
    return sorted({positive(axis, rank) for axis in given})
