"""One schedule for every layer that TVM has no tuned one for: its own CPU backend lowers them to plain loops.

Layout: images NHWC, weights HWIO, so that output channels are contiguous. A layer's last stage (its sum written out, or
what follows it) is cut into tiles of ``rows`` pixels of a line by ``columns`` channels; the sum of a tile is computed
right before, in registers: reduction loops outside, pixels unrolled, channels as vectors. Channel tiles are the
outermost loop, so that their weights stay in the cache, and run in parallel together with the lines. A padded copy of
the input is made first; everything else is inlined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tvm import tirx

__all__ = ["Rule", "tile"]

_REDUCTION = 2  # of tvm.tirx.IterVar: the kind of a reduction's axis
#: Multiply-adds that have to be under way at once for the units to be busy: their latency times their number.
_UNDER_WAY = 4
_OUTSIDE = 2  # loops around a tile


def tile(rows: int, columns: int, lanes: int, registers: int) -> tuple[int, int, int]:
    """How many of ``rows`` and ``columns`` a tile has, both without a rest, and how many columns are a vector.

    The least of cycles per element: a step of the reduction has a multiply-add for each vector of the tile, loads a
    vector of weights and a scalar of the input, two of them a cycle, and a quarter of the registers stays for those.
    Vectors are powers of two: LLVM makes a power of two of others, and calculates all of it.
    """
    best: tuple[tuple[float, int], tuple[int, int, int]] | None = None
    for width in _divisors(columns):
        vector = min(lanes, width & -width)
        vectors = width // vector
        for height in _divisors(rows):
            used = height * vectors
            if used > registers * 3 // 4:
                break
            cycles = max(used, (height + vectors) / 2, _UNDER_WAY)
            key = (cycles / (height * width), -height * width)
            if best is None or key < best[0]:
                best = key, (height, width, vector)
    assert best is not None  # 1 x 1 always fits
    return best[1]


@dataclass
class Rule:
    """A schedule function as MetaSchedule's databases take it: whether it has scheduled ``sch``.

    ``lanes`` are the float32 of a vector, ``registers`` the vectors that the processor holds. ``scheduled`` and
    ``plain`` count the functions that it took and those that it left as they were.
    """

    lanes: int
    registers: int
    scheduled: int = field(default=0, init=False)
    plain: int = field(default=0, init=False)

    def __call__(self, sch: Any) -> bool:
        """Schedule ``sch``; False, and whatever state it is in is dropped, where the rule does not fit."""
        try:
            fits = self._schedule(sch)
        except Exception:  # ScheduleError and its kin, of anything that a step does not take
            fits = False
        self.scheduled += fits
        self.plain += not fits
        return fits

    def _schedule(self, sch: Any) -> bool:
        blocks = sch.get_child_blocks(sch.get_sblock("root"))
        if any(not isinstance(sch.get(x).extent, tirx.IntImm) for b in blocks for x in sch.get_loops(b)):
            return False
        sums = [i for i, block in enumerate(blocks) if _reduced(sch, block)]
        if len(sums) > 1:
            return False
        if not sums:
            _inline(sch, blocks[:-1])
            self._spread(sch, blocks[-1])
            return True
        total = blocks[sums[0]]
        for block in blocks[: sums[0]]:
            if "if_then_else" in str(sch.get(block).body):  # padding: inlined, each multiply-add would ask
                self._spread(sch, block)
            else:
                sch.compute_inline(block)
        after = blocks[sums[0] + 1 :]
        if after:
            _inline(sch, after[:-1])
            sch.set_scope(total, 0, "local")
        self._tile(sch, total, after[-1] if after else sch.cache_write(total, 0, "local"))
        return True

    def _tile(self, sch: Any, total: Any, last: Any) -> None:
        loops = list(sch.get_loops(last))
        if len(loops) == 1:
            loops.insert(0, sch.add_unit_loop(loops[0]))
        line, channels = _extents(sch, loops[-2:])
        height, width, vector = tile(line, channels, self.lanes, self.registers)
        row, rows = sch.split(loops[-2], [None, height])
        column, columns = sch.split(loops[-1], [None, width])
        sch.reorder(column, *loops[:-2], row, rows, columns)
        sch.parallel(sch.fuse(column, *loops[:-2]))
        _fixed(sch, rows, *sch.split(columns, [None, vector]))
        sch.compute_at(total, row, preserve_unit_loops=True)
        own = sch.get_loops(total)[_OUTSIDE:]
        count = sum(int(v.iter_type) == _REDUCTION for v in sch.get(total).iter_vars)
        spatial, reduced = own[:-count], own[-count:]
        sch.reorder(*reduced, *spatial)
        _fixed(sch, spatial[-2], *sch.split(spatial[-1], [None, vector]))
        start = sch.decompose_reduction(total, reduced[0])
        *_, rows, columns, inner = sch.get_loops(start)[_OUTSIDE:]
        _fixed(sch, rows, columns, inner)

    def _spread(self, sch: Any, block: Any) -> None:
        """A stage without a sum: its last axis in vectors, the others in parallel."""
        *others, last = sch.get_loops(block)
        (extent,) = _extents(sch, [last])
        outer, inner = sch.split(last, [None, min(self.lanes, extent & -extent)])
        sch.vectorize(inner)
        sch.parallel(sch.fuse(*others) if others else outer)


def _fixed(sch: Any, rows: Any, columns: Any, vector: Any) -> None:
    sch.unroll(rows)
    sch.unroll(columns)
    sch.vectorize(vector)


def _inline(sch: Any, blocks: Sequence[Any]) -> None:
    for block in blocks:
        sch.compute_inline(block)


def _reduced(sch: Any, block: Any) -> bool:
    return any(int(v.iter_type) == _REDUCTION for v in sch.get(block).iter_vars)


def _extents(sch: Any, loops: Sequence[Any]) -> list[int]:
    return [int(sch.get(loop).extent) for loop in loops]


def _divisors(n: int) -> list[int]:
    return [d for d in range(1, n + 1) if n % d == 0]
