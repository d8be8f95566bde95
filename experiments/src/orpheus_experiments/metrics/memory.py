"""Memory: the most that a process held, and what it held on GPUs."""

from __future__ import annotations

from statistics import median

from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial.record import Measurement

__all__ = ["measure"]


def measure(observed: Observed) -> Measurement:
    """``peak`` of the whole process, Python and libraries included; ``growth`` by the load and two runs alone.

    ``device`` and ``device_growth`` are the same of GPUs, after the runs; they are left out where none is used.
    """
    peaks = [p.peak_bytes for p in observed.processes if p.peak_bytes is not None]
    growths = [p.growth_bytes for p in observed.processes if p.growth_bytes is not None]
    if not peaks:
        return observed.missing("memory", "this system does not tell a process's peak")
    values = {"peak": float(median(peaks)), "growth": float(median(growths)) if growths else None}
    source = "VmHWM of /proc/self/status, counted anew after a tiny model"
    for name, field in (("device", "device_bytes"), ("device_growth", "device_growth_bytes")):
        held = [v for p in observed.processes if (v := getattr(p, field)) is not None]
        if held:
            values[name] = float(median(held))
    if "device" in values:
        source += "; nvmlDeviceGetComputeRunningProcesses"
    return Measurement("B", values, source)
