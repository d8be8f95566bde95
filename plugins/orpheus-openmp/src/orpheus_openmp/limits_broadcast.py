"""What the broadcasting kernels cannot do, in words: ``supports`` functions of manifest_tensors."""

from __future__ import annotations

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_openmp.broadcast import box_rank
from orpheus_openmp.operands import walkable


def broadcast(problem: Problem) -> str | None:
    """Two tensors or more; Mod as C has it."""
    if len(problem.inputs) < 2:
        return "needs two operands or more"
    for type_ in (*problem.inputs, *problem.outputs):
        if not isinstance(type_, TensorType) or type_.static_shape is None:
            return f"needs tensors of known shape, has {type_}"
        if type_.dtype.value not in ("float32", "bool"):
            return f"needs float32 or bool tensors, has {type_}"
    if problem.op == "Mod" and not problem.attributes.get("fmod", 0):
        return "needs fmod 1, which is what floats have"
    if len({t.dtype for t in problem.inputs[-2:] if isinstance(t, TensorType)}) > 1:
        return "needs operands of one element type"
    y = problem.outputs[0]
    assert isinstance(y, TensorType)
    if problem.op == "PRelu":
        x = problem.inputs[0]
        if isinstance(x, TensorType) and x.static_shape != y.static_shape:
            return "needs a slope that broadcasts to X"
    if len(problem.inputs) > 2 and problem.op != "Where":
        # The result holds what is joined so far, so it has to be as large as the first two make it.
        first = [
            t.static_shape
            for t in problem.inputs[:2]
            if isinstance(t, TensorType) and t.static_shape is not None
        ]
        if np.broadcast_shapes(*first) != y.static_shape:
            return "needs the first two operands to span the result"
    return walkable(box_rank(problem))
