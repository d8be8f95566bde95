"""One entrant on one model in a process of its own, which the race stops whenever another's turn has come."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.peers import Source
from orpheus_core.types import Array
from orpheus_experiments.race.entrant import make_source, open_entrant

__all__ = ["LoadFact", "Task", "TurnFact", "serve"]

# Before samples count, a turn runs this long: the caches, the clock and sleeping threads are another's leavings.
_LEAD_IN = 0.03
_BATCH = 0.1


@dataclass(frozen=True)
class Task:
    """What a worker loads. ``prime``, a tiny model, is loaded first, so that a library's own start is not timed."""

    name: str
    source: Source
    prime: Source
    threads: int
    backends: tuple[str, ...]


@dataclass(frozen=True)
class LoadFact:
    """Seconds of the load; growth of resident memory by load and first runs; Orpheus's planned bytes; the outputs."""

    seconds: float
    growth: int | None
    planned: int | None
    summary: str
    outputs: list[Array]


@dataclass(frozen=True)
class TurnFact:
    """Seconds of each inference, and processor seconds spent per second: how many threads really worked."""

    samples: list[float]
    cores: float


def serve(conn: Connection, work: str, *given: Any) -> None:
    """The child's end: do ``work`` and answer, then answer until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    _die_with_parent()
    os.dup2(2, 1)
    warnings.simplefilter("ignore")  # of libraries about their own future
    state: dict[str, Any] = {}
    while True:
        try:
            answer = ("ok", _WORKS[work](state, *given))
        except Exception as error:
            answer = ("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
        try:
            conn.send(answer)
            work, *rest = conn.recv()
            given = tuple(rest)
        except (EOFError, OSError):
            return


def _die_with_parent() -> None:
    # A stopped process would outlive a parent that was killed: it cannot notice that the pipe is closed.
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG; Linux only


def _convert(_: dict[str, Any], name: str, path: Path, folder: Path) -> Source:
    folder.mkdir(parents=True, exist_ok=True)
    return make_source(name, path, folder)


def _exact(_: dict[str, Any], path: Path, feeds: Mapping[str, Array]) -> list[Array]:
    from orpheus_experiments.race.exact import evaluate

    return evaluate(path, feeds)


def _tune(
    _: dict[str, Any], path: Path, threads: int, backends: Sequence[str], seconds: float, again: bool
) -> None:
    from orpheus_core.session import InferenceSession, tune

    tune(InferenceSession(path, providers=list(backends), threads=threads), seconds=seconds, again=again)


def _load(state: dict[str, Any], task: Task, feeds: Mapping[str, Array]) -> LoadFact:
    for_prime = {"x": np.zeros((1, 8, 8, 8), np.float32)}
    open_entrant(task.name, task.prime, task.threads, task.backends).bind(for_prime)()
    before = _restart_peak()
    loaded = open_entrant(task.name, task.source, task.threads, task.backends)
    run = state["run"] = loaded.bind(dict(feeds))
    state["loaded"] = loaded
    outputs = [np.array(value) for value in run()]
    run()
    after = _status("VmHWM")
    growth = None if before is None or after is None else after - before
    return LoadFact(loaded.seconds, growth, getattr(loaded, "planned_bytes", None), loaded.summary, outputs)


def _warm(state: dict[str, Any], limit: float) -> bool:
    """Run until two batches in a row have the same median within 2 %; False when ``limit`` seconds did not do."""
    end, last = time.perf_counter() + limit, float("inf")
    while time.perf_counter() < end:
        median = float(np.median(_samples(state["run"], 3, _BATCH)))
        if abs(median - last) <= 0.02 * median:
            return True
        last = median
    return False


def _turn(state: dict[str, Any], runs: int, at_least: float) -> TurnFact:
    _samples(state["run"], 2, _LEAD_IN)
    cpu, wall = time.process_time(), time.perf_counter()
    samples = _samples(state["run"], runs, at_least)
    return TurnFact(samples, (time.process_time() - cpu) / (time.perf_counter() - wall))


def _samples(run: Callable[[], Any], runs: int, at_least: float) -> list[float]:
    clock = time.perf_counter
    samples: list[float] = []
    begun = clock()
    while len(samples) < runs or clock() - begun < at_least:
        start = clock()
        run()
        samples.append(clock() - start)
    return samples


def _restart_peak() -> int | None:
    """Resident bytes now, from which the peak counts anew; None where the system does not tell."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
        return _status("VmRSS")
    return None


def _status(field: str) -> int | None:
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as lines:
        return next((int(text.split()[1]) * 1024 for text in lines if text.startswith(f"{field}:")), None)
    return None


_WORKS: dict[str, Callable[..., Any]] = {
    "convert": _convert, "exact": _exact, "tune": _tune, "load": _load, "warm": _warm, "turn": _turn,
}  # fmt: skip
