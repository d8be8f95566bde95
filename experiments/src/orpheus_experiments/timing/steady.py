"""Samples of one call, and a warm-up that ends when they no longer change."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

__all__ = ["LEAD_IN", "Warmth", "samples", "warm_up"]

#: Before samples count, a turn runs this long: the caches, the clock and sleeping threads are another's leavings.
LEAD_IN = 0.03
_WINDOW = 0.1
_LEAST = 3


@dataclass(frozen=True)
class Warmth:
    """Whether two windows in a row agreed, and how many runs that took."""

    steady: bool
    runs: int


def samples(run: Callable[[], Any], runs: int, at_least: float) -> list[float]:
    """Seconds of each of ``runs`` or more calls that together last ``at_least`` seconds."""
    clock = time.perf_counter
    found: list[float] = []
    begun = clock()
    while len(found) < runs or clock() - begun < at_least:
        start = clock()
        run()
        found.append(clock() - start)
    return found


def warm_up(run: Callable[[], Any], limit: float, within: float = 0.02) -> Warmth:
    """Run until two windows in a row (0.1 s and three calls or more) have medians within the share ``within``.

    Not steady when that takes more than ``limit`` seconds; the window in which they end is finished.
    """
    end, last, runs = time.perf_counter() + limit, float("inf"), 0
    while time.perf_counter() < end:
        window = samples(run, _LEAST, _WINDOW)
        runs += len(window)
        middle = median(window)
        if abs(middle - last) <= within * middle:
            return Warmth(True, runs)
        last = middle
    return Warmth(False, runs)
