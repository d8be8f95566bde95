"""How a product is cut into blocks: a tile of Y, warps over it, shares of K; chosen by a model of the time.

The model counts cycles of a multiprocessor. What an inner loop of product.cu does was read from its compiled code
(sm_90): instructions, reads and writes of shared memory; how fast these go is the architecture's, by its documentation
and by published measurements of Hopper. No figure here was measured by Orpheus.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

#: Bytes of K in one piece, and from row to row of it in shared memory.
PIECE = 64
_PITCH = 80
#: Of a multiprocessor: threads (1536 in some), registers; bytes a cycle from shared memory and from L2.
_THREADS, _REGISTERS = 1536, 65536
#: Bytes of shared memory that the system keeps for each block, and that a block may not have of the whole.
_RESERVED = 1024
_SHARED_RATE, _L2_RATE = 128, 32
#: Cycles of a tensor core for 16 x 8 sums over 32 bytes of K, of every type.
_MMA = 6.2
#: Instructions of a loop's turn that are not products: for each chunk that a thread brings, and for all.
_FOR_CHUNK, _FOR_TURN = 7, 30
#: Cycles: a barrier and what follows it until sums go on, a block's beginning and end, the meeting of shares; and from
#: asking for a piece to having it, where it comes from the device's memory.
_STEP, _BLOCK, _MEETING, _FETCH = 120, 1800, 1500, 800
SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
#: Shares that meet in a cluster, on these compute capabilities (GPUs of data centres, whose clusters are the largest);
#: cycles of that, and bytes a cycle.
CLUSTERS, CLUSTERED = (2, 4, 8), (9, 10)
_CLUSTER, _CLUSTER_RATE = 700, 16


@dataclass(frozen=True)
class Tile:
    """Rows and columns of Y in a block, warps along each; ``tensor``: on tensor cores.

    ``stages``: pieces under way, and one that is computed with.
    """

    rows: int
    columns: int
    warps_m: int
    warps_n: int
    tensor: bool = False
    stages: int = 4

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * self.warps_m * self.warps_n

    @property
    def shared(self) -> int:
        """Bytes of shared memory: pieces under way, and then the sums of all rows."""
        return max(self.stages * (self.rows + self.columns) * _PITCH, 4 * self.rows * (self.columns + 8))

    @property
    def sums(self) -> int:
        """Of a thread."""
        return self.rows * self.columns // self.threads

    def beside(self, shared: int) -> int:
        """Blocks that run on one multiprocessor, where one of them may take so many bytes of shared memory."""
        registers = 96 if self.sums <= 32 else 128 if self.sums <= 64 and self.tensor else 255
        return max(1, min(
            (shared + _RESERVED) // (self.shared + _RESERVED), _THREADS // self.threads,
            _REGISTERS // (self.threads * registers),
        ))  # fmt: skip

    @property
    def loop(self) -> tuple[float, float]:
        """Cycles of a piece: where enough blocks run side by side, and of a block that is alone."""
        m, n, warps = self.rows // self.warps_m, self.columns // self.warps_n, self.warps_m * self.warps_n
        chunks = (self.rows + self.columns) * 4 / self.threads
        if self.tensor:
            products, reads = m // 16 * (n // 8) * 2, (m // 16 + n / 16) * 2
            alone = products * _MMA
        else:
            products, reads = m // 4 * (n // 8) * 16, (m // 4 + n // 8) * 4
            alone = 0.0
        instructions = products + reads + chunks * _FOR_CHUNK + _FOR_TURN
        brought = (self.rows + self.columns) * PIECE
        shared = (warps * reads * 512 + brought) / _SHARED_RATE
        busy = max(warps / 4 * max(instructions, alone), shared, brought / _L2_RATE)
        step = _STEP + max(ceil(warps / 4) * max(instructions, alone), shared)
        return busy, max(step, _FETCH / (self.stages - 1))

    def words(self, shared: int) -> dict[str, int]:
        """As the kernel's definitions; ``shared`` as in :meth:`beside`."""
        return {
            "BM": self.rows, "BN": self.columns, "WARPS_M": self.warps_m, "WARPS_N": self.warps_n,
            "STAGES": self.stages, "BLOCKS": self.beside(shared),
        }  # fmt: skip


# A thread of the plain loop has 8 x 8 or 4 x 4 sums; a warp of the tensor cores' 64 x 64 down to 16 x 16.
PLAIN = tuple(
    Tile(*shape)
    for shape in (
        (128, 128, 4, 2), (128, 64, 4, 1), (64, 64, 2, 1), (64, 64, 4, 2), (32, 64, 2, 2), (64, 32, 4, 1),
        (32, 32, 2, 1), (16, 32, 1, 1),
    )
)  # fmt: skip
# Small ones have more pieces under way: they compute a piece sooner than memory brings one.
TENSOR = tuple(
    Tile(rows, columns, warps_m, warps_n, tensor=True, stages=stages)
    for rows, columns, warps_m, warps_n, stages in (
        (256, 128, 4, 2, 4), (128, 128, 2, 2, 4), (128, 128, 2, 4, 4), (128, 64, 2, 2, 4), (64, 128, 2, 2, 4),
        (64, 64, 2, 2, 5), (32, 64, 1, 4, 6), (64, 32, 4, 1, 6), (32, 32, 2, 2, 8), (16, 32, 1, 2, 8),
    )
)  # fmt: skip


def ranked(
    rows: int,
    columns: int,
    depth: int,
    matrices: int,
    size: int,
    processors: int,
    shared: int,
    *,
    tensor: bool,
    clusters: bool,
) -> list[tuple[Tile, int]]:
    """Every tile that fits, with the number of shares of K that suits it best, in order of modelled time.

    ``size``: bytes of an element; ``depth``: products in a sum; ``shared``: bytes of shared memory a block may take;
    ``clusters``: whether blocks may run in clusters.
    """
    pieces = ceil(depth * size / PIECE)

    def time(tile: Tile, splits: int) -> float:
        blocks = ceil(rows / tile.rows) * ceil(columns / tile.columns) * matrices * splits
        each = ceil(blocks / processors)  # of one multiprocessor
        turns = ceil(each / tile.beside(shared))
        busy, alone = tile.loop
        meeting = 0.0
        if clusters and splits in CLUSTERS:
            meeting = _CLUSTER + tile.rows * tile.columns * 4 / _CLUSTER_RATE
        elif splits > 1:
            meeting = _MEETING + (splits + each) * tile.rows * tile.columns * 4 / _L2_RATE
        return turns * _BLOCK + ceil(pieces / splits) * max(each * busy, turns * alone) + meeting

    def best(tile: Tile) -> tuple[float, int]:
        known = (n for n in SPLITS if n == 1 or (pieces >= 4 * n and matrices * n <= 65535))
        return min((time(tile, n), n) for n in known)

    fit = [tile for tile in (TENSOR if tensor else PLAIN) if tile.shared <= shared]
    found = [(*best(tile), place, tile) for place, tile in enumerate(fit)]
    return [(tile, splits) for _, splits, _, tile in sorted(found, key=lambda row: row[:3])]
