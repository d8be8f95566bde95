"""Running a plan: group after group, each record kept as soon as its group is done."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orpheus_core.errors import UsageError
from orpheus_experiments.results import Name, Results
from orpheus_experiments.sweeps.plan import Cell, Plan
from orpheus_experiments.sweeps.remaining import Remaining
from orpheus_experiments.trial import Failure, Record, Trial
from orpheus_experiments.trial.together import Outcome, run_together

__all__ = ["Listener", "Swept", "begin", "is_final", "sweep"]

#: Measures trials that take turns; what :func:`run_together` does.
Runner = Callable[..., Outcome]


class Listener:
    """Is told how a sweep goes; this one tells nobody."""

    def step(self, text: str, done: int, of: int, left: float | None) -> None:
        """What is done next, trials that are done, of all, and the seconds that are left as far as they are known."""

    def kept(self, label: str, record: Record) -> None:
        """A record was kept."""

    def note(self, text: str) -> None:
        """Something that the user should know."""


@dataclass(frozen=True)
class Swept:
    """What a sweep came to. ``new`` are the records of this call, ``total`` the trials of the plan."""

    results: Results
    total: int
    new: tuple[Record, ...] = ()
    interrupted: bool = False


def sweep(
    plan: Plan,
    folder: Path,
    *,
    resume: bool = False,
    retry: bool = False,
    listener: Listener | None = None,
    run: Runner = run_together,
) -> Swept:
    """Measure what the plan asks for and ``folder`` lacks; ``retry`` measures again what failed.

    Raises UsageError where the folder has results and ``resume`` is not given, is another sweep's, or cannot be
    written. A trial that fails is a record with its failure. After KeyboardInterrupt all records of finished trials are
    kept. ``run`` measures the trials of one group.
    """
    told = listener or Listener()
    with Results.lock(folder):
        results, missing = begin(plan, folder, None, resume=resume, retry=retry, listener=told)
        done = len(plan.cells) - len(missing)
        clock = Remaining(len(missing))
        new: list[Record] = []
        for group in plan.groups(missing):
            results.demand_space()
            outcome = _measure(group, plan.cooldown, told, clock, done, len(plan.cells), run)
            pairs = [(c, r) for c, r in zip(group, outcome.records) if is_final(r)]
            trouble = results.add([(Name(c.trial.key), r) for c, r in pairs])
            if trouble:
                told.note(trouble)
            for cell, record in pairs:
                new.append(record)
                told.kept(cell.label, record)
            done += len(pairs)
            clock.finished(len(group))
            if outcome.interrupted:
                return Swept(results, len(plan.cells), tuple(new), interrupted=True)
        return Swept(results, len(plan.cells), tuple(new))


def begin(
    plan: Plan, folder: Path, boards: Sequence[str] | None, *, resume: bool, retry: bool, listener: Listener
) -> tuple[Results, list[Cell]]:
    """The folder, made or gone on with, and the cells that it lacks; the lock is held by the caller.

    With ``boards`` a cell is lacked while one of them has no record of it.
    """
    data = dict(plan.data or {})
    places: Sequence[str | None] = boards or [None]
    if resume and (folder / "results.json").exists():
        results = Results.open(folder)
        for text in results.mend():
            listener.note(text)
        if results.plan != data:
            results.replan(data)
    else:
        results = Results.create(folder, data)
    there = set(results.names())
    if retry:
        there = {name for name in there if results.read(name).is_ok}
    asked = {Name(cell.trial.key, board) for cell in plan.cells for board in places}
    others = len(set(results.names()) - asked)
    if others:
        listener.note(f"{others} records in {folder} are of no trial of this plan; they stay as they are")
    trouble = results.follow()
    if trouble:
        listener.note(trouble)
    missing = [c for c in plan.cells if any(Name(c.trial.key, board) not in there for board in places)]
    return results, missing


def is_final(record: Record) -> bool:
    """Whether the trial has come to its end: a failure that is its own, or all of its processes."""
    if record.failure is not None:
        return record.failure.kind != "interrupted"
    return len(record.processes) == record.trial.processes


def _measure(
    group: Sequence[Cell], cooldown: float, told: Listener, clock: Remaining, done: int, of: int, run: Runner
) -> Outcome:
    trials = [cell.trial for cell in group]

    def say(text: str, share: float) -> None:
        told.step(text, done, of, clock.left(share * len(group)))

    try:
        return run(trials, say=say, cooldown=cooldown, substitute=trials[0].engine)
    except KeyboardInterrupt:
        return Outcome(tuple(_failed(t, "interrupted", "before it began") for t in trials), interrupted=True)
    except Exception as error:  # of one group; the others have nothing to do with it
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UsageError(
                f"the disk for temporary files is full ({error.filename}). Make room, then --resume"
            ) from error
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
        return Outcome(tuple(_failed(t, "failed", f"measuring it failed: {text}", now) for t in trials))


def _failed(trial: Trial, kind: str, message: str, started: str = "") -> Record:
    return Record(trial=trial, failure=Failure(kind, message), started=started)
