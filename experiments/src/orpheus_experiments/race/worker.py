"""What one entrant on one model is asked to do, in a process of its own that rests while it is another's turn.

``state`` lasts as long as the process: the loaded model, and its bound call.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orpheus_core.peers import Source
from orpheus_core.types import Array
from orpheus_experiments.race.entrant import make_source, open_entrant
from orpheus_experiments.timing.host_memory import find_memory
from orpheus_experiments.timing.place import move, processor
from orpheus_experiments.timing.prime import prime_feeds
from orpheus_experiments.timing.resident import restart_peak, status
from orpheus_experiments.timing.steady import LEAD_IN, samples, warm_up

__all__ = ["LoadFact", "Task", "TurnFact", "convert", "exact", "load", "tune", "turn", "warm"]

State = dict[str, Any]
_FOUND = 512  # MiB that a virtual machine's host finds before a load


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
    """Seconds of each inference, and processor seconds spent per second: how many threads really worked.

    ``processor``: where the turn ended; None where the system does not tell.
    """

    samples: list[float]
    cores: float
    processor: int | None


def convert(_: State, name: str, path: Path, folder: Path) -> Source:
    """The model in the entrant's own format."""
    folder.mkdir(parents=True, exist_ok=True)
    return make_source(name, path, folder)


def exact(_: State, path: Path, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs in float64."""
    from orpheus_experiments.accuracy.exact import evaluate

    return evaluate(path, feeds)


def tune(_: State, path: Path, threads: int, backends: Sequence[str], seconds: float, again: bool) -> None:
    """Measure every candidate of every layer, and keep the times."""
    from orpheus_core.session import InferenceSession
    from orpheus_core.session import tune as measure

    measure(InferenceSession(path, providers=list(backends), threads=threads), seconds=seconds, again=again)


def load(state: State, task: Task, feeds: Mapping[str, Array]) -> LoadFact:
    """Load the tiny model, then the task's own, and run that twice; memory is found before."""
    open_entrant(task.name, task.prime, task.threads, task.backends).bind(prime_feeds())()
    find_memory(_FOUND)
    before = restart_peak()
    loaded = open_entrant(task.name, task.source, task.threads, task.backends)
    run = state["run"] = loaded.bind(dict(feeds))
    state["loaded"] = loaded
    outputs = [np.array(value) for value in run()]
    run()
    after = status("VmHWM")
    growth = None if before is None or after is None else after - before
    return LoadFact(loaded.seconds, growth, getattr(loaded, "planned_bytes", None), loaded.summary, outputs)


def warm(state: State, limit: float) -> bool:
    """Run until steady; False when ``limit`` seconds did not do."""
    return warm_up(state["run"], limit).steady


def turn(state: State, runs: int, at_least: float, after: int | None) -> TurnFact:
    """A turn of at least so many runs and seconds, after a short lead-in, from the processor ``after`` on."""
    if after is not None:
        move(after)
    samples(state["run"], 2, LEAD_IN)
    cpu, wall = time.process_time(), time.perf_counter()
    found = samples(state["run"], runs, at_least)
    return TurnFact(found, (time.process_time() - cpu) / (time.perf_counter() - wall), processor())
