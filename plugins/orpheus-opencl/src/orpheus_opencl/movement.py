"""Operators that only move elements: changes of layout, and copies between strided places."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import ceil, prod

import numpy as np
import pyopencl as cl

from orpheus_core.geometry.strides import contiguous, merged
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Tensor, load

TYPES = {1: "uchar", 2: "ushort", 4: "uint", 8: "ulong"}


class Reorder:
    """Between plain and NCHW16c."""

    def __init__(self, problem: Problem) -> None:
        self.into = problem.attributes["to_layout"] != "plain"
        self.shape = shape_of(problem.inputs[0])

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        n, c, h, w = self.shape
        size = (h, ceil(c / 16), n) if prod(self.shape) else (0, 0, 0)
        if self.into:
            return launch(y.queue, "reorder.cl", "block", "", (x, y, c, h, w), size)
        return launch(y.queue, "reorder.cl", "unblock", "", (x, y, c, h, w), size)


class Copy:
    """One copy between strided places: sizes, strides of X and of Y, first elements."""

    def __init__(
        self, device: int, sizes: Sequence[int], x: Sequence[int], y: Sequence[int], xfirst: int, yfirst: int
    ) -> None:
        self.empty = prod(sizes) == 0
        sizes, steps = merged(sizes, (x, y))
        if len(sizes) == 1 and sizes[0] > _RUN and sizes[0] % _RUN == 0:
            # One long run is cut, so that there is work for every processor.
            sizes, steps = (sizes[0] // _RUN, _RUN), tuple((s[0] * _RUN, s[0]) for s in steps)
        self.runs, self.axes = prod(sizes[:-1]), len(sizes)
        self.table = load(device, np.array([sizes, *steps], np.int32))
        self.first = np.int64(xfirst), np.int64(yfirst)

    def bind(self, x: Tensor, y: Tensor, queue: cl.CommandQueue) -> Launch:
        """One launch."""
        options = f"-DAXES={self.axes} -DTYPE={TYPES[y.dtype.itemsize]}"
        size = (0 if self.empty else self.runs,)
        return launch(queue, "strided.cl", "strided", options, (x, y, self.table.buffer, *self.first), size)


_RUN = 1024


def physical(shape: Sequence[int], layout: str) -> tuple[int, ...]:
    """The shape in memory, axis 1 counting blocks where there are any."""
    if layout == "plain":
        return tuple(shape)
    return (shape[0], ceil(shape[1] / 16), *shape[2:], 16)


class Concat:
    """Any axis in plain layout; whole blocks of channels in NCHW16c."""

    def __init__(self, problem: Problem) -> None:
        target = problem.outputs[0]
        layout = target.layout.name  # type: ignore[union-attr]
        whole = physical(shape_of(target), layout)
        axis = int(problem.attributes["axis"]) % len(shape_of(target))
        steps = contiguous(whole)
        parts = [physical(shape_of(t), layout) for t in problem.inputs]
        firsts = accumulate((p[axis] for p in parts), initial=0)
        self.copies = [
            Copy(target.device.index, p, contiguous(p), steps, 0, first * steps[axis])  # type: ignore[union-attr]
            for p, first in zip(parts, firsts)
        ]

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """A launch for each input."""
        y = outputs[0]
        assert y is not None
        steps = Launch(y.queue, ())
        for copy, x in zip(self.copies, inputs):
            assert x is not None
            steps = steps.then(copy.bind(x, y, y.queue))
        return steps


class Split:
    """Any axis in plain layout; whole blocks of channels in NCHW16c."""

    def __init__(self, problem: Problem) -> None:
        source = problem.inputs[0]
        layout = source.layout.name  # type: ignore[union-attr]
        whole = physical(shape_of(source), layout)
        axis = int(problem.attributes.get("axis", 0)) % len(shape_of(source))
        steps = contiguous(whole)
        parts = [physical(shape_of(t), layout) for t in problem.outputs]
        firsts = accumulate((p[axis] for p in parts), initial=0)
        self.copies = [
            Copy(source.device.index, p, steps, contiguous(p), first * steps[axis], 0)  # type: ignore[union-attr]
            for p, first in zip(parts, firsts)
        ]

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """A launch for each output."""
        x = inputs[0]
        assert x is not None
        queue = next(y.queue for y in outputs if y is not None)
        steps = Launch(queue, ())
        for copy, y in zip(self.copies, outputs):
            assert y is not None
            steps = steps.then(copy.bind(x, y, queue))
        return steps


class Transpose:
    """Any permutation."""

    def __init__(self, problem: Problem) -> None:
        shape = shape_of(problem.inputs[0])
        order = tuple(problem.attributes.get("perm") or reversed(range(len(shape))))
        sizes = tuple(shape[axis] for axis in order)
        steps = contiguous(shape)
        device = problem.outputs[0].device.index  # type: ignore[union-attr]
        self.copy = Copy(device, sizes, tuple(steps[axis] for axis in order), contiguous(sizes), 0, 0)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        return self.copy.bind(x, y, y.queue)
