"""What a board and the scheduler are asked to do: functions that are installed there, called by name."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from orpheus_core.errors import OrpheusError
from orpheus_core.process import Child
from orpheus_experiments.trial import SCHEMA, Failure, Record, Trial, run
from orpheus_experiments.trial.kinds import kind_of

__all__ = ["facts", "look", "measure", "measure_here"]

# For what a trial does beside its own children, such as reading the environment.
_BESIDE = 120.0


def measure(trial: str) -> str:
    """The record of a trial, both as JSON: measured in a process of its own, whose end is a typed failure."""
    asked = Trial.from_json(trial)
    try:
        with Child(__name__, rests=True, quiet=True) as child:
            found: str = child.call("measure_here", trial, limit=asked.time_limit + _BESIDE)
            return found
    except OrpheusError as error:
        return Record(
            trial=asked, failure=Failure(kind_of(error), f"what measured it failed: {error}")
        ).to_json()


def measure_here(_: dict[str, Any], trial: str) -> str:
    """The same in this very process."""
    return run(Trial.from_json(trial)).to_json()


def facts() -> dict[str, Any]:
    """What has to be the same on all boards: the form of trials, and the versions of the two packages."""
    found: dict[str, Any] = {"schema": SCHEMA}
    for name in ("orpheus-core", "orpheus-experiments"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "of a checkout"
    return found


def look(dask_scheduler: Any) -> dict[str, list[str]]:
    """On the scheduler: the labels of every worker by its address. A task whose worker dies is not run again."""
    dask_scheduler.allowed_failures = 0
    return {address: sorted(map(str, w.resources)) for address, w in dask_scheduler.workers.items()}
