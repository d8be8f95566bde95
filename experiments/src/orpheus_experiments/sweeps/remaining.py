"""How long a sweep still takes, from how long it took."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Remaining", "duration"]

# Of all: before so much is done, nothing can be told.
_ENOUGH = 0.02


class Remaining:
    """Seconds left of ``total`` trials, were the rest as long as those that are done."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._begun = clock()
        self._done = 0

    def finished(self, count: int) -> None:
        """So many more are done."""
        self._done += count

    def left(self, under_way: float = 0.0) -> float | None:
        """Seconds; ``under_way`` is how many trials' worth of the next group is done. None while it is too early."""
        done = self._done + under_way
        if not self._total or done < _ENOUGH * self._total:
            return None
        return (self._clock() - self._begun) * (self._total - done) / done


def duration(seconds: float) -> str:
    """For people: ``50 s``, ``12 min``, ``3 h 05 min``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
