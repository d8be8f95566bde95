"""Winograd and Cook-Toom convolution on NCHWc: weights transformed once; see native/kernels/winograd.cpp."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp.conv import Conv
from orpheus_openmp.cook_toom import FORMS

#: Bytes of a band's transformed inputs and one chunk's products: what L2 holds beside weights and tensors.
_BAND = 640 * 1024


class Winograd(Conv):
    """Stride 1, one group, by the form of this name in :data:`orpheus_openmp.cook_toom.FORMS`."""

    kernel = "winograd"

    def __init__(self, name: str, problem: Problem, isa: str | None = None) -> None:
        self.form = FORMS[name]
        super().__init__(problem, isa)
        rows, across = (-(-size // out) for size, out in zip(self.shape.window.output, self.form.out))
        blocks = self.in_blocks + self.tile_vectors
        row = 4 * self.form.elements * blocks * across * self.block
        band = band_of(rows, row, self.threads)
        self.values |= {"form": list(FORMS).index(name), "band": band}
        self.workspace = self.threads * row * band

    def pack(self, weights: Array) -> Array:
        """G_h w G_w' as [chunk][element][channel][vectors * B]."""
        both = np.kron(np.array(self.form.rows.weights), np.array(self.form.cols.weights))  # [elements, taps]
        channels, taps = weights.shape[1], both.shape[1]
        out, step = self.out_blocks * self.block, self.tile_vectors * self.block
        packed = np.zeros(out * len(both) * channels, np.float32)
        for first in range(0, out, step):
            width = min(step, out - first)
            chunk = weights[first : first + width]
            u = both @ chunk.reshape(-1, taps).T.astype(np.float64)
            target = packed[first * len(both) * channels :][: width * len(both) * channels]
            target = target.reshape(len(both), channels, width)
            target[..., : len(chunk)] = u.reshape(len(both), len(chunk), channels).swapaxes(1, 2)
        return packed


def band_of(rows: int, size: int, threads: int) -> int:
    """Tile rows of a band, one of ``rows`` being ``size`` bytes: equal bands, as large as L2 allows.

    Bands that threads do apart are as many for each.
    """
    bands = -(-rows // max(1, _BAND // size))
    if bands >= 2 * threads:
        bands = -(-bands // threads) * threads
    return -(-rows // min(bands, rows))


#: ``prepare`` of each form's kernel, by its name.
layers = SimpleNamespace(**{name: partial(Winograd, name) for name in FORMS})
