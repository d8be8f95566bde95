"""What a work item computes, by device: vectors and register tiles for a processor, small pieces for a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from orpheus_opencl.device import Opened

#: Channels in a block of NCHW16c.
BLOCK = 16
_COLUMNS = 14


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
    """The tile of a convolution's output that wastes least, and of those the one that reads least."""
    registers = (32 if lanes(device) == BLOCK else 16) if device.is_cpu else 12
    best = Tile(1, 1, 1)
    score = (float("inf"), 0.0)
    for b in (1, 2, 3, 4):
        for r in (1, 2, 3, 4):
            for c in range(1, min(columns, _COLUMNS) + 1):
                # Sums, a vector of each block of filters and one of X must lie in registers.
                if b > blocks or r > rows or b * (r * c + 1) + 1 > registers or (r > 1 and c < columns):
                    continue
                work = ceil(blocks / b) * b * ceil(rows / r) * r * ceil(columns / c) * c
                # Loads for every multiply-add, and waits for sums where these are few.
                loads = 1 / (r * c) + 1 / b
                cost = work * max(1.0, loads, 8 / (b * r * c))
                if (cost, loads) < score:
                    best, score = Tile(b, r, c), (cost, loads)
    return best
