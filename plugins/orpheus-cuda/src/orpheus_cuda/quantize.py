"""QuantizeLinear and DequantizeLinear, a scale for the tensor or along an axis: elementwise, so chains take them in.

DynamicQuantizeLinear, whose scale is the tensor's own: a kernel for the range, and one for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_cuda.elementwise import Elementwise, over
from orpheus_cuda.launch import THREADS, Launch, blocks, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor

_RATIO = "rint(x / y)"
#: Elements that a thread quantizes, for each of which it joins a share of the ranges; and blocks that find those.
_EACH, _MOST_PARTS = 8, 256


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


class Dynamic:
    """DynamicQuantizeLinear; see cu/dynamic.cu."""

    def __init__(self, problem: Problem) -> None:
        self.count = prod(shape_of(problem.inputs[0]))
        self.parts = min(max(blocks(self.count, THREADS * _EACH), 1), _MOST_PARTS)
        self.workspace = 8 * self.parts
        self.source = define("dynamic.cu", THREADS=THREADS, EACH=_EACH)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """Two launches, the second of which waits for the first."""
        (x,), (y, scale, zero) = inputs, (*outputs, None, None)[:3]
        at = next(t for t in (y, scale, zero) if t is not None)
        assert workspace is not None
        ends, count = workspace.part(0, (2 * self.parts,)), np.int64(self.count)
        given = (x, ends, y, scale, zero, count if y is not None else np.int64(0), self.parts)
        grid = (max(blocks(self.count, THREADS * _EACH), 1),) if y is not None else (1,)
        return launch(at, self.source, "range", (x, ends, count), (self.parts,)).then(
            launch(at, self.source, "quantize", given, grid)
        )
