"""Pools in NCHW16c, whole planes among them."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_opencl.device import opened
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Tensor
from orpheus_opencl.tiles import lanes


class Pool:
    """MaxPool, AveragePool, GlobalMaxPool, GlobalAveragePool."""

    def __init__(self, problem: Problem) -> None:
        size = problem.attributes.get("kernel_shape") or shape_of(problem.inputs[0])[2:]
        self.window: Window = window(problem, tuple(size))
        device = opened(problem.outputs[0].device.index)  # type: ignore[union-attr]
        self.lanes = lanes(device)
        # A processor's item is long enough to hide what it costs to begin one.
        self.run = 16 if device.is_cpu else 1
        words = [f"-DV={self.lanes}"]
        words += ["-DMAXIMUM"] if "Max" in problem.op else []
        words += ["-DPADDED"] if problem.attributes.get("count_include_pad") else []
        self.options = " ".join(words)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y, w = inputs[0], outputs[0], self.window
        assert x is not None and y is not None
        numbers = (*w.x, *w.y, *w.size, *w.strides, *w.pads, *w.dilations, self.run)
        size = (ceil(w.y[1] / self.run) * 16 // self.lanes, w.y[0], prod(y.shape[:2]))
        return launch(y.queue, "pool.cl", "pool", self.options, (x, y, *numbers), size)
