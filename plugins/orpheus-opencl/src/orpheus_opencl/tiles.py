"""What a work item computes, by device: vectors and register tiles for a processor, small pieces for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from orpheus_opencl.device import Opened

#: Channels in a block of NCHW16c.
BLOCK = 16


@dataclass(frozen=True)
class Tile:
    """Blocks of filters, rows and columns of Y."""

    blocks: int
    rows: int
    columns: int


def lanes(device: Opened) -> int:
    """Floats in a vector: the native width where there is one of at least 8, a quarter of a block elsewhere."""
    native = device.device.native_vector_width_float
    return 16 if native >= 16 else 8 if native >= 8 else 4


def tile(device: Opened, blocks: int, rows: int, columns: int) -> Tile:
    """The tile of a convolution's output that wastes least, and of those the one that reads least.

    There are few, because each is a program to compile.
    """
    return _best(_tiles(device), blocks, rows, columns)


def product_tile(device: Opened, blocks: int, columns: int) -> Tile:
    """The same for a product of matrices, whose kernel is small; few columns are tiled with many blocks."""
    return _best((*_tiles(device), *(_FLAT if device.is_cpu else ())), blocks, 1, columns)


def _best(tiles: Sequence[Tile], blocks: int, rows: int, columns: int) -> Tile:
    fits = [t for t in tiles if t.blocks <= blocks and t.rows <= rows and t.columns <= columns]

    def cost(t: Tile) -> tuple[float, float]:
        work = ceil(blocks / t.blocks) * ceil(rows / t.rows) * ceil(columns / t.columns)
        # Loads for every multiply-add, and waits for sums where these are few.
        loads = 1 / (t.rows * t.columns) + 1 / t.blocks
        sums = t.blocks * t.rows * t.columns
        return work * max(sums, loads * sums, 8), loads

    return min(fits, key=cost)


def _tiles(device: Opened) -> tuple[Tile, ...]:
    """Sums, a vector of each block of filters and one of X must lie in registers."""
    if not device.is_cpu:
        return _SMALL
    return _WIDE if lanes(device) == BLOCK else _NARROW


_FLAT = (Tile(2, 1, 8), Tile(1, 1, 16), Tile(1, 1, 8), Tile(4, 1, 4), Tile(2, 1, 4))
_SMALL = (Tile(1, 1, 1), Tile(1, 1, 4), Tile(2, 1, 4), Tile(1, 1, 7))
_NARROW = (Tile(1, 1, 1), Tile(1, 1, 4), Tile(2, 1, 6), Tile(2, 1, 7), Tile(1, 1, 12))
_WIDE = (
    Tile(1, 1, 1), Tile(1, 1, 4), Tile(1, 1, 14), Tile(2, 1, 7), Tile(2, 1, 14), Tile(2, 2, 7), Tile(3, 1, 8),
)  # fmt: skip
