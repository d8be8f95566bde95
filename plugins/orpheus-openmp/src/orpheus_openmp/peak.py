"""What this machine computes at best; the native side is native/kernels/peak.cpp."""

from __future__ import annotations

import time

import numpy as np

from orpheus_core.plugin import Step
from orpheus_openmp import isa

_SECONDS = 0.02
_TRIES = 5


def peak(threads: int) -> float:
    """FLOP/s in float32 of ``threads`` threads with the instruction set in use: the best of a few short runs."""
    name = isa.current()
    block, pixels, vectors = isa.tile(name)
    result = np.zeros(threads * block, np.float32)
    rounds, best = 1000, 0.0
    while True:
        step = isa.native().Step(name, "peak", threads, {"rounds": rounds, "y": result})
        seconds = _seconds(step)
        if seconds >= _SECONDS:
            break
        rounds *= 4
    for _ in range(_TRIES):
        best = max(best, 2.0 * threads * rounds * pixels * vectors * block / _seconds(step))
    return best


def _seconds(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
