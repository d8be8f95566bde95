"""Planned memory: what Orpheus's plan holds."""

from __future__ import annotations

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """``weights``: packed constants; ``arena``: intermediate results and workspaces."""
    first = observed.processes[0]
    if first.weight_bytes is None or first.arena_bytes is None:
        return observed.missing("plan", f"{observed.trial.engine} does not tell its plan")
    values = {"weights": float(first.weight_bytes), "arena": float(first.arena_bytes)}
    return Measurement("B", values, "the session's plan, of one stream")
