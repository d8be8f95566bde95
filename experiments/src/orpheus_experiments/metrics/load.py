"""Load time: from the model in the engine's own format to a session that can run, in a fresh process."""

from __future__ import annotations

from statistics import median

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """Medians over processes: ``warm`` with the file in the page cache, ``cold`` with the file dropped from it.

    Imports and a tiny first model come before and do not count. ``cold`` is None where the file could not be dropped;
    the source says why.
    """
    cold = [p.cold_load for p in observed.processes if p.cold_load is not None]
    values = {
        "warm": median(p.load for p in observed.processes),
        "cold": median(cold) if cold else None,
        "processes": float(len(observed.processes)),
    }
    how = (
        "dropped by posix_fadvise, checked by mincore" if cold else observed.reasons.get("load", "not tried")
    )
    return Measurement("s", values, f"time.perf_counter around the load; cold: {how}")
