"""What the broadcasting kernels cannot do, in words: ``supports`` functions of manifest_tensors."""

from __future__ import annotations

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_openmp.broadcast import box_rank
from orpheus_openmp.operands import input_shape, output_shape, walkable


def broadcast(problem: Problem) -> str | None:
    """Two tensors or more; Mod as C has it."""
    if len(problem.inputs) < 2:
        return "needs two operands or more"
    if problem.op == "Mod" and not problem.attributes.get("fmod", 0):
        return "needs fmod 1, which is what floats have"
    shapes, y = [input_shape(problem, i) for i in range(len(problem.inputs))], output_shape(problem)
    if problem.op == "PRelu" and shapes[0] != y:
        return "needs a slope that broadcasts to X"
    # The result holds what is joined so far, so it has to be as large as the first two make it.
    if len(shapes) > 2 and problem.op != "Where" and np.broadcast_shapes(*shapes[:2]) != y:
        return "needs the first two operands to span the result"
    return walkable(box_rank(problem))
