"""Elementwise operators of one and two tensors, with ONNX's broadcasting; the expression makes the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

import numpy as np

from orpheus_core.geometry.strides import broadcast, contiguous, merged
from orpheus_core.geometry.window import shape_of
from orpheus_core.ops.activations import ACTIVATIONS
from orpheus_core.plugin import Problem
from orpheus_opencl.device import opened
from orpheus_opencl.expressions import BINARY, pair, unary
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Tensor, load
from orpheus_opencl.tiles import lanes

RUN = 64


class Unary:
    """Activations and elementary functions, in any layout that they keep the zeros of."""

    def __init__(self, problem: Problem) -> None:
        device = opened(problem.outputs[0].device.index)  # type: ignore[union-attr]
        self.source = f"elementwise.cl\n#define EXPR(x) {unary(problem.op)}"
        self.parameters = pair(parameters(problem))
        self.options = f"-DUNARY -DV={lanes(device)}"

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        count = (ceil(y.size / RUN),)
        return launch(
            y.queue, self.source, "flat", self.options, (x, y, np.int64(y.size), *self.parameters), count
        )


def parameters(problem: Problem) -> tuple[float, ...]:
    """An activation's parameters, in the order of ops.activations; those of Clip are inputs."""
    if problem.op == "Clip":
        given = problem.constants
        ends = enumerate((-np.inf, np.inf), 1)
        return tuple(float(given[i].reshape(())) if i in given else end for i, end in ends)
    return tuple(float(problem.attributes[name]) for name in ACTIVATIONS.get(problem.op, ()))


class Cast:
    """Between float32 and float16, in any layout."""

    def __init__(self, problem: Problem) -> None:
        device = opened(problem.outputs[0].device.index)  # type: ignore[union-attr]
        self.name = f"to_{problem.outputs[0].dtype}"  # type: ignore[union-attr]
        self.options = f"-DV={lanes(device)}"

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        count = (ceil(y.size / RUN),)
        return launch(y.queue, "cast.cl", self.name, self.options, (x, y, np.int64(y.size)), count)


class Binary:
    """Add, Sub, Mul, Div, PRelu."""

    def __init__(self, problem: Problem) -> None:
        self.device = problem.outputs[0].device.index  # type: ignore[union-attr]
        self.source = f"elementwise.cl\n#define EXPR(a, b) ({BINARY[problem.op]})"
        self.options = f"-DV={lanes(opened(self.device))}"
        a, b, y = (shape_of(t) for t in (*problem.inputs[:2], problem.outputs[0]))
        self.strides = tuple(int(prod(s) == prod(y)) for s in (a, b))
        self.table: Tensor | None = None
        if any(prod(s) not in (1, prod(y)) for s in (a, b)):
            sizes, steps = merged(y, [broadcast(s, contiguous(s), len(y)) for s in (a, b)])
            self.runs, self.axes = prod(sizes[:-1]), len(sizes)
            self.table = load(self.device, np.array([sizes, *steps], np.int32))

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        (a, b), y = inputs[:2], outputs[0]
        assert y is not None
        if self.table is not None:
            options = f"{self.options} -DAXES={self.axes}"
            size = (self.runs if y.size else 0,)
            return launch(y.queue, self.source, "broadcast", options, (a, b, y, self.table.buffer), size)
        arguments = (a, b, y, np.int64(y.size), *self.strides)
        options = f"{self.options} -DAXES=1"
        return launch(y.queue, self.source, "flat", options, arguments, (ceil(y.size / RUN),))
