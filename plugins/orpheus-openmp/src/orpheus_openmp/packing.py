"""How a convolution's or a transposed one's input is packed in tiles; native/kernels/spatial.cpp reads it.

Both are jobs over tiles of a packed input: a convolution is one, a transposed one has a job for each residue of the
output's position by the strides, in which the kernel elements that meet there are a convolution of stride 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import Any

import numpy as np

from orpheus_core.geometry.window import pads_of, shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import Array

_ROOM = 65536  # floats of a packed tile: a quarter of a megabyte, beside the weights in L2
_HEADER = 11  # integers of a job before its lists


@dataclass(frozen=True)
class Axis:
    """One spatial axis: sizes, kernel, stride, dilation, pad before."""

    input: int
    output: int
    kernel: int
    stride: int
    dilation: int
    before: int


@dataclass(frozen=True)
class Phase:
    """One axis of a job: its outputs are ``origin``, ``origin + step``, ...; kernel ``elements`` read at ``offsets``.

    An offset is (part, steps): part p of the packed input begins at ``starts[p]`` of its axis.
    """

    origin: int
    count: int
    elements: tuple[int, ...]
    offsets: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Split:
    """An axis as the kernel walks it: input steps, output steps, where each part begins, and the phases."""

    stride: int
    step: int
    starts: tuple[int, ...]
    reach: int
    phases: tuple[Phase, ...]

    @property
    def span(self) -> int:
        """Outputs of the longest phase."""
        return max(phase.count for phase in self.phases)


def forward(axis: Axis) -> Split:
    """A convolution's axis: one phase, a part for each residue of an element's place by the stride."""
    places = [divmod(i * axis.dilation, axis.stride) for i in range(axis.kernel)]
    residues = sorted({residue for _, residue in places})
    offsets = tuple((residues.index(residue), steps) for steps, residue in places)
    phase = Phase(0, axis.output, tuple(range(axis.kernel)), offsets)
    starts = tuple(residue - axis.before for residue in residues)
    return Split(axis.stride, 1, starts, max(steps for _, steps in offsets), (phase,))


def transposed(axis: Axis) -> Split:
    """A transposed convolution's axis: element k takes input i to output i * stride + k * dilation - pad."""
    found = []
    for origin in range(min(axis.stride, axis.output)):
        there = [origin + axis.before - k * axis.dilation for k in range(axis.kernel)]
        elements = tuple(k for k, place in enumerate(there) if place % axis.stride == 0)
        count = -(-(axis.output - origin) // axis.stride)
        found.append((origin, count, elements, [there[k] // axis.stride for k in elements]))
    every = [place for *_, places in found for place in places] or [0]
    first = min(every)
    phases = tuple(Phase(o, n, k, tuple((0, p - first) for p in places)) for o, n, k, places in found)
    return Split(1, axis.stride, (first,), max(every) - first, phases)


@dataclass(frozen=True)
class Packing:
    """What the kernel is given: three axes, planes a group has, and the tiles."""

    axes: tuple[Split, Split, Split]
    batch: int
    groups: int
    channels: int  # of a group
    filters: int  # of a group
    panel: int

    @property
    def parts(self) -> list[tuple[int, int]]:
        """First row and column of each part."""
        return list(product(self.axes[1].starts, self.axes[2].starts))

    @property
    def slices(self) -> int:
        """Kernel slices of the job that has the most."""
        return max(len(phase.elements) for phase in self.axes[0].phases)

    @cached_property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a tile: as much as fits, whole rows first, in tiles as equal as can be."""
        _, rows, columns = self.axes
        planes = max(1, self.channels * self.slices * len(self.parts))
        cuts = 1
        while True:
            width = -(-columns.span // cuts)
            height = _ROOM // (planes * (width + columns.reach)) - rows.reach
            if height >= 1 or width <= self.panel:
                break
            cuts += 1
        height = min(max(height, 1), rows.span)
        return -(-rows.span // -(-rows.span // height)), width

    @property
    def pitch(self) -> int:
        """Floats between two rows of a part."""
        return self.tile[1] + self.axes[2].reach

    @property
    def room(self) -> int:
        """Floats of a packed tile; the last panel is read beyond it."""
        rows = self.tile[0] + self.axes[1].reach
        return self.channels * self.slices * len(self.parts) * rows * self.pitch + 2 * self.panel

    @property
    def tiles(self) -> int:
        """Tiles of a slice."""
        return math.prod(-(-axis.span // size) for axis, size in zip(self.axes[1:], self.tile))

    def jobs(self) -> list[tuple[Phase, Phase, Phase]]:
        """Every combination of phases; those of one slice follow each other, since they read the same input."""
        depth, rows, columns = (axis.phases for axis in self.axes)
        return list(product(depth, rows, columns))

    def table(self) -> Array:
        """Parts and jobs as native/kernels/spatial.cpp reads them."""
        numbers = [n for part in self.parts for n in part]
        place = (self.tile[0] + self.axes[1].reach) * self.pitch  # of a part
        weights, across = 0, len(self.axes[2].starts)
        for job in self.jobs():
            depth, rows, columns = job
            slices = [self.axes[0].starts[part] + self.axes[0].stride * n for part, n in depth.offsets]
            offsets = [
                (part_h * across + part_w) * place + h * self.pitch + w
                for (part_h, h), (part_w, w) in product(rows.offsets, columns.offsets)
            ]
            numbers += [
                _HEADER - 1 + len(slices) + len(offsets), weights, *(p.origin for p in job), *(p.count for p in job),
                len(slices), len(offsets), *slices, *offsets,
            ]  # fmt: skip
            weights += self.groups * self.filters * self.channels * len(slices) * len(offsets)
        return np.array(numbers, np.int64)

    def pack(self, weights: Array, tile: int) -> Array:
        """W [groups, filters, channels, D, H, W] as [job][group][tile of filters][channel, slice, element][T]."""
        counts = _tiling(self.filters, tile)
        pieces = []
        for job in self.jobs():
            depth, rows, columns = (list(phase.elements) for phase in job)
            chosen = weights[:, :, :, depth][:, :, :, :, rows][:, :, :, :, :, columns]
            chosen = chosen.reshape(self.groups, self.filters, -1)
            for group in chosen:
                first = 0
                for count in counts:
                    pieces.append(group[first : first + count].T.reshape(-1))
                    first += count
        return np.ascontiguousarray(np.concatenate(pieces), np.float32)


def _tiling(count: int, limit: int) -> list[int]:
    """native/tile.hpp's Tiling: the fewest tiles of at most ``limit``, as equal as can be, the wide ones first."""
    tiles = -(-count // limit)
    least, wide = divmod(count, tiles)
    return [least + (i < wide) for i in range(tiles)]


def conv_packing(problem: Problem, panel: int) -> Packing:
    """The packing of a Conv or FusedConv of static shapes."""
    x, w, y = (shape_of(t) for t in (problem.inputs[0], problem.inputs[1], problem.outputs[0]))
    axes = _axes(problem, x, w, y, resolve=True)
    group = int(problem.attributes.get("group", 1))
    return _forward_packing(tuple(axes), x[0], group, w[1], w[0] // group, panel)


@lru_cache(maxsize=1024)  # networks repeat their layers, and each is asked for alone, fused and placed
def _forward_packing(
    axes: tuple[Axis, ...], batch: int, groups: int, channels: int, filters: int, panel: int
) -> Packing:
    return Packing(_three(map(forward, axes)), batch, groups, channels, filters, panel)


def transpose_packing(problem: Problem, panel: int) -> Packing:
    """The packing of a ConvTranspose of static shapes."""
    x, w, y = (shape_of(t) for t in (problem.inputs[0], problem.inputs[1], problem.outputs[0]))
    extra = _ints(problem, "output_padding", len(x) - 2, 0)
    found = []
    for index, axis in enumerate(_axes(problem, x, w, y, resolve=False)):
        at = index - (3 - len(extra))
        more = extra[at] if at >= 0 else 0
        found.append(_pad_transposed(problem, axis, more))
    group = int(problem.attributes.get("group", 1))
    return Packing(_three(map(transposed, found)), x[0], group, w[0] // group, w[1], panel)


def _pad_transposed(problem: Problem, axis: Axis, extra: int) -> Axis:
    """The axis with its pad, which output_shape or auto_pad may leave open."""
    auto = problem.attributes.get("auto_pad", "NOTSET")
    if auto == "VALID" and not problem.attributes.get("output_shape"):
        return _with_pad(axis, 0)
    if not problem.attributes.get("output_shape") and auto not in ("SAME_UPPER", "SAME_LOWER"):
        return axis
    total = max(0, axis.stride * (axis.input - 1) + extra + _reach(axis) - axis.output)
    return _with_pad(axis, total // 2 if auto == "SAME_UPPER" else total - total // 2)


def _axes(
    problem: Problem, x: Sequence[int], w: Sequence[int], y: Sequence[int], resolve: bool
) -> list[Axis]:
    """Three axes, those that are missing of size 1; ``resolve`` a Conv's auto_pad."""
    rank = len(x) - 2
    strides, dilations = (_ints(problem, name, rank, 1) for name in ("strides", "dilations"))
    pads = problem.attributes.get("pads") or ()
    automatic = problem.attributes.get("auto_pad", "NOTSET") if resolve else "NOTSET"
    pads = pads_of(automatic, pads, x[2:], y[2:], w[2:], strides, dilations)
    missing = [Axis(1, 1, 1, 1, 1, 0)] * (3 - rank)
    return missing + list(map(Axis, x[2:], y[2:], w[2:], strides, dilations, pads[:rank]))


def _with_pad(axis: Axis, before: int) -> Axis:
    return Axis(axis.input, axis.output, axis.kernel, axis.stride, axis.dilation, before)


def _reach(axis: Axis) -> int:
    return (axis.kernel - 1) * axis.dilation + 1


def _three(splits: Any) -> tuple[Split, Split, Split]:
    depth, rows, columns = splits
    return depth, rows, columns


def _ints(problem: Problem, name: str, count: int, default: int) -> list[int]:
    return [int(v) for v in problem.attributes.get(name) or (default,) * count]
