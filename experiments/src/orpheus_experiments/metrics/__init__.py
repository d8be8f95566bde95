"""Metrics, one file each: what a trial's processes amount to, with the source of every figure."""

from __future__ import annotations

from orpheus_experiments.metrics import (
    agreement,
    energy,
    error,
    flops,
    latency,
    layers,
    load,
    memory,
    plan,
    size,
    throughput,
)  # fmt: skip
from orpheus_experiments.metrics.observed import Measure, Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["MEASURES", "Observed", "measure"]

MEASURES: dict[str, Measure] = {
    "latency": latency.measure,
    "throughput": throughput.measure,
    "load": load.measure,
    "memory": memory.measure,
    "plan": plan.measure,
    "size": size.measure,
    "energy": energy.measure,
    "error": error.measure,
    "agreement": agreement.measure,
    "flops": flops.measure,
    "layers": layers.measure,
}


def measure(observed: Observed) -> dict[str, Measurement]:
    """The metrics that the trial asks for; none where no process was finished."""
    return {name: MEASURES[name](observed) for name in observed.trial.metrics} if observed.processes else {}
