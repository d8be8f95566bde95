"""Reductions over any axes."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from orpheus_core.geometry.strides import contiguous, merged
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Tensor, load

#: Where a sum starts, how an element and how another sum enter it, what is made of it in the end.
FORMS = {
    "ReduceSum": ("0.0f", "s + x", "s + x", "s"),
    "ReduceMean": ("0.0f", "s + x", "s + x", "s / n"),
    "ReduceMax": ("-INFINITY", "(isnan(x) || x > s ? x : s)", "(isnan(x) || x > s ? x : s)", "s"),
    "ReduceMin": ("INFINITY", "(isnan(x) || x < s ? x : s)", "(isnan(x) || x < s ? x : s)", "s"),
    "ReduceL1": ("0.0f", "s + fabs(x)", "s + x", "s"),
    "ReduceL2": ("0.0f", "s + x * x", "s + x", "sqrt(s)"),
    "ReduceSumSquare": ("0.0f", "s + x * x", "s + x", "s"),
}


def axes_of(problem: Problem) -> tuple[int, ...]:
    """The reduced axes, from 0; those of an older opset are an attribute, those of a newer one an input."""
    rank = len(shape_of(problem.inputs[0]))
    given = problem.constants[1].tolist() if 1 in problem.constants else problem.attributes.get("axes") or ()
    if not given:
        return () if problem.attributes.get("noop_with_empty_axes") else tuple(range(rank))
    return tuple(sorted({axis % rank for axis in given}))


class Reduce:
    """The operators of :data:`FORMS`."""

    def __init__(self, problem: Problem) -> None:
        shape, axes = shape_of(problem.inputs[0]), axes_of(problem)
        steps = contiguous(shape)
        kept = [a for a in range(len(shape)) if a not in axes]
        outer, inner = (
            merged([shape[a] for a in some], [[steps[a] for a in some]]) for some in (kept, list(axes))
        )
        start, step, join, end = FORMS[problem.op]
        self.source = (
            f"reduce.cl\n#define START ({start})\n#define STEP(s, x) ({step})\n#define JOIN(s, x) ({join})\n"
            f"#define END(s, n) ({end})\n"
        )
        self.options = f"-DOUTER={len(outer[0])} -DINNER={len(inner[0])}"
        numbers = [*outer[0], *outer[1][0], *inner[0], *inner[1][0]]
        self.table = load(problem.outputs[0].device.index, np.array(numbers, np.int32))  # type: ignore[union-attr]
        self.count = prod(outer[0])

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        return launch(y.queue, self.source, "reduce", self.options, (x, y, self.table.buffer), (self.count,))
