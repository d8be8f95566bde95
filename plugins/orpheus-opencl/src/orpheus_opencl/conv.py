"""Convolutions in NCHW16c: weights in the kernel's order, borders made of zeros, epilogues in the kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import ceil, prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_opencl.device import opened
from orpheus_opencl.expressions import act, pair
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.limits import flattened
from orpheus_opencl.runtime import Tensor, load
from orpheus_opencl.tiles import BLOCK, TILES, Tile, lanes, line, tile

#: Strides that programs are compiled for; others are arguments.
COMMON_STRIDES = ((1, 1), (2, 2))


class Layer:
    """What blocked convolutions have in common: geometry, constants by filter, and the epilogue."""

    def __init__(self, problem: Problem) -> None:
        self.device = problem.outputs[0].device.index  # type: ignore[union-attr]
        self.weights = problem.constants[1]
        self.batch, self.channels = shape_of(problem.inputs[0])[:2]
        self.filters = len(self.weights)
        self.window: Window = window(problem, self.weights.shape[2:])
        self.packed = tuple(i for i in (1, 2, 4, 5) if i in problem.constants)
        bias = problem.constants.get(2)
        zeros = np.zeros(self.filters, np.float32)
        self.bias = by_channel(self.device, zeros if bias is None else bias)
        self.scale, self.shift = (
            by_channel(self.device, problem.constants[i]) if i in problem.constants else None for i in (4, 5)
        )
        self._name = str(problem.attributes.get("activation", ""))
        self._parameters = pair(problem.attributes.get("activation_params", ()))
        self.lanes = lanes(opened(self.device))

    def source(self, file: str, **options: int) -> tuple[str, str]:
        """The file with its activation, and the build options of its tile."""
        words = [f"-D{name}={value}" for name, value in {"V": self.lanes, **options}.items()]
        return f"{file}\n{act(self._name)}", " ".join(words)

    @property
    def strides(self) -> dict[str, int]:
        """Build options of strides that have programs of their own."""
        strides = self.window.strides
        return dict(zip(("SH", "SW"), strides)) if strides in COMMON_STRIDES else {}

    @property
    def numbers(self) -> tuple[Any, ...]:
        """The kernel's last arguments: the window's steps, filters, and the activation's parameters."""
        return (*self.window.strides, *self.window.dilations, self.filters, *self._parameters)

    def operands(self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None]) -> list[Any]:
        """The kernel's tensors after X and W: B, R, scale, shift, Y and the sum before the activation."""
        residual = inputs[3] if len(inputs) > 3 else None
        raw = outputs[1] if len(outputs) > 1 else None
        return [self.bias, residual, self.scale, self.shift, outputs[0], raw]


class Direct(Layer):
    """Conv, FusedConv: any window, stride and dilation; of several groups those that fill whole blocks.

    A tile that is not ``given`` is chosen.
    """

    def __init__(self, problem: Problem, given: Tile | None = None) -> None:
        super().__init__(problem)
        self.groups = int(problem.attributes.get("group", 1))
        self.depth = 1 if problem.inputs[0].layout.name == "plain" else BLOCK  # type: ignore[union-attr]
        self.w = load(self.device, filters(self.weights, self.groups, self.depth))
        self.window = flat = flattened(self.window)
        self._bordered = flat.padded != flat.x
        self.planes = self.batch * ceil(self.channels / self.depth)
        inside = self.planes * prod(flat.padded) * self.depth
        self.workspace = inside * self.weights.itemsize if self._bordered else 0
        self.blocks = ceil(self.filters / self.groups / BLOCK)
        self.tile = given or tile(opened(self.device), self.blocks, *flat.y)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch, or two where X gets its border first."""
        x, y, w, t = inputs[0], outputs[0], self.window, self.tile
        assert x is not None and y is not None
        steps = Launch(y.queue, ())
        rows, columns = w.padded if self._bordered else w.x
        if self._bordered:
            assert workspace is not None
            inside, x = x, workspace.part(0, (workspace.nbytes // x.dtype.itemsize,), x.dtype)
            xb = self.depth
            steps = launch(
                y.queue, "reorder.cl", "border", "",
                (inside, x, w.x[0], w.x[1] * xb, rows, columns * xb, w.pads[0], w.pads[1] * xb), (rows, self.planes),
            )  # fmt: skip
        depth = self.channels // self.groups
        source, options = self.source(
            "conv.cl", MT=t.blocks, PT=t.rows, QT=t.columns, XB=self.depth, **self.strides
        )
        numbers = (
            ceil(depth / self.depth), depth, rows, columns, self.groups, self.blocks, *w.y, *w.size, *self.numbers,
        )  # fmt: skip
        size = (
            ceil(w.y[1] / t.columns) * BLOCK // self.lanes,
            ceil(w.y[0] / t.rows),
            self.batch * self.groups * ceil(self.blocks / t.blocks),
        )
        operands = (x, self.w, *self.operands(inputs, outputs), *numbers)
        return steps.then(launch(y.queue, source, "conv", options, operands, size))


#: ``prepare`` of the kernels that take a tile of their own, by name.
tiled = SimpleNamespace(**{t.name: partial(Direct, given=t) for t in TILES})


class Depthwise(Layer):
    """Conv, FusedConv of one channel a group."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        taps = self.weights.reshape(self.filters, -1)
        self.w = load(self.device, blocks(taps))

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        y, w = outputs[0], self.window
        assert y is not None
        columns = line(opened(self.device), w.y[1])
        source, options = self.source("depthwise.cl", QT=columns, **self.strides)
        planes = ceil(self.channels / BLOCK)
        numbers = (planes, *w.x, *w.y, *w.size, *w.pads[:2], *self.numbers)
        size = (ceil(w.y[1] / columns) * BLOCK // self.lanes, w.y[0], self.batch * planes)
        operands = (inputs[0], self.w, *self.operands(inputs, outputs), *numbers)
        return launch(y.queue, source, "depthwise", options, operands, size)


class ScaleShift(Depthwise):
    """ScaleShift along channels: a depthwise convolution of one element, whose bias is the shift."""

    def __init__(self, problem: Problem) -> None:
        scale, shift = problem.constants[1], problem.constants[2]
        names = ("activation", "activation_params")
        attributes = {name: problem.attributes[name] for name in names if name in problem.attributes}
        weights = scale.reshape(-1, 1, 1, 1)
        super().__init__(replace(problem, constants={1: weights, 2: shift}, attributes=attributes))


class Plain:
    """Conv in plain layout, of any groups, with weights that may come at run time."""

    def __init__(self, problem: Problem) -> None:
        self.window = window(problem, shape_of(problem.inputs[1])[2:])
        self.groups = int(problem.attributes.get("group", 1))

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, weights, bias = (*inputs, None)[:3]
        (y,) = outputs
        assert x is not None and weights is not None and y is not None
        w = self.window
        n, m = y.shape[:2]
        numbers = (
            x.shape[1], *w.x, m, *w.y, *w.size, *w.strides, *w.pads[:2], *w.dilations, self.groups,
        )  # fmt: skip
        return launch(
            y.queue, "plain.cl", "conv", "", (x, weights, bias, y, *numbers), (w.y[1], w.y[0], m * n)
        )


def by_channel(device: int, values: Array) -> Tensor:
    """A number for each channel, in blocks: float32, whatever the layer's tensors are."""
    return load(device, blocks(values.astype(np.float32)))


def blocks(values: Array) -> Array:
    """[M, ...] as [ceil(M / 16), ..., 16]: filters, the last block filled with zeros, innermost."""
    count = ceil(len(values) / BLOCK) * BLOCK
    whole = np.zeros((count, *values.shape[1:]), values.dtype)
    whole[: len(values)] = values
    return np.ascontiguousarray(np.moveaxis(whole.reshape(count // BLOCK, BLOCK, *values.shape[1:]), 1, -1))


def filters(weights: Array, groups: int, depth: int = BLOCK) -> Array:
    """W [G * M, C, R, S] as [G * MB, CB, R, S, depth c, 16 m]; a group must fill whole blocks unless there is one."""
    m, c, r, s = weights.shape
    cb = ceil(c / depth)
    whole = np.zeros((m, cb * depth, r, s), weights.dtype)
    whole[:, :c] = weights
    per_filter = whole.reshape(m, cb, depth, r, s).transpose(0, 1, 3, 4, 2)
    if groups > 1 and m // groups % BLOCK:
        raise ValueError(f"{m // groups} filters a group do not fill blocks of {BLOCK}")
    return blocks(np.ascontiguousarray(per_filter))
