"""What a work item computes, by device: vectors and register tiles for a processor, small pieces for a GPU."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from orpheus_opencl.device import Found, Opened

#: Channels in a block of NCHW16c.
BLOCK = 16


@dataclass(frozen=True)
class Tile:
    """Blocks of filters, rows and columns of Y."""

    blocks: int
    rows: int
    columns: int

    @property
    def name(self) -> str:
        """As kernels that take it are called."""
        return f"direct{self.blocks}x{self.rows}x{self.columns}"


def lanes(device: Found | Opened) -> int:
    """Floats in a vector: the native width where there is one of at least 8, a quarter of a block elsewhere."""
    native = device.device.native_vector_width_float
    return 16 if native >= 16 else 8 if native >= 8 else 4


def tile(device: Opened, blocks: int, rows: int, columns: int) -> Tile:
    """The tile of a convolution's output that wastes least, and of those the one that reads least.

    There are few, because each is a program to compile.
    """
    return _best(fitting(device, blocks, rows, columns), blocks, rows, columns)


def product_tile(device: Opened, blocks: int, columns: int) -> Tile:
    """The same for a product of matrices, whose kernel is small; few columns are tiled with many blocks."""
    flat = (*_FLAT, *_FLAT_WIDE) if lanes(device) == BLOCK else _FLAT
    more = (t for t in flat if device.is_cpu and t.blocks <= blocks and t.columns <= columns)
    return _best((*fitting(device, blocks, 1, columns), *more), blocks, 1, columns)


def line(device: Opened, columns: int) -> int:
    """Columns of a row that a depthwise convolution computes together: those that waste least, the most of them."""
    few = _LINES if device.is_cpu else _LINES[:2]
    return min((c for c in few if c <= columns), key=lambda c: (ceil(columns / c) * c, -c))


def fitting(device: Opened, blocks: int, rows: int, columns: int) -> list[Tile]:
    """Those of the device that such an output fills."""
    there = tiles_of(device)
    return [t for t in there if t.blocks <= blocks and t.rows <= rows and t.columns <= columns]


def waste(t: Tile, blocks: int, rows: int, columns: int) -> float:
    """The time of an output's tiles, in multiply-adds of vectors for each term of a sum."""
    work = ceil(blocks / t.blocks) * ceil(rows / t.rows) * ceil(columns / t.columns)
    # Waits for sums where these are few.
    return work * max(t.blocks * t.rows * t.columns * max(1, _loads(t)), 8)


def _loads(t: Tile) -> float:
    """For every multiply-add."""
    return 1 / (t.rows * t.columns) + 1 / t.blocks


def _best(tiles: Sequence[Tile], blocks: int, rows: int, columns: int) -> Tile:
    return min(tiles, key=lambda t: (waste(t, blocks, rows, columns), _loads(t)))


def tiles_of(device: Found | Opened) -> tuple[Tile, ...]:
    """Of direct convolutions: sums, a vector of each block of filters and one of X must lie in registers."""
    if not device.is_cpu:
        return _SMALL
    return _WIDE if lanes(device) == BLOCK else _NARROW


_LINES = (1, 4, 7, 8, 14, 16)
_FLAT = (Tile(1, 1, 8), Tile(2, 1, 4))
_FLAT_WIDE = (Tile(2, 1, 8), Tile(1, 1, 16), Tile(4, 1, 4))
_SMALL = (Tile(1, 1, 1), Tile(1, 1, 4), Tile(2, 1, 4), Tile(1, 1, 7))
_NARROW = (Tile(1, 1, 1), Tile(1, 1, 4), Tile(2, 1, 6), Tile(2, 1, 7), Tile(1, 1, 12))
_WIDE = (
    Tile(1, 1, 1), Tile(1, 1, 4), Tile(1, 1, 14), Tile(2, 1, 7), Tile(2, 1, 9), Tile(2, 1, 14), Tile(2, 2, 7),
    Tile(3, 1, 8),
)  # fmt: skip
#: Of any device: each is a kernel there, which may be measured against what :func:`tile` chooses.
TILES = tuple(dict.fromkeys((*_WIDE, *_NARROW, *_SMALL)))
