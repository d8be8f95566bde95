"""How a product is cut into blocks: a tile of Y, warps over it, shares of K; chosen by a model of the time."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

#: Bytes of K in one piece, and stages of pieces under way.
PIECE = 64
_STAGES = 4
_PITCH = 80


@dataclass(frozen=True)
class Tile:
    """Rows and columns of Y in a block, warps along each; ``speed``: of its inner loop, the best being 1."""

    rows: int
    columns: int
    warps_m: int
    warps_n: int
    speed: float
    stages: int = _STAGES

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * self.warps_m * self.warps_n

    @property
    def shared(self) -> int:
        """Bytes of shared memory."""
        return self.stages * (self.rows + self.columns) * _PITCH

    def words(self) -> dict[str, int]:
        """As the kernel's definitions."""
        return {
            "BM": self.rows, "BN": self.columns, "WARPS_M": self.warps_m, "WARPS_N": self.warps_n,
            "STAGES": self.stages,
        }  # fmt: skip


# A thread of the plain loop has 8 x 8 or 4 x 4 sums; a warp of the tensor cores' 64 x 32 down to 16 x 16.
PLAIN = (
    Tile(128, 128, 4, 2, 1.0), Tile(128, 64, 4, 1, 0.95), Tile(64, 64, 2, 1, 0.85), Tile(64, 64, 4, 2, 0.65),
    Tile(32, 64, 2, 2, 0.6), Tile(64, 32, 4, 1, 0.6), Tile(32, 32, 2, 1, 0.5), Tile(16, 32, 1, 1, 0.35),
)  # fmt: skip
TENSOR = (
    Tile(128, 128, 2, 4, 1.0), Tile(128, 64, 2, 2, 0.85), Tile(64, 64, 2, 2, 0.65), Tile(32, 64, 1, 4, 0.45),
    Tile(64, 32, 4, 1, 0.45), Tile(32, 32, 2, 2, 0.35), Tile(16, 32, 1, 2, 0.25),
)  # fmt: skip


def choose(
    rows: int, columns: int, depth: int, matrices: int, size: int, processors: int, *, tensor: bool
) -> tuple[Tile, int]:
    """The tile, and into how many shares K is cut, of least modelled time. ``size``: bytes of an element.

    Time is counted in pieces of K of the largest tile. A processor runs blocks side by side for as long as they fit;
    one that is alone on it waits for memory more than it computes.
    """
    pieces = ceil(depth * size / PIECE)

    def time(tile: Tile, splits: int) -> float:
        blocks = ceil(rows / tile.rows) * ceil(columns / tile.columns) * matrices * splits
        area = tile.rows * tile.columns / (128 * 128)
        beside = max(1, min(160 * 1024 // tile.shared, 1024 // tile.threads))
        rounds = blocks / processors
        full = ceil(rounds / beside) * beside if rounds > beside else max(1.0, rounds)
        work = area / tile.speed * full
        latency = 0.12  # of a piece that nothing hides: a block's own steps follow one another
        share = ceil(pieces / splits)
        start = 4 + (2 + 0.3 * splits * area if splits > 1 else 0)
        return start + share * max(work, latency * (1 if rounds <= beside else full / beside))

    best = (float("inf"), PLAIN[0], 1)
    for tile in TENSOR if tensor else PLAIN:
        for splits in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32):
            if splits > 1 and (pieces < 4 * splits or matrices * splits > 65535):
                continue
            found = time(tile, splits)
            if found < best[0]:
                best = (found, tile, splits)
    return best[1], best[2]
