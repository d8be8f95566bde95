"""Pools, in plain layout and NHWC; those of whole planes are reductions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_cuda.expressions import TYPES
from orpheus_cuda.launch import Launch, blocks, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor


class Pool:
    """MaxPool, AveragePool."""

    def __init__(self, problem: Problem) -> None:
        target = problem.outputs[0]
        assert isinstance(target, TensorType)
        self.window: Window = window(problem, tuple(problem.attributes["kernel_shape"]))
        words: dict[str, object] = {"T": TYPES[target.dtype.value]}
        words |= {"LAST": 1} if target.layout.name != "plain" else {}
        words |= {"MAXIMUM": 1} if problem.op == "MaxPool" else {}
        words |= {"PADDED": 1} if problem.attributes.get("count_include_pad") else {}
        self.source = define("pool.cu", **words)
        self.channels = shape_of(target)[1]

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        y, w = outputs[0], self.window
        assert y is not None
        numbers = (self.channels, *w.x, *w.y, *w.size, *w.strides, *w.pads, *w.dilations)
        return launch(y, self.source, "pool", (inputs[0], y, np.uint32(y.size), *numbers), (blocks(y.size),))
