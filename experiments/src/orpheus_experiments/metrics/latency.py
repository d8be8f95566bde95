"""Latency: seconds of one inference as its caller sees it."""

from __future__ import annotations

from statistics import median

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.statistics.processes import centre, percentile
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """Median with its interval over processes; percentiles, the worst and its ratio to the median over all samples.

    ``median`` is the geometric mean of the processes' medians: two engines that are compared turn by turn may differ by
    a little less or more than their medians say. ``p90`` and ``p99`` are told from 100 and 1000 samples on. ``jitter``
    is max / median, which a real-time use has to reckon with.
    """
    rows = observed.samples()
    every = [s for row in rows for s in row]
    middle = centre([median(row) for row in rows])
    values = {
        "median": middle.value,
        "low": middle.low,
        "high": middle.high,
        "p90": percentile(every, 90),
        "p99": percentile(every, 99),
        "min": min(every),
        "max": max(every),
        "jitter": max(every) / median(every),
        "runs": float(len(every)),
    }
    return Measurement("s", values, "time.perf_counter around each call")
