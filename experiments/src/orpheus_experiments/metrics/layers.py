"""Layers: what each takes, from runs that are profiled after all that was timed."""

from __future__ import annotations

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """``sum`` of the layers' medians and how many there are; the layers themselves are in the record.

    ``peak`` and ``bandwidth`` are the machine's, for a roofline. The sum is above the latency, for every layer is timed
    by itself.
    """
    if not observed.layers:
        return observed.missing("layers", "not profiled")
    values = {
        "sum": sum(layer.seconds for layer in observed.layers),
        "count": float(len(observed.layers)),
        "peak": observed.peak[0] if observed.peak else None,
        "bandwidth": observed.bandwidth[0] if observed.bandwidth else None,
    }
    told = "; ".join(
        f"{name}: {found[1]}"
        for name, found in (("peak", observed.peak), ("bandwidth", observed.bandwidth))
        if found
    )
    return Measurement(
        "s", values, "the engine's own profile, in a process of its own" + (f"; {told}" if told else "")
    )
