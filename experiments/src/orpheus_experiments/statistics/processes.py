"""Intervals whose unit is the process: a fresh one places memory anew, and its runs share that fate.

The many runs of one process agree with each other better than two processes do, so an interval from single runs would
promise too much. A process is one number here, the logarithm of its median, and Student's t gives the interval. Of two
engines that took turns, the number is the median gap between turns side by side: what slows the machine for longer than
a turn meets both and cancels, and a turn that was hit alone does not count.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import fmean, median, stdev

from orpheus_experiments.statistics.student import cumulative, quantile

__all__ = [
    "LEVEL",
    "Difference",
    "Estimate",
    "centre",
    "chance",
    "compare",
    "compare_turns",
    "noise",
    "percentile",
]

#: Of every interval: one in twenty does not hold the truth.
LEVEL = 0.95
# A percentile is told where so many samples lie beyond it.
_BEYOND = 10


@dataclass(frozen=True)
class Estimate:
    """A value and its interval; ``low`` and ``high`` are None where there is one process only."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Difference:
    """How many times as large ``a`` is as ``b``, and what the machine does to one engine alone.

    ``noise`` is the median gap between two processes of the same engine, as a share, without what met both engines in
    turn; None where none has two.
    """

    ratio: Estimate
    noise: float | None

    @property
    def is_real(self) -> bool | None:
        """Whether one is in the interval, or the gap no larger than the noise: then False. None: cannot be told."""
        if self.ratio.low is None or self.ratio.high is None or self.noise is None:
            return None
        beyond = not self.ratio.low <= 1 <= self.ratio.high
        return beyond and abs(math.log(self.ratio.value)) > math.log1p(self.noise)


def centre(medians: Sequence[float]) -> Estimate:
    """The geometric mean of processes' medians with its interval; ValueError for none or one not above zero."""
    return _estimate([math.log(m) for m in medians])


def compare(a: Sequence[float], b: Sequence[float]) -> Difference:
    """``a`` over ``b``, medians of processes that met the machine apart, by Welch's interval. ValueError for none."""
    return Difference(_welch(*([math.log(m) for m in medians] for medians in (a, b))), noise((a, b)))


def compare_turns(a: Sequence[Sequence[float]], b: Sequence[Sequence[float]]) -> Difference:
    """``a`` over ``b``, each a sequence of the turns of every process; those of one index ran side by side.

    ValueError for none, and where one has another number of processes or turns.
    """
    if [len(turns) for turns in a] != [len(turns) for turns in b]:
        raise ValueError("the processes of two engines are no pairs: one has more of them, or more turns")
    apart = [median(math.log(x) - math.log(y) for x, y in zip(*turns)) for turns in zip(a, b)]
    # Between two rounds, the difference of the engines varies by the noise of both.
    gaps = [abs(x - y) / math.sqrt(2) for x, y in combinations(apart, 2)]
    return Difference(_estimate(apart), math.expm1(median(gaps)) if gaps else None)


def chance(a: Sequence[float], b: Sequence[float]) -> float | None:
    """The probability of so large a gap between unpaired medians of processes, were there none; None for one process.

    Welch's test of their logarithms, two-sided.
    """
    if len(a) < 2 or len(b) < 2:
        return None
    apart, error, freedom = _apart(*([math.log(m) for m in medians] for medians in (a, b)))
    if not error:
        return 0.0 if apart else 1.0
    return min(1.0, 2 * (1 - cumulative(abs(apart) / error, freedom)))


def noise(engines: Sequence[Sequence[float]]) -> float | None:
    """The median gap between two processes of one engine, as a share, over all engines; None when none has two."""
    gaps = [abs(math.log(x) - math.log(y)) for medians in engines for x, y in combinations(medians, 2)]
    return math.expm1(median(gaps)) if gaps else None


def percentile(samples: Sequence[float], percent: float) -> float | None:
    """The ``percent`` percentile by linear interpolation; None where fewer than ten samples lie beyond it."""
    ordered = sorted(samples)
    if round(len(ordered) * (100 - percent), 6) < 100 * _BEYOND:
        return None
    place = (len(ordered) - 1) * percent / 100
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _estimate(logs: Sequence[float]) -> Estimate:
    if not logs:
        raise ValueError("no process to estimate from")
    middle = fmean(logs)
    if len(logs) < 2:
        return Estimate(math.exp(middle))
    return _around(middle, stdev(logs) / math.sqrt(len(logs)), len(logs) - 1)


def _welch(a: Sequence[float], b: Sequence[float]) -> Estimate:
    if not a or not b:
        raise ValueError("no process to compare")
    if len(a) < 2 or len(b) < 2:
        return Estimate(math.exp(fmean(a) - fmean(b)))
    return _around(*_apart(a, b))


def _apart(a: Sequence[float], b: Sequence[float]) -> tuple[float, float, int]:
    """The gap of two means, its standard error, and Welch's degrees of freedom."""
    parts = [stdev(x) ** 2 / len(x) for x in (a, b)]
    error = math.sqrt(sum(parts))
    weights = sum(p**2 / (len(x) - 1) for p, x in zip(parts, (a, b)))
    freedom = max(1, math.floor(error**4 / weights)) if weights else len(a) + len(b) - 2
    return fmean(a) - fmean(b), error, freedom


def _around(middle: float, error: float, freedom: int) -> Estimate:
    half = quantile((1 + LEVEL) / 2, freedom) * error
    return Estimate(math.exp(middle), math.exp(middle - half), math.exp(middle + half))
