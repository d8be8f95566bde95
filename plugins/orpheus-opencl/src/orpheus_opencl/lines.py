"""Normalisations: over lines that lie together in plain layout, or over each channel's plane in NCHW16c."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod

import numpy as np

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_opencl.conv import by_channel
from orpheus_opencl.device import opened
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Tensor
from orpheus_opencl.tiles import BLOCK, lanes


class Normalize:
    """LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization (a scale a channel), plain."""

    def __init__(self, problem: Problem) -> None:
        shape, op = shape_of(problem.inputs[0]), problem.op
        if op in ("LayerNormalization", "RMSNormalization"):
            axis = int(problem.attributes.get("axis", -1)) % len(shape)
            self.length = prod(shape[axis:])
            self.groups, self.each, self.span = 1, self.length, 1
        else:
            channels = shape[1]
            self.groups = int(problem.attributes.get("num_groups", channels))
            self.each, self.span = channels // self.groups, prod(shape[2:])
            self.length = self.each * self.span
        self.count = prod(shape) // self.length
        self.epsilon = np.float32(problem.attributes.get("epsilon", 1e-5))
        width = lanes(opened(problem.outputs[0].device.index))  # type: ignore[union-attr]
        self.options = f"-DV={width}{' -DRMS' if op == 'RMSNormalization' else ''}"

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        (x, scale, bias), y = (*inputs, None)[:3], outputs[0]
        assert y is not None
        arguments = (x, scale, bias, y, self.length, self.groups, self.each, self.span, self.epsilon)
        return launch(y.queue, "lines.cl", "lines", self.options, arguments, (self.count,))


class Instances:
    """InstanceNormalization in NCHW16c: a work item has a vector of channels."""

    def __init__(self, problem: Problem) -> None:
        device = problem.outputs[0].device.index  # type: ignore[union-attr]
        self.scale, self.bias = (by_channel(device, problem.constants[i]) for i in (1, 2))
        self.packed = (1, 2)
        (n, self.channels), self.plane = (
            shape_of(problem.inputs[0])[:2],
            prod(shape_of(problem.inputs[0])[2:]),
        )
        width = lanes(opened(device))
        self.size = (BLOCK // width, ceil(self.channels / BLOCK), n)
        self.options = f"-DV={width}"
        self.epsilon = np.float32(problem.attributes.get("epsilon", 1e-5))

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert y is not None
        arguments = (x, self.scale, self.bias, y, self.plane, self.channels, self.epsilon)
        return launch(y.queue, "lines.cl", "instances", self.options, arguments, self.size)
