"""Agreement: how often the engine's first class is the reference's."""

from __future__ import annotations

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """The share of items whose largest output is the same; random inputs, so it tells of rounding, not accuracy."""
    if observed.agreement is None:
        return observed.missing("agreement", "not compared")
    values = {"top1": observed.agreement, "items": float(observed.images)}
    return Measurement("share", values, f"against {observed.reference} on {observed.images} random inputs")
