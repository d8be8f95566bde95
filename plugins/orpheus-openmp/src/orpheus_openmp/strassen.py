"""1x1 convolution by Strassen's algorithm: weight sums formed once; the native side is native/kernels/strassen.cpp."""

from __future__ import annotations

import math

import numpy as np

from orpheus_core import memory
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp.bilinear import ALGORITHMS
from orpheus_openmp.conv import Conv, pack_chunks

#: Bytes of input sums that a band may hold, so that they stay in L2 beside the weights of a chunk.
_BAND_BYTES = 384 * 1024


class Strassen(Conv):
    """One level: 7 products for 8."""

    kernel = "strassen"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        found = ALGORITHMS[self.kernel]
        tile = self.tile_pixels * self.block
        pixels = math.prod(self.shape.window.output)
        groups = -(-pixels // (found.side * self.tile_pixels))
        group = sum(at >= 0 for at in found.formed) * (self.in_blocks // found.side) * tile
        bands = max(1, -(-4 * group * groups // _BAND_BYTES))
        band = max(1, -(-groups // bands))
        self.values["band"] = band
        self.workspace = 4 * self.threads * (band * group + found.slots * self.tile_vectors * tile)

    def pack(self, weights: Array) -> Array:
        """[group]: [chunk] {[product][in block][B][vectors * B], the same of what is left over}, plain panels."""
        found, block = ALGORITHMS[self.kernel], self.block
        side, step = found.side, self.tile_vectors * block
        filters = weights.shape[0] // self.shape.group
        part = self.in_blocks // side * block  # channels of a run
        chunk = side * step
        sums = np.array(found.right, np.float64)
        parts: list[Array] = []
        for group in weights.reshape(self.shape.group, filters, -1):
            full = np.zeros((self.out_blocks * block, self.in_blocks * block), np.float32)
            full[:filters, : group.shape[1]] = group
            ends = range(chunk, self.out_blocks * block + 1, chunk)
            for end in ends:
                # [channel, filter] as [run, channel, tile, filter]
                square = full[end - chunk : end].T
                blocks = square[: side * part].reshape(side, part, side, step).transpose(0, 2, 1, 3)
                parts.append(sums @ blocks.reshape(side * side, -1))
                parts.append(square[side * part :].reshape(-1, side, step).transpose(1, 0, 2))
            left = full[len(ends) * chunk :]
            if len(left):
                parts.append(pack_chunks(left, 1, block, block, self.tile_vectors))
        packed = memory.empty(sum(p.size for p in parts))
        np.concatenate([p.reshape(-1) for p in parts], out=packed, casting="same_kind")
        return packed


class Strassen2(Strassen):
    """Two levels: 49 products for 64."""

    kernel = "strassen2"
