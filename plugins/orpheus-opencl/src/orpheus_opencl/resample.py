"""Resize and Pad, by tables of places and weights along each axis that are made on the host."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from orpheus_core.geometry.sampling import Axis, kept, padded, resized
from orpheus_core.geometry.strides import contiguous
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_opencl.device import opened
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.movement import physical
from orpheus_opencl.runtime import Tensor, load
from orpheus_opencl.tiles import BLOCK, lanes


class _Tables:
    """Y by tables along X's axes; in NCHW16c the channels stay as they are."""

    def __init__(self, problem: Problem, axes: list[Axis], filling: float = 0.0) -> None:
        source, target = problem.inputs[0], problem.outputs[0]
        index = target.device.index  # type: ignore[union-attr]
        layout = target.layout.name  # type: ignore[union-attr]
        steps = contiguous(physical(shape_of(source), layout))
        words = [f"-DAXES={len(axes)}"]
        self.parts = 1
        if layout != "plain":
            axes = [axes[0], kept(-(-shape_of(source)[1] // BLOCK)), *axes[2:]]
            width = lanes(opened(index))
            words += ["-DDEEP", f"-DV={width}"]
            self.parts = BLOCK // width
        self.options = " ".join(words)
        self.sizes = [len(table) for table, _ in axes]
        self.source = f"resample.cl\n#define WALK {_walk(axes)}\n#define SUM {_sum(axes)}"
        places = [np.where(table < 0, -1, table * step) for (table, _), step in zip(axes, steps)]
        weights = [np.ones(table.shape) if weight is None else weight for table, weight in axes]
        self.places, self.weights = (
            load(index, np.concatenate([table.reshape(-1) for table in tables]).astype(kind))
            for tables, kind in ((places, np.int32), (weights, np.float32))
        )
        self.table = load(index, np.array(self.sizes, np.int32))
        self.filling = np.float32(filling)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        tables = (self.places.buffer, self.weights.buffer, self.table.buffer)
        size = (prod(self.sizes[:-1]) * self.parts if y.size else 0,)
        return launch(y.queue, self.source, "resample", self.options, (x, y, *tables, self.filling), size)


class Pad(_Tables):
    """constant, edge, reflect and wrap; pads, value and axes are known."""

    def __init__(self, problem: Problem) -> None:
        value = float(problem.constants[2].reshape(())) if 2 in problem.constants else 0.0
        super().__init__(problem, padded(problem), value)


class Resize(_Tables):
    """nearest, linear and cubic, without a region of interest; sizes or scales are known."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem, resized(problem))


def _walk(axes: Sequence[Axis]) -> str:
    """The index of each axis before the last, and where each axis's tables begin."""
    last = len(axes) - 1
    walk = [f"const int i{n} = rest % sizes[{n}]; rest /= sizes[{n}];" for n in reversed(range(last))]
    walk += ["const int f0 = 0;"]
    walk += [f"const int f{n + 1} = f{n} + sizes[{n}] * {axes[n][0].shape[1]};" for n in range(last)]
    return " ".join(walk)


def _sum(axes: Sequence[Axis]) -> str:
    """Loops over what each axis reads: the places a of all axes add up, their weights w multiply."""
    loops, a, w = "", "", ""
    for n, (table, weights) in enumerate(axes):
        taps, i = table.shape[1], f"i{n}" if n + 1 < len(axes) else "i"
        loops += f"for (int t{n} = 0; t{n} < {taps}; ++t{n}) {{ const int p{n} = f{n} + {i} * {taps} + t{n};"
        loops += (
            f" const int b{n} = places[p{n}], a{n} = b{n}{f' < 0 || {a} < 0 ? -1 : {a} + b{n}' if a else ''};"
        )
        a = f"a{n}"
        if weights is not None:
            loops += f" const float w{n} = weights[p{n}]{f' * {w}' if w else ''};"
            w = f"w{n}"
    value = f"FETCH(x + {a})"
    loops += f" sum += {w} * {value};" if w else f" sum = {a} < 0 ? (element)(filling) : {value};"
    return loops + "}" * len(axes)
