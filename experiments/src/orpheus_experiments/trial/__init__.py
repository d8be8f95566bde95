"""Trials and records: what to measure and what was found, as one JSON document each."""

from __future__ import annotations

from orpheus_experiments.trial.record import KINDS, Failure, Measurement, Process, Record, Turn
from orpheus_experiments.trial.trial import METRICS, SCHEMA, ModelRef, Trial

__all__ = [
    "KINDS", "METRICS", "SCHEMA", "Failure", "Measurement", "ModelRef", "Process", "Record", "Trial", "Turn",
]  # fmt: skip
