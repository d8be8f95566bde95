"""Winograd and Cook-Toom convolution on NCHWc: weights transformed once; see native/kernels/winograd.cpp."""

from __future__ import annotations

from functools import cache, partial
from types import SimpleNamespace

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp.conv import Conv
from orpheus_openmp.cook_toom import FORMS

#: Tiles that make a band worth its weights' way from L2 or beyond; more would only push its inputs out of L1.
_ENOUGH_TILES = 14


class Winograd(Conv):
    """Stride 1, one group, by the form of this name in :data:`orpheus_openmp.cook_toom.FORMS`."""

    kernel = "winograd"

    def __init__(self, name: str, problem: Problem, isa: str | None = None) -> None:
        self.name, self.form = name, FORMS[name]
        super().__init__(problem, isa)
        rows, across = (-(-size // out) for size, out in zip(self.shape.window.output, self.form.out))
        band = band_rows(rows, across, self.threads)
        self.values |= {"form": list(FORMS).index(name), "band": band}
        vectors = sum(blocks * band * across | 1 for blocks in (self.in_blocks, self.tile_vectors))
        self.workspace = 4 * self.threads * self.form.elements * vectors * self.block

    def pack(self, weights: Array) -> Array:
        """G_h w G_w' as [chunk][element][channel][vectors * B]."""
        return self.packer.transformed(weights, _sums(self.name))


@cache
def _sums(name: str) -> Array:
    """The weights' transform of a form as a matrix [elements, taps]."""
    form = FORMS[name]
    both: Array = np.kron(np.array(form.rows.weights), np.array(form.cols.weights))
    both.flags.writeable = False
    return both


def band_rows(rows: int, across: int, threads: int) -> int:
    """Tile rows of a band, of ``rows`` in all with ``across`` tiles in each: equal bands of enough tiles."""
    bands = -(-rows // max(1, -(-_ENOUGH_TILES // across)))
    if bands >= 2 * threads:  # done apart, as many by each thread
        bands = min(-(-bands // threads) * threads, rows)
    return -(-rows // bands)


#: ``prepare`` of each form's kernel, by its name.
layers = SimpleNamespace(**{name: partial(Winograd, name) for name in FORMS})
