"""Plain convolution of any kind by im2col and a matrix product; the native side is native/kernels/im2col.cpp."""

from __future__ import annotations

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_openmp import epilogue
from orpheus_openmp.conv_shape import arguments, conv_shape
from orpheus_openmp.layer import Layer


class Im2col(Layer):
    """Conv or FusedConv of one or two spatial axes, everything plain, weights constant or not."""

    kernel = "im2col"
    names = ("x", "w", "bias", "residual", "scale", "shift")
    results = ("y", "sum")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = conv_shape(problem)
        channels = shape.channels // shape.group
        self.values = {
            "n": shape.batch, "groups": shape.group, "channels": channels, "filters": shape.filters // shape.group,
            **arguments(shape.window), **epilogue.of_attributes(problem.attributes), "tail": 0,
        }  # fmt: skip
        panel = self.tile_vectors * self.block
        self.workspace = np.dtype(np.float32).itemsize * self.threads * channels * shape.taps * panel
