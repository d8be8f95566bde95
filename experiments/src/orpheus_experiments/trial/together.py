"""Several trials that take turns: each process of one runs among the same neighbours as that of the next.

A round gives every trial a fresh process; all of a round are loaded, warmed up, and then take turns in shuffled order,
whoever is not asked being stopped. So what the machine does in a minute meets all alike, and the processes of one round
are pairs.
"""

from __future__ import annotations

import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from orpheus_core.errors import OrpheusError
from orpheus_core.process import Child
from orpheus_experiments.metrics import Observed, measure
from orpheus_experiments.noise.environment import circumstances, disturbances
from orpheus_experiments.noise.system import NOT_TOLD
from orpheus_experiments.trial.lane import WORKS, Lane, Workshop
from orpheus_experiments.trial.record import Failure, Record
from orpheus_experiments.trial.trial import Trial

__all__ = ["Outcome", "run_together"]

#: Told before each step: what is done next, and which share is done.
Say = Callable[[str, float], None]
# A process's share of the time is split into so many turns. Engines are compared turn by turn, and what disturbs a
# machine lasts hundredths of a second: the shorter the turns, the more of it meets all engines alike. Meters and the
# streams of an offline load take longer to come to their rate.
_TURNS, _LONG_TURNS = 30, 4
_SHORTEST = 0.02
# For the environment, which asks every plugin.
_PATIENCE = 60.0
# Waiting for a processor for a larger share of the time makes figures doubtful.
_BUSY = 0.02


@dataclass(frozen=True)
class Outcome:
    """A record for each trial, in their order; ``interrupted`` when the user stopped before all was done."""

    records: tuple[Record, ...]
    interrupted: bool = False


def run_together(
    trials: Sequence[Trial],
    *,
    say: Say = lambda _text, _share: None,
    cooldown: float = 0.0,
    substitute: str | None = None,
) -> Outcome:
    """Run the trials in interleaved rounds; ``cooldown`` seconds of rest come between rounds.

    A trial that fails is a record with its failure and costs the others nothing. KeyboardInterrupt ends the run: what
    was finished is kept. ``substitute`` is the engine that errors are measured against where float64 cannot be had.
    """
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    before = _environment(sorted({t.engine for t in trials if t.is_peer}))
    with tempfile.TemporaryDirectory(prefix="orpheus-trial-") as folder, ExitStack() as stack:
        workshop = Workshop(Path(folder))
        lanes = [Lane(trial, workshop, substitute) for trial in trials]
        for lane in lanes:
            stack.callback(lane.close)
        interrupted = False
        try:
            _run(lanes, say, cooldown)
        except KeyboardInterrupt:
            interrupted = True
    after = circumstances()
    records = tuple(_record(lane, before, after, started) for lane in lanes)
    return Outcome(records, interrupted)


def _run(lanes: Sequence[Lane], say: Say, cooldown: float) -> None:
    rounds = max(lane.trial.processes for lane in lanes)
    steps = len(lanes) * (1 + rounds)
    done = 0
    for lane in lanes:
        say(f"{_name(lane)}: preparing", done / steps)
        lane.guard(lane.prepare)
        done += 1
    shuffled = random.Random(lanes[0].trial.key)
    for number in range(rounds):
        if number and cooldown:
            say(f"cooling down for {cooldown:g} s", done / steps)
            time.sleep(cooldown)
        part = [lane for lane in lanes if number < lane.trial.processes]
        shuffled.shuffle(part)
        for stage, work in (("loading", Lane.begin), ("warming up", Lane.warm)):
            for lane in part:
                if lane.going:
                    say(
                        f"{_name(lane)}: {stage}, process {number + 1} of {lane.trial.processes}",
                        done / steps,
                    )
                lane.guard(lambda lane=lane, work=work: work(lane))  # type: ignore[misc]
        say(f"process {number + 1} of {rounds}: timing", done / steps)
        place = _Place()
        while part := [lane for lane in part if lane.going and not lane.is_timed]:
            shuffled.shuffle(part)
            for lane in part:
                lane.guard(lambda lane=lane, place=place: _turn(lane, place))  # type: ignore[misc]
        for lane in lanes:
            if number < lane.trial.processes:
                lane.guard(lane.end)
        done += len(lanes)
    for lane in lanes:  # when nothing is timed any more
        if lane.going and "layers" in lane.trial.metrics:
            say(f"{_name(lane)}: profiling", 1.0)
            lane.guard(lane.profile)


def _environment(peers: Sequence[str]) -> dict[str, Any]:
    """The environment as a child tells it, or what can be told without loading plugins."""
    try:
        with Child(WORKS, rests=True, quiet=True) as child:
            found: dict[str, Any] = child.call("circumstances", list(peers), limit=_PATIENCE)
            return found
    except OrpheusError as error:
        reason = f"{NOT_TOLD}{error}"
        return {**circumstances(), "versions": {}, "plugins": {}, "revision": reason}


@dataclass
class _Place:
    """The processor of the turn before, which the next one takes over; not known before the first."""

    processor: int | None = None


def _turn(lane: Lane, place: _Place) -> None:
    """A turn of its share of runs and time; a process with too little time for all turns has fewer."""
    trial = lane.trial
    turns = _LONG_TURNS if trial.streams > 1 or "energy" in trial.metrics else _TURNS
    seconds = trial.min_time / trial.processes
    runs = math.ceil(trial.min_runs / trial.processes / turns / trial.streams)
    # Several threads are on several processors, which the system chooses.
    alone = trial.cpus is None and trial.threads * trial.streams == 1
    ended = lane.turn(runs, min(seconds, max(_SHORTEST, seconds / turns)), place.processor if alone else None)
    if alone:
        place.processor = ended


def _record(lane: Lane, before: dict[str, Any], after: dict[str, Any], started: str) -> Record:
    trial, failure = lane.trial, lane.failure
    if failure is None and not lane.processes:
        failure = Failure("interrupted", "it was interrupted before its first process was done")
    observed = Observed(
        trial=trial,
        processes=lane.processes,
        model_bytes=lane.made.get("bytes"),
        macs=lane.made.get("macs"),
        error=_number(lane.results.get("error")),
        agreement=_number(lane.results.get("agreement")),
        images=trial.batch * math.ceil(trial.images / trial.batch),
        reference=lane.reference_name,
        peak=lane.peak,
        bandwidth=lane.bandwidth,
        layers=lane.layers,
        watts=lane.watts,
        reasons=_reasons(lane),
    )
    environment = {**before, "load_average_after": after["load_average"], "heat_after": after["heat"]}
    return Record(
        trial=trial,
        failure=failure,
        metrics=measure(observed),
        processes=tuple(lane.processes),
        layers=lane.layers,
        environment=environment,
        notes=(*_notes(lane), *disturbances(before, after)),
        started=started,
        seconds=lane.spent,
    )


def _reasons(lane: Lane) -> dict[str, str]:
    return {**lane.reasons, **{k: v for k, v in lane.results.items() if isinstance(v, str)}}


def _number(found: float | str | None) -> float | None:
    return None if isinstance(found, str) else found


def _notes(lane: Lane) -> list[str]:
    found = []
    unsteady = sum(not p.steady for p in lane.processes)
    if unsteady:
        found.append(
            f"{unsteady} of {len(lane.processes)} processes did not become steady in {lane.trial.warm_limit:g} s"
        )
    turns = [t for p in lane.processes for t in p.turns if t.waited is not None]
    waited = sum(t.waited or 0.0 for t in turns) / (lane.trial.threads * lane.trial.streams)
    wall = sum(t.wall for t in turns)
    if turns and waited > _BUSY * wall:
        found.append(f"its threads waited for a processor for {waited / wall:.0%} of the time")
    if 0 < len(lane.processes) < lane.trial.processes:
        found.append(f"{len(lane.processes)} of {lane.trial.processes} processes were finished")
    return found


def _name(lane: Lane) -> str:
    return f"{lane.trial.model.name}, {lane.trial.engine}"
