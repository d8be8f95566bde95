"""Trials and records: what to measure and what was found, as one JSON document each."""

from __future__ import annotations

from orpheus_experiments.trial.record import KINDS, Failure, Layer, Measurement, Process, Record, Turn
from orpheus_experiments.trial.trial import METRICS, SCHEMA, ModelRef, Trial

__all__ = [
    "KINDS", "METRICS", "SCHEMA", "Failure", "Layer", "Measurement", "ModelRef", "Process", "Record", "Trial", "Turn",
    "run",
]  # fmt: skip


def run(trial: Trial) -> Record:
    """Measure one trial in child processes of its own; whatever goes wrong in them is the record's failure.

    Call it from a thread that lives on: the children die with the thread that started them. KeyboardInterrupt is passed
    on when no process was finished; else the record holds those that were.
    """
    from orpheus_experiments.trial.together import run_together

    outcome = run_together([trial])
    if outcome.interrupted and not outcome.records[0].is_ok:
        raise KeyboardInterrupt
    return outcome.records[0]
