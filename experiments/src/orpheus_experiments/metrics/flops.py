"""Achieved FLOP/s, and their share of what the machine was measured to do."""

from __future__ import annotations

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.metrics.throughput import rate
from orpheus_experiments.statistics.processes import centre
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """A multiply-accumulate counts as two, by the operators' definitions: a quicker algorithm may exceed the peak."""
    if not observed.macs:
        return observed.missing("flops", "the model's multiply-accumulates are not known")
    if observed.peak is None:
        return observed.missing("flops", "the peak was not measured")
    inferences = centre([rate(p.turns, 1) for p in observed.processes]).value
    achieved = 2 * observed.macs * inferences
    peak, source = observed.peak
    values = {"achieved": achieved, "peak": peak, "share": achieved / peak, "macs": float(observed.macs)}
    return Measurement("FLOP/s", values, f"operators' definitions; peak: {source}")
