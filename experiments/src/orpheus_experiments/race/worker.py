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
from orpheus_experiments.timing.prime import prime_feeds
from orpheus_experiments.timing.resident import restart_peak, status
from orpheus_experiments.timing.steady import LEAD_IN, samples, warm_up

__all__ = ["LoadFact", "Task", "TurnFact", "serve"]


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
    from orpheus_experiments.accuracy.exact import evaluate

    return evaluate(path, feeds)


def _tune(
    _: dict[str, Any], path: Path, threads: int, backends: Sequence[str], seconds: float, again: bool
) -> None:
    from orpheus_core.session import InferenceSession, tune

    tune(InferenceSession(path, providers=list(backends), threads=threads), seconds=seconds, again=again)


def _load(state: dict[str, Any], task: Task, feeds: Mapping[str, Array]) -> LoadFact:
    open_entrant(task.name, task.prime, task.threads, task.backends).bind(prime_feeds())()
    before = restart_peak()
    loaded = open_entrant(task.name, task.source, task.threads, task.backends)
    run = state["run"] = loaded.bind(dict(feeds))
    state["loaded"] = loaded
    outputs = [np.array(value) for value in run()]
    run()
    after = status("VmHWM")
    growth = None if before is None or after is None else after - before
    return LoadFact(loaded.seconds, growth, getattr(loaded, "planned_bytes", None), loaded.summary, outputs)


def _warm(state: dict[str, Any], limit: float) -> bool:
    """Run until steady; False when ``limit`` seconds did not do."""
    return warm_up(state["run"], limit).steady


def _turn(state: dict[str, Any], runs: int, at_least: float) -> TurnFact:
    samples(state["run"], 2, LEAD_IN)
    cpu, wall = time.process_time(), time.perf_counter()
    found = samples(state["run"], runs, at_least)
    return TurnFact(found, (time.process_time() - cpu) / (time.perf_counter() - wall))


_WORKS: dict[str, Callable[..., Any]] = {
    "convert": _convert, "exact": _exact, "tune": _tune, "load": _load, "warm": _warm, "turn": _turn,
}  # fmt: skip
