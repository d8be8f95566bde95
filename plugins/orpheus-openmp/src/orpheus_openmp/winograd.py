"""Winograd and Cook-Toom convolution on NCHWc: see native/kernels/winograd.cpp.

Weights are transformed once, but by forms that do it each time they use them (native/winograd_fresh.hpp).
"""

from __future__ import annotations

import math
from functools import cache, lru_cache, partial
from types import SimpleNamespace

import numpy as np

from orpheus_core.errors import KernelError
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp import isa
from orpheus_openmp.conv import Conv, tile_vectors
from orpheus_openmp.conv_shape import conv_shape
from orpheus_openmp.cook_toom import FORMS, Form
from orpheus_openmp.machine import cache_bytes

#: Tiles that make a band worth its weights' way from L2 or beyond; more would only push its inputs out of L1.
_ENOUGH_TILES = 14
#: With 2 MB of L2, bands of up to twice as many tiles that fill register tiles take 2 to 8 % less (one thread), while
#: the transformed inputs take a quarter of it; or half, where weights are larger than L2: once is then worth more.
_MOST_TILES = 28
_LARGE_L2 = 2 << 20
#: Bands for each thread from which on one more of some does not count.
_MANY_BANDS = 8
#: Chunks for each thread from which on threads share them out though not evenly; as native/kernels/winograd.cpp.
_MANY_CHUNKS = 8
#: Channels whose weights are transformed together; as native/kernels/winograd.cpp.
_FRESH = 16


class Winograd(Conv):
    """One group, by the form of this name in :data:`orpheus_openmp.cook_toom.FORMS`.

    The input of some forms may be plain.
    """

    kernel = "winograd"

    def __init__(self, name: str, problem: Problem, isa: str | None = None) -> None:
        self.name, self.form = name, (form := FORMS[name])
        self.band = band = band_rows(form, problem)
        super().__init__(problem, isa)
        if self.depth == 1 and not form.plain:
            raise KernelError(f"{name} reads a blocked input, was prepared for {self.type_of(0)}")
        across = -(-self.shape.window.y[1] // form.out[1])
        self.values |= {"form": list(FORMS).index(name), "band": band}
        if form.step > 1:
            self.values["last_depth"] = self.depth
        tiles = row = band * across
        spread = 0
        if self.depth == 1:  # a vector is of tiles, and rows are spread to the places in one
            row = (tiles + 2 * self.block - 2) // self.block
            places = form.out[1] * form.step
            length = -(-across // self.block) * self.block + (form.cols.size * form.step - 1) // places
            rows = ((band - 1) * form.out[0] + form.rows.size) * form.step
            spread = self.in_blocks * rows * places * length
        vectors = (len(form.phases) * self.in_blocks * row | 1) + (self.vectors * tiles | 1)
        fresh = form.cols.size * _FRESH * self.vectors * self.block if form.fly else 0
        self.workspace = 4 * self.threads * (form.elements * vectors * self.block + spread + fresh)

    def chunk_vectors(self, problem: Problem) -> int:
        """Of bands with few tiles, those of a register tile for these."""
        return chunk_vectors(self.form, problem, self.isa, self.band)

    def pack(self, weights: Array) -> Array:
        """G_h w G_w' as [chunk][element][phase][channel][vectors * B], or [chunk][channel][tap][vectors * B]."""
        if self.form.fly:
            rows = weights[0].size  # channels and taps
            return self.packer.chunks(weights.reshape(-1, rows, 1, 1), 1, rows)
        if self.form.step > 1:
            return self.packer.phases(weights, self.form, self.in_blocks * self.depth)
        return self.packer.transformed(weights, _sums(self.name))


@cache
def _sums(name: str) -> Array:
    """The weights' transform of a form as a matrix [elements, taps]."""
    form = FORMS[name]
    both: Array = np.kron(np.array(form.rows.weights), np.array(form.cols.weights))
    both.flags.writeable = False
    return both


def chunk_vectors(form: Form, problem: Problem, name: str, band: int) -> int:
    """The most output blocks of a chunk: the register tile's, unless threads could not share so many out evenly.

    One where weights are transformed in registers, beside the sums of few tiles.

    ``band``: what :func:`band_rows` says.
    """
    shape, (block, _, usual) = conv_shape(problem), isa.tile(name)
    if form.fly:
        few = max(
            (isa.tile(name)[1] * usual - 2) // form.cols.size, 1
        )  # as native/winograd_fresh.hpp: sums in registers
        return 1 if band * -(-shape.window.y[1] // form.out[1]) <= few else usual
    blocks = -(-shape.filters // block)
    vectors = tile_vectors(name, band * -(-shape.window.y[1] // form.out[1]), blocks)
    chunks = -(-blocks // vectors)
    return usual if chunks % problem.threads and chunks < _MANY_CHUNKS * problem.threads else vectors


def band_rows(form: Form, problem: Problem) -> int:
    """Tile rows of a band: equal bands of enough tiles."""
    shape = conv_shape(problem)
    rows, across = (-(-size // out) for size, out in zip(shape.window.y, form.out))
    tile = 4 * form.elements * len(form.phases) * shape.channels
    weights = 4 * form.products * shape.channels * shape.filters
    return _band_rows(rows, across, tile, weights, problem.threads, cache_bytes(2), isa.tile_for(problem)[1])


@lru_cache(maxsize=1 << 12)  # networks repeat their layers, and their sizes among layers
def _band_rows(rows: int, across: int, tile: int, weights: int, threads: int, l2: int, limit: int) -> int:
    """The same of so many rows of tiles, of ``tile`` bytes each, and so many bytes of weights."""
    enough = max(1, -(-_ENOUGH_TILES // across))
    if threads == 1 and l2 >= _LARGE_L2:
        most = min(_MOST_TILES, l2 // (2 if weights > l2 else 4) // tile)
        return _fullest(rows, across, max(enough, most // across), limit)
    bands = -(-rows // enough)
    if bands >= 2 * threads:  # done apart, as many by each thread
        bands = min(-(-bands // threads) * threads, rows)
        # Or together, rather than wait for the thread that has one more.
        if bands % threads and bands < _MANY_BANDS * threads:
            together = -(-rows // max(1, l2 // 2 // tile // across))
            bands = together if together < 2 * threads else bands
    return -(-rows // bands)


def _fullest(rows: int, across: int, most: int, limit: int) -> int:
    """The tile rows of a band, up to ``most``, by which register tiles are as full as can be; of several the most."""
    fewest, found = math.inf, 1
    for band in range(max(1, min(rows, most)), 0, -1):
        whole, rest = divmod(rows, band)
        runs = whole * -(-band * across // limit) + -(-rest * across // limit)
        if runs < fewest:
            fewest, found = runs, band
            if runs == -(-rows * across // limit):  # no band takes fewer
                break
    return found


#: ``prepare`` of each form's kernel, by its name.
layers = SimpleNamespace(**{name: partial(Winograd, name) for name in FORMS})
