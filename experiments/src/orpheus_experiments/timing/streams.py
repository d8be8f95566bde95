"""Several calls at once, each from a thread of its own: what an offline load looks like."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orpheus_experiments.timing.steady import samples

__all__ = ["Load", "together"]


@dataclass(frozen=True)
class Load:
    """Seconds of every call of each stream; of all, from the common start to the last end; of the processors.

    ``waited``: seconds in which threads of this process were ready to run and had no processor; None where the system
    does not tell.
    """

    samples: list[list[float]]
    wall: float
    cpu: float
    waited: float | None = None


def together(calls: Sequence[Callable[[], Any]], runs: int, at_least: float) -> Load:
    """Each call over and over, ``runs`` times or more and for ``at_least`` seconds; one by one when there is one.

    The first error of any stream is raised when all have ended.
    """
    before = _waited()
    found = _alone(calls[0], runs, at_least) if len(calls) == 1 else _streams(calls, runs, at_least)
    after = _waited()
    return found if before is None or after is None else replace(found, waited=max(0.0, after - before))


def _alone(call: Callable[[], Any], runs: int, at_least: float) -> Load:
    cpu, begun = time.process_time(), time.perf_counter()
    found = samples(call, runs, at_least)
    return Load([found], time.perf_counter() - begun, time.process_time() - cpu)


def _streams(calls: Sequence[Callable[[], Any]], runs: int, at_least: float) -> Load:
    rows: list[list[float]] = [[] for _ in calls]
    faults: list[BaseException] = []
    barrier = threading.Barrier(len(calls) + 1)

    def stream(index: int) -> None:
        barrier.wait()
        try:
            rows[index] = samples(calls[index], runs, at_least)
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=stream, args=(i,)) for i in range(len(calls))]
    for thread in threads:
        thread.start()
    cpu, begun = time.process_time(), time.perf_counter()
    barrier.wait()
    for thread in threads:
        thread.join()
    wall, spent = time.perf_counter() - begun, time.process_time() - cpu
    if faults:
        raise faults[0]
    return Load(rows, wall, spent)


def _waited() -> float | None:
    """Seconds that all threads of this process have waited for a processor."""
    total = 0
    try:
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                total += int((task / "schedstat").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return total / 1e9
