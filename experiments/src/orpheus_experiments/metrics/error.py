"""Error: the largest difference from the reference, as a share of the output's range."""

from __future__ import annotations

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """Over all outputs and compared inputs; of float32 networks about 1e-6 is rounding."""
    if "error" in observed.reasons:
        return observed.missing("error", "")
    if observed.error is None:
        return Measurement.absent(f"its results are not finite where those of {observed.reference} are")
    return Measurement("of range", {"error": observed.error}, f"against {observed.reference}")
