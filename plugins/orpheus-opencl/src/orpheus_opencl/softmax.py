"""Softmax and LogSoftmax along one axis."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Tensor


class Softmax:
    """Of opset 13 and newer."""

    def __init__(self, problem: Problem) -> None:
        shape = shape_of(problem.inputs[0])
        axis = int(problem.attributes.get("axis", -1)) % max(len(shape), 1)
        self.length, self.inner = (shape or (1,))[axis], prod(shape[axis + 1 :])
        self.options = "-DLOG" if problem.op == "LogSoftmax" else ""

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        size = (y.size // self.length if y.size else 0,)
        return launch(y.queue, "softmax.cl", "softmax", self.options, (x, y, self.length, self.inner), size)
