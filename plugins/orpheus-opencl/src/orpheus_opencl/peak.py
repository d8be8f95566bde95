"""What a device computes at best in float32: multiply-adds without memory, by a kernel of its own.

``peak`` is of the first device; ``device1``, ``device2`` and so on of the others, for a backend that was configured.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from orpheus_core.types import Device
from orpheus_opencl.device import opened
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Runtime, Tensor
from orpheus_opencl.tiles import lanes

#: As in cl/peak.cl.
CHAINS = 12
#: Short, and many: where other programs run too, some of them fall between those.
_SECONDS = 0.002
_TRIES = 30


def of_device(index: int, threads: int) -> float:
    """FLOP/s, the best of a few short runs; the device takes all its compute units, whatever ``threads`` is."""
    runtime = Runtime(Device("opencl", index))
    device = opened(index)
    # A processor's unit works on one item at a time, a GPU's hides one behind others.
    items = device.device.max_compute_units * (16 if device.is_cpu else 2048)
    y = runtime.empty((items, lanes(device)), np.float32)
    rounds = 1000
    _seconds(runtime, work(y, rounds))  # a driver may finish compiling as late as here
    while _least(runtime, work(y, rounds), 3) < _SECONDS:
        rounds *= 2
    return 2.0 * y.size * CHAINS * rounds / _least(runtime, work(y, rounds), _TRIES)


def work(y: Tensor, rounds: int) -> Launch:
    """Fill Y [items, V] with sums of multiply-adds s = 0.999 s + 0.1, ``rounds`` from each of 0 to 11."""
    items, width = y.shape
    arguments = (y, rounds, np.float32(0.999), np.float32(0.1))
    return launch(y.queue, "peak.cl", "peak", f"-DV={width}", arguments, (items,))


def _least(runtime: Runtime, step: Launch, tries: int) -> float:
    return min(_seconds(runtime, step) for _ in range(tries))


def _seconds(runtime: Runtime, step: Launch) -> float:
    start = time.perf_counter()
    step()
    runtime.synchronize()
    return time.perf_counter() - start


peak = partial(of_device, 0)


def __getattr__(name: str) -> Callable[[int], float]:
    found = re.fullmatch(r"device(\d+)", name)
    if not found:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(of_device, int(found[1]))
