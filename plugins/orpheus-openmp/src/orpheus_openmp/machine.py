"""What kernels and cost models ask of the processor: its caches, and how wide its units are."""

from __future__ import annotations

import time
from functools import cache
from pathlib import Path

import numpy as np

from orpheus_core.plugin import Step
from orpheus_openmp import isa

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_ROUNDS = 1500  # of a register tile: some ten microseconds
_TRIES = 5


@cache
def cache_bytes(level: int) -> int:
    """Bytes of the first processor's data cache of this level as the system tells, 0 where it does not."""
    for folder in _CACHES.glob("index*"):
        try:
            if int(_read(folder, "level")) == level and _read(folder, "type") != "Instruction":
                size = _read(folder, "size")
                return int(size[:-1]) * _UNITS[size[-1]] if size[-1] in _UNITS else int(size)
        except (OSError, ValueError, IndexError):
            continue
    return 0


def _read(folder: Path, name: str) -> str:
    return (folder / name).read_text(encoding="ascii").strip()


@cache
def wide() -> bool:
    """Whether vectors of 16 floats multiply faster than those of 8: half as fast again, by a measurement.

    A core may have AVX-512 and compute it in halves (Zen 4), so that its caches feed it with ease; or in whole vectors,
    twice as fast beside the same caches and the same memory (Intel's servers, Zen 5).
    """
    names = isa.available()
    if "avx512" not in names or "avx2" not in names:
        return False
    steps = {name: _multiply(name) for name in ("avx512", "avx2")}
    best = dict.fromkeys(steps, 0.0)
    for _ in range(_TRIES):
        for name, step in steps.items():
            block, pixels, vectors = isa.tile(name)
            best[name] = max(best[name], block * pixels * vectors / _seconds(step))
    return best["avx512"] > 1.5 * best["avx2"]


def _multiply(name: str) -> Step:
    result = np.zeros(isa.tile(name)[0], np.float32)
    step: Step = isa.native().Step(name, "peak", 1, {"rounds": _ROUNDS, "y": result})
    return step


def _seconds(step: Step) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start
