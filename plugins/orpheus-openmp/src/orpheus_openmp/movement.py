"""Reorder, Concat and Softmax: small layers that move or normalise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from orpheus_core.plugin import Problem, Step
from orpheus_openmp.layer import Layer, checked, seal


class Reorder(Layer):
    """Between plain NCHW and NCHWc; native/kernels/reorder.cpp."""

    kernel = "reorder"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        self.values = {
            "n": shape[0], "channels": shape[1], "plane": math.prod(shape[2:]),
            "to_blocked": int(self.type_of(0).layout.block == 1),
        }  # fmt: skip


class Concat(Layer):
    """Concat as one strided copy an input; plain along any axis, blocked where channels begin with their blocks.

    The core replaces it by offsets where what lies before the axis has size one.
    """

    kernel = "copy"

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One native call that fills the output from each input."""
        target = checked(outputs[0], self.problem.outputs[0], "Concat y", written=True)
        axis = int(self.problem.attributes["axis"])
        axis += len(self.output_shape()) if axis < 0 else 0
        outer = math.prod(target.shape[:axis])
        total, offset, steps = target.size // outer, 0, []
        for array, type_ in zip(inputs, self.problem.inputs):
            source = checked(array, type_, "Concat x")
            width = source.size // outer
            values = {"count": outer, "width": width, "x_stride": width, "y_stride": total}
            steps.append(self.step({"x": source, "y": target.reshape(-1)[offset:]}, **values))
            offset += width
        return seal(steps)


class Softmax(Layer):
    """Softmax and LogSoftmax over one axis; native/kernels/softmax.cpp."""

    kernel = "softmax"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        axis = int(problem.attributes.get("axis", -1))
        axis += len(shape) if axis < 0 else 0
        self.values = {
            "outer": math.prod(shape[:axis]), "size": shape[axis], "inner": math.prod(shape[axis + 1 :]),
            "log": int(problem.op == "LogSoftmax"),
        }  # fmt: skip
