"""ArgMax, ArgMin and TopK; the native side is native/kernels/search.cpp."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from orpheus_core.plugin import Problem, Step
from orpheus_openmp.layer import Layer, checked, raw
from orpheus_openmp.moves import positive


class _Search(Layer):
    """x [outer, size, inner]."""

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        default = -1 if problem.op == "TopK" else 0
        axis = positive(int(problem.attributes.get("axis", default)), len(shape))
        self.values = {
            "outer": math.prod(shape[:axis]), "size": shape[axis], "inner": math.prod(shape[axis + 1 :]),
        }  # fmt: skip


class Extreme(_Search):
    """ArgMax and ArgMin; the first or the last of equal elements."""

    kernel = "extreme"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        last = int(problem.attributes.get("select_last_index", 0))
        self.values.update(smallest=int(problem.op == "ArgMin"), last=last)

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One native step."""
        x = checked(inputs[0], self.problem.inputs[0], f"{self.problem.op} x")
        y = checked(outputs[0], self.problem.outputs[0], f"{self.problem.op} y", written=True)
        return self.step({"x": x, "y": raw(y)})


class TopK(_Search):
    """The first elements of an axis in order, and their places; either may be left out."""

    kernel = "top_k"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.wanted = wanted(problem)
        self.values.update(wanted=self.wanted, largest=int(problem.attributes.get("largest", 1)))
        self.packed = (1,)
        self.workspace = 8 * self.threads * self.wanted

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One native step."""
        bound = self.arrays(inputs[:1], (), workspace)
        for name, array, type_ in zip(("y", "indices"), outputs, self.problem.outputs):
            if array is not None:
                found = checked(array, type_, f"TopK {name}", written=True)
                bound[name] = raw(found) if name == "indices" else found
        return self.step(bound)


def wanted(problem: Problem) -> int:
    """K, which is a constant."""
    return int(problem.constants[1].reshape(()))
