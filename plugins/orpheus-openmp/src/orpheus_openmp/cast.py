"""Cast between the types that processors compute with; the native side is native/kernels/cast.cpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from orpheus_core.plugin import Problem, Step
from orpheus_core.types import TensorType
from orpheus_openmp.layer import Layer, checked, raw
from orpheus_openmp.manifest_more import NUMBERS


class Cast(Layer):
    """Every element by itself."""

    kernel = "cast"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        target = problem.outputs[0]
        assert isinstance(target, TensorType)
        self.values = {
            "count": math.prod(self.input_shape(0)), "from": NUMBERS.index(self.type_of(0).dtype.value),
            "to": NUMBERS.index(target.dtype.value),
        }  # fmt: skip

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One native step."""
        x = checked(inputs[0], self.problem.inputs[0], f"{self.problem.op} x")
        y = checked(outputs[0], self.problem.outputs[0], f"{self.problem.op} y", written=True)
        return self.step({"x": raw(x), "y": raw(y)})
