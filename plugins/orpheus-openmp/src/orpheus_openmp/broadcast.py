"""Operators of several tensors that broadcast in any way; the native side is native/kernels/broadcast.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem, Step
from orpheus_openmp.layer import Layer, checked, raw, seal
from orpheus_openmp.strided import Dimension, View, collapsed, table_of

OPS = {
    "Add": 0, "Sub": 1, "Mul": 2, "Div": 3, "PRelu": 4, "Max": 5, "Min": 6, "Pow": 7, "Mod": 8, "Where": 9, "Equal": 10,
    "Less": 11, "LessOrEqual": 12, "Greater": 13, "GreaterOrEqual": 14, "And": 15, "Or": 16, "Xor": 17, "Sum": 0,
}  # fmt: skip


class Binary(Layer):
    """Two operands; Max, Min and Sum of more take them one after the other."""

    kernel = "broadcast_op"

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """A call for each operand after the first."""
        problem = self.problem
        arrays = [
            checked(a, t, f"{problem.op} input {i}") for i, (a, t) in enumerate(zip(inputs, problem.inputs))
        ]
        y = checked(outputs[0], problem.outputs[0], f"{problem.op} output", written=True)
        logic = arrays[0].dtype == np.bool_
        sides = [raw(a) if logic else a for a in arrays]
        shapes = [a.shape for a in arrays]
        result = {"truth": raw(y)} if y.dtype == np.bool_ else {"y": y}
        first, second = ("left", "right") if logic else ("x", "z")
        made = []
        left, left_shape = sides[0], shapes[0]
        for right, shape in zip(sides[1:], shapes[1:]):
            box = boxed([left_shape, shape], y.shape)
            values = {"op": OPS[problem.op], "rank": len(box), "table": np.array(table_of(box), np.int64)}
            made.append(self.step({first: left, second: right, **result}, **values))
            left, left_shape = y, y.shape
        return made[0] if len(made) == 1 else seal(made)


class Where(Layer):
    """X where the condition holds, else Y."""

    kernel = "broadcast_op"

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One call."""
        problem = self.problem
        condition, x, z = (
            checked(a, t, f"Where input {i}") for i, (a, t) in enumerate(zip(inputs, problem.inputs))
        )
        y = checked(outputs[0], problem.outputs[0], "Where output", written=True)
        box = boxed([x.shape, z.shape, condition.shape], y.shape)
        values = {"op": OPS["Where"], "rank": len(box), "table": np.array(table_of(box), np.int64)}
        return self.step({"x": x, "z": z, "left": raw(condition), "y": y}, **values)


def boxed(shapes: Sequence[Sequence[int]], target: Sequence[int]) -> list[Dimension]:
    """The box of operands of these shapes broadcast to ``target``, and of the result."""
    return collapsed(*(View.of(shape).broadcast(target) for shape in shapes), View.of(target))


def box_rank(problem: Problem) -> int:
    """The dimensions that the operands' box has."""
    return len(boxed([shape_of(t) for t in problem.inputs], shape_of(problem.outputs[0])))
