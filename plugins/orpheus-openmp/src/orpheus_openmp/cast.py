"""Cast and CastLike between the types that processors compute with; the native side is native/kernels/cast.cpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from orpheus_core.plugin import Problem, Step
from orpheus_core.types import TensorType
from orpheus_openmp.layer import Layer, checked, raw

#: In the order in which the native side lists them.
TYPES = (
    "float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool", "float16",
    "bfloat16",
)  # fmt: skip


class Cast(Layer):
    """Every element by itself; the second input of CastLike is not read."""

    kernel = "cast"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        target = problem.outputs[0]
        assert isinstance(target, TensorType)
        self.values = {
            "count": math.prod(self.input_shape(0)), "from": TYPES.index(self.type_of(0).dtype.value),
            "to": TYPES.index(target.dtype.value),
        }  # fmt: skip

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One native step."""
        x = checked(inputs[0], self.problem.inputs[0], f"{self.problem.op} x")
        y = checked(outputs[0], self.problem.outputs[0], f"{self.problem.op} y", written=True)
        return self.step({"x": raw(x), "y": raw(y)})
