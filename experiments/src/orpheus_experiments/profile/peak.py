"""The peak that shares are shares of: measured, with its source named."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from orpheus_core.plugin import Backend, resolve

_SIZE = 1024  # of numpy's product: 2 GFLOP, three 4 MB matrices
_TRIES = 5
_COPIED = 64 << 20  # bytes, of each thread: beyond any last-level cache


@dataclass(frozen=True)
class Peak:
    """FLOP/s in float32 (a multiply-add counts as two) and who measured it."""

    flops: float
    source: str


@dataclass(frozen=True)
class Bandwidth:
    """Bytes a second between processor and memory, read and written alike, and who measured it."""

    rate: float
    source: str


def measured_bandwidth(threads: int) -> Bandwidth:
    """The best of a few copies of large arrays, one pair of arrays a thread; a byte copied counts as two moved.

    What a write costs in reading the line that it replaces is not counted, as is usual, so reading alone may be faster.
    """
    pairs = [(np.ones(_COPIED // 8), np.ones(_COPIED // 8)) for _ in range(threads)]

    def once() -> float:
        start = time.perf_counter()
        list(pool.map(lambda pair: np.copyto(*pair), pairs))
        return time.perf_counter() - start

    with ThreadPoolExecutor(threads) as pool:
        seconds = min(once() for _ in range(_TRIES))
    return Bandwidth(2 * _COPIED * threads / seconds, f"numpy's copies of {_COPIED >> 20} MiB")


def measured_peak(backends: Iterable[Backend], threads: int) -> Peak:
    """The highest figure of the backends that measure one, else that of numpy's matrix product.

    A library's product reaches 80 to 95 % of a processor's peak, so shares of it may exceed one; the source says so.
    """
    found = [
        Peak(float(resolve(backend.peak)(threads)), f"{backend.name}'s multiply-adds")
        for backend in backends
        if backend.peak is not None
    ]
    return max(found, key=lambda p: p.flops) if found else _numpy_peak()


def _numpy_peak() -> Peak:
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((_SIZE, _SIZE), np.float32) for _ in range(2))
    out = np.empty_like(a)
    times = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        np.matmul(a, b, out=out)
        times.append(time.perf_counter() - start)
    return Peak(2 * _SIZE**3 / min(times), f"numpy's product of {_SIZE} x {_SIZE} matrices")
