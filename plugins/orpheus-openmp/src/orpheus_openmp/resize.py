"""Resize, plain and NCHWc: nearest by moves, linear and cubic by native/kernels/resize.cpp."""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.geometry.sampling import kept, resampled
from orpheus_core.plugin import Problem
from orpheus_openmp.layer import Layer
from orpheus_openmp.moves import Move


def resize(problem: Problem) -> Layer:
    """The layer for the node's mode."""
    return Move(problem) if problem.attributes["mode"] == "nearest" else Resize(problem)


class Resize(Layer):
    """Two neighbouring axes, one of which may be as it was."""

    kernel = "resize"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        blocked = self.type_of(0).layout.block > 1
        shape = list(self.input_shape(0))
        axes = resampled(problem)
        right = max(axes, default=len(shape) - 1)
        left = right - 1 if right and not (blocked and right == 2) else right
        if left == right:  # one axis alone: a single column
            inner = shape[right + 1 :]
            outer, depth, sizes = shape[:right], math.prod(inner), (shape[right], 1)
            order: tuple[int, int | None] = (right, None)
        else:
            outer, depth = shape[:left], math.prod(shape[right + 1 :])
            sizes = (shape[left], shape[right])
            order = (left, right)
        if blocked:
            outer = [outer[0], -(-outer[1] // self.block), *outer[2:]]
            depth *= self.block
        found = []
        for axis, size in zip(order, sizes):
            places, weights = (axes.get(axis) if axis is not None else None) or kept(size)
            weights = np.ones(places.shape) if weights is None else weights
            found.append((np.ascontiguousarray(places.T), np.ascontiguousarray(weights.T, np.float32)))
        (rows, row_weights), (columns, column_weights) = found
        self.values = {
            "outer": math.prod(outer), "in_h": sizes[0], "in_w": sizes[1], "depth": depth,
            "out_h": rows.shape[1], "out_w": columns.shape[1], "taps_h": rows.shape[0], "taps_w": columns.shape[0],
            "rows": rows, "columns": columns, "row_weights": row_weights, "column_weights": column_weights,
        }  # fmt: skip
        self.workspace = 4 * self.threads * sizes[1] * depth
        self.packed = tuple(i for i in (1, 2, 3) if i in problem.constants)
