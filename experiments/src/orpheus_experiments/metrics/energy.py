"""Energy: joules of an item by counters of the hardware, never an estimate."""

from __future__ import annotations

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """``item``: all that the counters saw; ``above_idle``: less what the idle machine uses in the same time.

    Counters see the whole package or board, so both hold for a machine that does nothing else.
    """
    turns = [t for p in observed.processes for t in p.turns]
    if not turns or not all(t.joules for t in turns):
        return observed.missing("energy", "not asked for")
    joules = sum(sum(t.joules.values()) for t in turns)
    wall = sum(t.wall for t in turns)
    items = observed.trial.batch * sum(len(row) for t in turns for row in t.samples)
    watts = [sum(reading.values()) for reading in observed.watts]
    idle = sum(watts) / len(watts) if watts else None
    values = {
        "item": joules / items,
        "above_idle": None if idle is None else (joules - idle * wall) / items,
        "watts": joules / wall,
        "idle_watts": idle,
    }
    return Measurement("J", values, ", ".join(sorted(turns[0].joules)))
