"""The arena: one block of memory for every intermediate tensor, planned ahead.

Buffers are placed largest first, each in the smallest gap between the already placed buffers that are alive at the
same time (best fit), as XNNPACK's memory planner does. Several orders are tried and the smallest block wins,
since no single order is best for every network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

ALIGNMENT = 64
# Placements tried per order; each costs about a millisecond for a network of a hundred layers.
_REPAIRS = 12


@dataclass(eq=False)
class Buffer:
    """``nbytes`` that must stay untouched from step ``first`` to step ``last``, both included."""

    nbytes: int
    first: int
    last: int
    offset: int = 0
    alignment: int = ALIGNMENT

    @cached_property
    def padded(self) -> int:
        """Bytes rounded up to the alignment, which is that of every buffer of the block."""
        return -(-self.nbytes // self.alignment) * self.alignment


@dataclass(frozen=True)
class Arena:
    """The block's size, and the least any plan could do: the largest sum of bytes alive at once."""

    nbytes: int
    lower_bound: int


def plan_arena(buffers: Sequence[Buffer]) -> Arena:
    """Set every buffer's offset; return the block's size and its lower bound (alignment padding included)."""
    bound = lower_bound(buffers)
    best = _Best(buffers)
    for key in _ORDERS:
        order = sorted(buffers, key=key)
        for _ in range(_REPAIRS):
            total = best.offer(order)
            if best.total == bound:
                return best.restore(bound)
            # What sticks out at the top came too late: let it choose earlier, and try again.
            top = [b for b in order if b.offset + b.padded == total]
            order = top + [b for b in order if b.offset + b.padded != total]
    return best.restore(bound)


class _Best:
    """The best placement so far."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self.buffers = buffers
        self.total = 0 if not buffers else None
        self.offsets: list[int] = []

    def offer(self, order: Sequence[Buffer]) -> int:
        """Place in this order, keep the result if it is the smallest, return its size."""
        total = _place(order)
        if self.total is None or total < self.total:
            self.total = total
            self.offsets = [b.offset for b in self.buffers]
        return total

    def restore(self, bound: int) -> Arena:
        """Write the best offsets back."""
        for buffer, offset in zip(self.buffers, self.offsets):
            buffer.offset = offset
        return Arena(self.total or 0, bound)


def lower_bound(buffers: Iterable[Buffer]) -> int:
    """The largest sum of (padded) bytes alive at one step."""
    change: dict[int, int] = {}
    for buffer in buffers:
        change[buffer.first] = change.get(buffer.first, 0) + buffer.padded
        change[buffer.last + 1] = change.get(buffer.last + 1, 0) - buffer.padded
    alive = peak = 0
    for step in sorted(change):
        alive += change[step]
        peak = max(peak, alive)
    return peak


_ORDERS: tuple[Callable[[Buffer], tuple[int, ...]], ...] = (
    lambda b: (-b.padded, b.first),
    lambda b: (-b.padded * (b.last - b.first + 1), b.first),
    lambda b: (b.first, -b.padded),
    lambda b: (b.first - b.last, -b.padded),
)


def _place(buffers: Sequence[Buffer]) -> int:
    """Give each buffer in turn the best-fitting free gap; returns the size of the block."""
    placed: list[Buffer] = []  # sorted by offset
    total = 0
    for buffer in buffers:
        gap_start, best, best_size = 0, None, None
        for other in placed:
            if other.last < buffer.first or other.first > buffer.last:
                continue
            size = other.offset - gap_start
            if size >= buffer.padded and (best_size is None or size < best_size):
                best, best_size = gap_start, size
            gap_start = max(gap_start, other.offset + other.padded)
        buffer.offset = gap_start if best is None else best
        total = max(total, buffer.offset + buffer.padded)
        low, high = 0, len(placed)
        while low < high:
            middle = (low + high) // 2
            if placed[middle].offset <= buffer.offset:
                low = middle + 1
            else:
                high = middle
        placed.insert(low, buffer)
    return total
