"""Winograd convolution on NCHWc: weights transformed once; the native side is native/kernels/winograd.cpp."""

from __future__ import annotations

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp.conv import Conv
from orpheus_openmp.cook_toom import TRANSFORMS

#: Tiles that make a band worth its weights' way from L2; a band of more tiles would leave L2.
_ENOUGH_TILES = 14


class Winograd(Conv):
    """F(m x m, 3 x 3), stride 1, one group."""

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        found = TRANSFORMS[self.kernel]
        rows, across = (-(-size // found.out) for size in self.shape.window.output)
        band = min(rows, max(1, -(-_ENOUGH_TILES // across)))
        self.values["band"] = band
        elements = found.size**2
        floats = elements * (self.in_blocks + self.out_blocks) * band * across * self.block
        self.workspace = 4 * self.threads * floats

    def pack(self, weights: Array) -> Array:
        """G w G' as [element][chunk][channel][vectors * B]."""
        found = TRANSFORMS[self.kernel]
        g = np.array(found.weights)
        channels = weights.shape[1]
        both = np.kron(g, g)  # [elements, 9]: both axes at once
        out, step = self.out_blocks * self.block, self.tile_vectors * self.block
        packed = np.zeros((len(both), out * channels), np.float32)
        for first in range(0, out, step):
            width = min(step, out - first)
            chunk = weights[first : first + width]
            u = both @ chunk.reshape(-1, 9).T.astype(np.float64)
            target = packed[:, first * channels : (first + width) * channels].reshape(-1, channels, width)
            target[..., : len(chunk)] = u.reshape(-1, len(chunk), channels).swapaxes(1, 2)
        return packed


class Winograd2(Winograd):
    """F(2 x 2, 3 x 3): 2.25 times fewer multiplications, exact on small integers."""

    kernel = "winograd_2x3"


class Winograd4(Winograd):
    """F(4 x 4, 3 x 3) with the accurate points: 4 times fewer multiplications."""

    kernel = "winograd_4x3"
