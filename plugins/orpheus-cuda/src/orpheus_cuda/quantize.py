"""QuantizeLinear and DequantizeLinear, a scale for the tensor or along an axis: elementwise, so chains take them in."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_cuda.elementwise import Elementwise, over

_RATIO = "rint(x / y)"


def quantize(problem: Problem) -> Elementwise:
    """The nearest even integer of x / scale, plus the zero point, saturated. What is no number becomes the least."""
    target = problem.outputs[0]
    assert isinstance(target, TensorType)
    ends = np.iinfo(target.dtype.numpy)
    value = f"({_RATIO} + z)" if len(_given(problem)) == 3 else _RATIO
    clipped = f"!({value} > p0) ? p0 : {value} > p1 ? p1 : {value}"
    return _spread(problem, clipped, (float(ends.min), float(ends.max)))


def dequantize(problem: Problem) -> Elementwise:
    """(x - zero point) * scale."""
    return _spread(problem, "(x - z) * y" if len(_given(problem)) == 3 else "x * y")


def _given(problem: Problem) -> list[TensorType]:
    return [t for t in problem.inputs if isinstance(t, TensorType)]


def _spread(problem: Problem, expression: str, parameters: tuple[float, ...] = ()) -> Elementwise:
    """Scales and zero points lie along an axis, or are one."""
    x, *others = _given(problem)
    rank = len(shape_of(x))
    axis = int(problem.attributes.get("axis", 1))
    rest = (1,) * (rank - 1 - axis % rank) if rank else ()
    wide = [t.with_shape(() if t.size == 1 else (*shape_of(t), *rest)) for t in others]
    made = over(replace(problem, inputs=(x, *wide)), expression, parameters)
    made.words["COMPUTE"] = "float"
    return made
