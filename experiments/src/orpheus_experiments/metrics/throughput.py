"""Throughput: items a second, an item being one element of the batch."""

from __future__ import annotations

from collections.abc import Sequence

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.statistics.processes import centre
from orpheus_experiments.trial.record import Measurement, Turn

__all__ = ["measure", "rate"]


def measure(observed: Observed) -> Measurement:
    """The geometric mean of the processes' rates with its interval, and how many processors were busy meanwhile."""
    batch = observed.trial.batch
    found = centre([rate(p.turns, batch) for p in observed.processes])
    turns = [t for p in observed.processes for t in p.turns]
    cores = sum(t.cpu for t in turns) / sum(t.wall for t in turns)
    values = {"rate": found.value, "low": found.low, "high": found.high, "cores": cores}
    streams = observed.trial.streams
    source = "items completed / time of the turns"
    return Measurement("1/s", values, source + (f", {streams} streams at once" if streams > 1 else ""))


def rate(turns: Sequence[Turn], batch: int) -> float:
    """Items a second in ``turns``."""
    items = batch * sum(len(row) for t in turns for row in t.samples)
    return items / sum(t.wall for t in turns)
