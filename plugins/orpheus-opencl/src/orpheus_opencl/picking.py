"""Operators that pick elements: Slice and Expand as strided copies, Gather by a table of indices."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from orpheus_core.geometry.strides import broadcast, contiguous, sliced
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.movement import TYPES, Copy
from orpheus_opencl.runtime import Tensor, load


class _Picked:
    """A single strided copy."""

    def __init__(self, problem: Problem, steps: Sequence[int], first: int) -> None:
        y = shape_of(problem.outputs[0])
        device = problem.outputs[0].device.index  # type: ignore[union-attr]
        self.copy = Copy(device, y, steps, contiguous(y), first, 0)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        return self.copy.bind(x, y, y.queue)


class Slice(_Picked):
    """Starts, ends, axes and steps that are known; steps may be negative."""

    def __init__(self, problem: Problem) -> None:
        first, strides = sliced(problem)
        super().__init__(problem, strides, first)


class Expand(_Picked):
    """To the shape of Y, which is known whether the input that tells it is constant or not."""

    def __init__(self, problem: Problem) -> None:
        x, y = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
        super().__init__(problem, broadcast(x, contiguous(x), len(y)), 0)


class Gather:
    """Along one axis, by indices that are known."""

    def __init__(self, problem: Problem) -> None:
        shape, indices = shape_of(problem.inputs[0]), problem.constants[1]
        axis = int(problem.attributes.get("axis", 0)) % len(shape)
        self.outer, self.size, self.inner = prod(shape[:axis]), shape[axis], prod(shape[axis + 1 :])
        wrapped = np.where(indices < 0, indices + self.size, indices)
        self.count = wrapped.size
        self.table = load(problem.outputs[0].device.index, wrapped.astype(np.int32).reshape(-1))  # type: ignore[union-attr]
        self.packed = (1,)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        size = (self.count, self.outer if y.size else 0)
        options = f"-DTYPE={TYPES[y.dtype.itemsize]}"
        return launch(
            y.queue, "gather.cl", "gather", options, (x, y, self.table.buffer, self.size, self.inner), size
        )
