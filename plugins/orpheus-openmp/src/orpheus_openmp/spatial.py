"""Convolution by spatial packing and transposed convolution; the native side is native/kernels/spatial.cpp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp import epilogue
from orpheus_openmp.layer import Layer
from orpheus_openmp.packing import Packing, conv_packing, transpose_packing


class _Packed(Layer):
    """A layer of the kernel; a subclass tells the packing and the weights' order."""

    kernel = "spatial"
    names: tuple[str | None, ...] = ("x", None, "bias", "residual", "scale", "shift")
    results: tuple[str | None, ...] = ("y", "sum")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.packing = packing = self.plan(self.block * self.tile_vectors)
        x, y = ((*self._spatial(shape),) for shape in (self.input_shape(0), self.output_shape()))
        depth, rows, columns = packing.axes
        self.values = {
            "n": packing.batch, "groups": packing.groups, "channels": packing.channels, "filters": packing.filters,
            "in_d": x[0], "in_h": x[1], "in_w": x[2], "out_d": y[0], "out_h": y[1], "out_w": y[2],
            "sd": depth.stride, "sh": rows.stride, "sw": columns.stride,
            "tile_h": packing.tile[0], "tile_w": packing.tile[1], "reach_h": rows.reach, "reach_w": columns.reach,
            "span_d": depth.span, "span_h": rows.span, "span_w": columns.span,
            "step_d": depth.step, "step_h": rows.step, "step_w": columns.step,
            "parts": len(packing.parts), "jobs": len(packing.jobs()), "room": packing.room, "table": packing.table(),
            **epilogue.of_attributes(problem.attributes), "tail": 0,
            "w": packing.pack(self.weights(np.asarray(problem.constants[1])), self.tile_pixels),
        }  # fmt: skip
        self.packed = (1,)
        self.workspace = 4 * self.threads * packing.room

    def plan(self, panel: int) -> Packing:
        raise NotImplementedError

    def weights(self, given: Array) -> Array:
        """W as [groups, filters, channels, D, H, W], given with as many axes as X."""
        raise NotImplementedError

    def _spatial(self, shape: Sequence[int]) -> list[int]:
        return [1] * (5 - len(shape)) + list(shape[2:])


class SpatialPack(_Packed):
    """Conv or FusedConv of one to three spatial axes."""

    def plan(self, panel: int) -> Packing:
        """One job."""
        return conv_packing(self.problem, panel)

    def weights(self, given: Array) -> Array:
        """W [M, C / group, ...]."""
        p = self.packing
        return given.reshape(p.groups, p.filters, p.channels, *self._spatial(given.shape))


class ConvTranspose(_Packed):
    """ConvTranspose of one to three spatial axes."""

    names = ("x", None, "bias")
    results = ("y",)

    def plan(self, panel: int) -> Packing:
        """A job for each residue."""
        return transpose_packing(self.problem, panel)

    def weights(self, given: Array) -> Array:
        """W [C, M / group, ...]."""
        p = self.packing
        split = given.reshape(p.groups, p.channels, p.filters, *self._spatial(given.shape))
        return split.swapaxes(1, 2)
