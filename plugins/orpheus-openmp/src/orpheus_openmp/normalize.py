"""LayerNormalization and its kin on plain tensors; the native side is native/kernels/normalize.cpp."""

from __future__ import annotations

import math
from typing import Any

from orpheus_core.plugin import Problem
from orpheus_openmp.layer import Layer
from orpheus_openmp.moves import positive
from orpheus_openmp.operands import input_shape


class _Normalize(Layer):
    kernel = "normalize"
    names: tuple[str | None, ...] = ("x", "scale", "shift")

    def _set(self, rows: int, size: int, *, plane: int = 0, groups: int = 1, rms: int = 0) -> None:
        self.values: dict[str, Any] = {
            "rows": rows, "size": size, "rms": rms, "plane": plane, "groups": groups,
            "epsilon": float(self.problem.attributes.get("epsilon", 1e-5)),
        }  # fmt: skip


class LayerNorm(_Normalize):
    """The last axes, with a scale and a shift an element; the mean and 1 / deviation of each row where wanted."""

    results = ("y", "mean", "inverse")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        rows, size = split_at_axis(problem)
        self._set(rows, size)


class RmsNorm(_Normalize):
    """The last axes, divided by the root of their mean square."""

    names = ("x", "scale")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        rows, size = split_at_axis(problem)
        self._set(rows, size, rms=1)


class InstanceNorm(_Normalize):
    """Every channel of every image."""

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        plane = math.prod(shape[2:])
        self._set(shape[0] * shape[1], plane, plane=plane, groups=shape[1])


class GroupNorm(_Normalize):
    """Groups of channels of every image, with a scale and a shift a channel."""

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        groups, plane = int(problem.attributes["num_groups"]), math.prod(shape[2:])
        self._set(shape[0] * groups, shape[1] // groups * plane, plane=plane, groups=groups)


def split_at_axis(problem: Problem) -> tuple[int, int]:
    """(rows, elements of a row) of an operator that normalises from ``axis`` on."""
    shape = input_shape(problem)
    axis = positive(int(problem.attributes.get("axis", -1)), len(shape))
    return math.prod(shape[:axis]), math.prod(shape[axis:])
