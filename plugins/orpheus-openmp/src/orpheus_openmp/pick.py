"""Gather, GatherND and GatherElements of indices that come at run time; the native side is native/kernels/pick.cpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem, Step
from orpheus_openmp.layer import Layer, checked, raw
from orpheus_openmp.moves import positive
from orpheus_openmp.strided import Dimension, View, collapsed, table_of


class _Pick(Layer):
    """Binds data, indices and result as bytes. An index outside its axis is a ValueError of the step."""

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One native step."""
        op, types = self.problem.op, self.problem.inputs
        x, indices = (checked(a, t, f"{op} {n}") for a, t, n in zip(inputs, types, ("data", "indices")))
        y = checked(outputs[0], self.problem.outputs[0], f"{op} y", written=True)
        fault = raw(np.zeros(3, np.int64))
        return self.step({"x": raw(x), "indices": raw(indices), "y": raw(y), "fault": fault})

    def _wide(self) -> int:
        return int(self.type_of(1).dtype.itemsize == 8)


class Gather(_Pick):
    """Slices of one axis, each index a slice."""

    kernel = "pick"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        axis = positive(int(problem.attributes.get("axis", 0)), len(shape))
        self.values = {
            "outer": math.prod(shape[:axis]), "count": math.prod(self.input_shape(1)), "positions": shape[axis],
            "piece": math.prod(shape[axis + 1 :]) * self.type_of(0).dtype.itemsize, "depth": 1, "index_step": 0,
            "wide": self._wide(), "table": np.array([shape[axis], 1], np.int64),
        }  # fmt: skip


class GatherND(_Pick):
    """Slices behind the axes that a tuple of indices addresses, in each of the batches."""

    kernel = "pick"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape, indices = self.input_shape(0), self.input_shape(1)
        batch = int(problem.attributes.get("batch_dims", 0))
        axes = shape[batch : batch + indices[-1]]
        count = math.prod(indices[batch:-1])
        strides = [math.prod(axes[i + 1 :]) for i in range(len(axes))]
        self.values = {
            "outer": math.prod(shape[:batch]), "count": count, "positions": math.prod(axes),
            "piece": math.prod(shape[batch + len(axes) :]) * self.type_of(0).dtype.itemsize, "depth": len(axes),
            "index_step": count, "wide": self._wide(), "table": np.array([*axes, *strides], np.int64),
        }  # fmt: skip


class GatherElements(_Pick):
    """The element at the same place, but for the axis, where the index says."""

    kernel = "pick_elements"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        axis = positive(int(problem.attributes.get("axis", 0)), len(shape))
        dimensions = element_box(shape, self.input_shape(1), axis)
        self.values = {
            "rank": len(dimensions), "width": self.type_of(0).dtype.itemsize, "size": shape[axis],
            "step": math.prod(shape[axis + 1 :]), "wide": self._wide(),
            "table": np.array(table_of(dimensions), np.int64),
        }  # fmt: skip


def element_box(shape: Sequence[int], indices: Sequence[int], axis: int) -> list[Dimension]:
    """The box of data without the axis, and of the indices."""
    x = View.of(shape)
    strides = tuple(0 if d == axis else stride for d, stride in enumerate(x.strides))
    return collapsed(View(tuple(indices), strides, 0, x.lists), View.of(indices))
