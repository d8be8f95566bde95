"""What kernels and cost models ask of the processor: its caches, and how wide its units are."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np

from orpheus_core.plugin import Step
from orpheus_openmp import isa

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_ROUNDS = 1500  # of a register tile: a few microseconds
#: Half as fast again is twice as fast, disturbed.
_FASTER = 1.5
#: Tries of each after which more are made only while the answer is no: a core that has just begun to use wide vectors
#: computes them slowly for up to half a millisecond, and all tries together take one.
_TRIES, _MOST_TRIES = 8, 100


def cache_bytes(level: int) -> int:
    """Bytes of the first processor's data cache of this level as the system tells, 0 where it does not."""
    return _caches().get(level, 0)


@cache
def _caches() -> dict[int, int]:
    """Bytes of each level's data cache, those that the system tells."""
    found: dict[int, int] = {}
    for folder in _CACHES.glob("index*"):
        try:
            if _read(folder, "type") != "Instruction":
                size = _read(folder, "size")
                found[int(_read(folder, "level"))] = (
                    int(size[:-1]) * _UNITS[size[-1]] if size[-1] in _UNITS else int(size)
                )
        except (OSError, ValueError, IndexError):
            continue
    return found


def _read(folder: Path, name: str) -> str:
    # Not read_text("ascii"), which imports a codec that nothing else needs.
    return (folder / name).read_bytes().decode("utf-8").strip()


@cache
def wide() -> bool:
    """Whether vectors of 16 floats multiply twice as fast as those of 8, by a measurement; False without AVX-512.

    A core may have AVX-512 and compute it in halves (Zen 4), so that its caches feed it with ease; or in whole vectors,
    twice as fast beside the same caches and the same memory (Intel's servers, Zen 5).
    """
    names = isa.available()
    if "avx512" not in names or "avx2" not in names:
        return False
    return is_faster(lambda: _rate("avx512"), lambda: _rate("avx2"))


def is_wide(name: str) -> bool:
    """Whether the kernels of this instruction set compute in such vectors."""
    return name == "avx512" and wide()


def is_faster(one: Callable[[], float], other: Callable[[], float]) -> bool:
    """Whether the best rate of ``one`` is clearly above that of ``other``: each call measures once, in turns."""
    best = [0.0, 0.0]
    for done in range(_MOST_TRIES):
        if done >= _TRIES and best[0] > _FASTER * best[1]:
            return True
        best = [max(best[0], one()), max(best[1], other())]
    return best[0] > _FASTER * best[1]


def _rate(name: str) -> float:
    block, pixels, vectors = isa.tile(name)
    step = _multiply(name)
    start = time.perf_counter()
    step()
    return block * pixels * vectors / (time.perf_counter() - start)


@cache
def _multiply(name: str) -> Step:
    result = np.zeros(isa.tile(name)[0], np.float32)
    step: Step = isa.native().Step(name, "peak", 1, {"rounds": _ROUNDS, "y": result})
    return step
