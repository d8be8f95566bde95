"""Medians, spreads, and intervals of ratios, by resampling whole rounds.

Inferences of one turn share its circumstances, so a bootstrap over single inferences would promise too much; a round,
in which every engine had a turn, is what is drawn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orpheus_core.types import Array

__all__ = ["Interval", "Spread", "best_ratio", "geometric_mean", "median", "spread"]

#: One engine's seconds, a sequence for each round.
Rounds = Sequence[Sequence[float]]
_DRAWS = 2000


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of all samples, and how many there are."""

    median: float
    low: float
    high: float
    runs: int


@dataclass(frozen=True)
class Interval:
    """A value with the 95 % interval that resampling gives it; ``draws`` are the resampled values."""

    value: float
    low: float
    high: float
    draws: Array


def spread(rounds: Rounds) -> Spread:
    """Of all samples of one engine."""
    every = np.concatenate([np.asarray(r) for r in rounds])
    low, median, high = (float(v) for v in np.percentile(every, (25, 50, 75)))
    return Spread(median, low, high, len(every))


def median(rounds: Rounds, seed: int = 0) -> Interval:
    """The median of all samples of one engine, with its interval."""
    drawn = np.random.default_rng(seed).integers(0, len(rounds), (_DRAWS, len(rounds)))
    return _interval(spread(rounds).median, _medians(rounds, drawn))


def best_ratio(mine: Rounds, peers: Mapping[str, Rounds], seed: int = 0) -> tuple[str, Interval]:
    """The fastest peer, and its median divided by mine: above 1 when mine is faster.

    Each draw takes as many rounds as there are, with replacement and the same ones for everybody, and chooses the
    fastest peer anew. All must have had the same rounds; ValueError when there is no peer.
    """
    if not peers:
        raise ValueError("no peer to compare with")
    counts = {len(mine), *map(len, peers.values())}
    if len(counts) != 1:
        raise ValueError(f"the numbers of rounds differ: {sorted(counts)}")
    drawn = np.random.default_rng(seed).integers(0, len(mine), (_DRAWS, len(mine)))
    medians = {name: _medians(rounds, drawn) for name, rounds in peers.items()}
    draws = np.minimum.reduce(list(medians.values())) / _medians(mine, drawn)
    best = min(peers, key=lambda name: spread(peers[name]).median)
    value = spread(peers[best]).median / spread(mine).median
    return best, _interval(value, draws)


def geometric_mean(ratios: Sequence[Interval]) -> Interval:
    """Of ratios that were measured apart from each other."""
    generator = np.random.default_rng(1)
    mixed = [generator.permutation(r.draws) for r in ratios]
    value = float(np.exp(np.mean([np.log(r.value) for r in ratios])))
    return _interval(value, np.exp(np.mean(np.log(mixed), axis=0)))


def _interval(value: float, draws: Array) -> Interval:
    low, high = (float(v) for v in np.percentile(draws, (2.5, 97.5)))
    return Interval(value, low, high, draws)


def _medians(rounds: Rounds, drawn: Array) -> Array:
    if len({len(r) for r in rounds}) == 1:
        return np.asarray(np.median(np.asarray(rounds)[drawn].reshape(len(drawn), -1), axis=1))
    parts = [np.asarray(r) for r in rounds]
    return np.array([np.median(np.concatenate([parts[i] for i in row])) for row in drawn])
