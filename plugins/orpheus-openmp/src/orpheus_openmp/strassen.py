"""1x1 convolution by Strassen's algorithm: weight sums formed once; the native side is native/kernels/strassen.cpp."""

from __future__ import annotations

import math

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp.bilinear import ALGORITHMS
from orpheus_openmp.conv import Conv

#: Bytes of input sums that a band may hold, so that they stay in L2 beside the weights of a chunk.
_BAND_BYTES = 384 * 1024


class Strassen(Conv):
    """One level: 7 products for 8."""

    kernel = "strassen"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        found = ALGORITHMS[self.kernel]
        tile = self.tile_pixels * self.block
        pixels = math.prod(self.shape.window.y)
        groups = -(-pixels // (found.side * self.tile_pixels))
        group = sum(at >= 0 for at in found.formed) * (self.in_blocks // found.side) * tile
        bands = max(1, -(-4 * group * groups // _BAND_BYTES))
        band = max(1, -(-groups // bands))
        self.values["band"] = band
        self.workspace = 4 * self.threads * (band * group + found.slots * self.tile_vectors * tile)

    def pack(self, weights: Array) -> Array:
        """[group]: [chunk] {[product][in block][B][vectors * B], the same of what is left over}, plain panels."""
        return self.packer.bilinear(weights, self.shape.group, ALGORITHMS[self.kernel])


class Strassen2(Strassen):
    """Two levels: 49 products for 64."""

    kernel = "strassen2"
