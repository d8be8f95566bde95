"""Model size: the bytes on disk of what the engine loads."""

from __future__ import annotations

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """All files of the model in the engine's own format."""
    if observed.model_bytes is None:
        return observed.missing("size", "the files are not known")
    return Measurement("B", {"disk": float(observed.model_bytes)}, "sizes of the files that the engine loads")
