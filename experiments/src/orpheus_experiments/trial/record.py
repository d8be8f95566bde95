"""A record: what a trial found, as one JSON document: figures with their sources, every sample, the circumstances."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from orpheus_experiments.trial.checks import (
    boolean,
    choice,
    keyed,
    listed,
    mapped,
    number,
    object_,
    optional,
    parsed,
    whole,
)  # fmt: skip
from orpheus_experiments.trial.trial import METRICS, SCHEMA, Trial, same_schema

__all__ = ["KINDS", "Failure", "Layer", "Measurement", "Process", "Record", "Turn"]

#: How a trial can fail.
KINDS = (
    "not installed",  # a package that the engine needs
    "refused",  # by the engine or backend: a setting, a pin, a device
    "unsupported",  # an operator or type that nothing in the engine implements
    "model",  # the model itself is at fault
    "failed",  # the engine raised an error
    "crashed",  # its process died, or ended without an answer
    "timed out",
    "out of memory",
    "wrong shape",  # of its results
    "interrupted",  # by the user, before the first process was done
)


@dataclass(frozen=True)
class Failure:
    """Why there is no result."""

    kind: str
    message: str


@dataclass(frozen=True)
class Measurement:
    """One metric: values by name, in ``unit``, with the ``source`` they were read from.

    One that was not measured has no values and a ``reason``. A single value may be None, such as a percentile for
    which the samples are too few.
    """

    unit: str = ""
    values: Mapping[str, float | None] = field(default_factory=dict)
    source: str = ""
    reason: str = ""

    @classmethod
    def absent(cls, reason: str) -> Measurement:
        """What could not be measured, and why."""
        return cls(reason=reason)

    @property
    def is_measured(self) -> bool:
        """Whether there are values."""
        return not self.reason

    def get(self, name: str) -> float | None:
        """A value; None where it is not there."""
        return self.values.get(name)


@dataclass(frozen=True)
class Turn:
    """Seconds of every inference of each stream, of the whole turn, and of the processors meanwhile.

    ``waited``: how long threads that could have run had no processor, because something else ran there.
    """

    samples: tuple[tuple[float, ...], ...]
    wall: float
    cpu: float
    waited: float | None = None
    joules: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Process:
    """What one process found. Bytes are None where the system does not tell them.

    ``peak_bytes``: the most resident memory after the libraries were loaded and a tiny model had run;
    ``growth_bytes``: that less what was resident then. ``weight_bytes`` and ``arena_bytes`` are planned ones of
    Orpheus. ``device_bytes``: what it held on GPUs after two runs, where their driver tells; ``device_growth_bytes``:
    that less what it held after the tiny model. ``settings`` is what the engine says that it got, or what runs where.
    """

    load: float
    steady: bool
    warm_runs: int
    turns: tuple[Turn, ...]
    cold_load: float | None = None
    peak_bytes: int | None = None
    growth_bytes: int | None = None
    weight_bytes: int | None = None
    arena_bytes: int | None = None
    device_bytes: int | None = None
    device_growth_bytes: int | None = None
    settings: str = ""


@dataclass(frozen=True)
class Layer:
    """One layer as its engine executes it: median seconds, timed alone; its work where the engine tells it.

    ``op`` and ``kernel`` are the engine's own words. ``macs`` by the operator's definition, ``nbytes`` of all operands.
    """

    name: str
    op: str
    kernel: str
    seconds: float
    macs: int | None = None
    nbytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """A trial and what it found. A failed one keeps what was measured before it failed.

    ``notes`` say what a reader must know: an engine that was not steady, processes that are missing, a throttled
    machine. ``layers`` come from runs of their own, after all that was timed. ``started`` is in UTC; ``seconds`` is
    what the trial took in all.
    """

    trial: Trial
    failure: Failure | None = None
    metrics: Mapping[str, Measurement] = field(default_factory=dict)
    processes: tuple[Process, ...] = ()
    layers: tuple[Layer, ...] = ()
    environment: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    started: str = ""
    seconds: float = 0.0

    @property
    def is_ok(self) -> bool:
        """Whether it has a result."""
        return self.failure is None

    def value(self, metric: str, name: str) -> float | None:
        """One value of one metric; None where it was not measured."""
        found = self.metrics.get(metric)
        return None if found is None else found.get(name)

    def as_data(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite are null."""
        return {
            "schema": SCHEMA,
            "trial": self.trial.as_data(),
            "key": self.trial.key,
            "status": "ok" if self.failure is None else "failed",
            "failure": None if self.failure is None else asdict(self.failure),
            "metrics": {name: _finite(asdict(m)) for name, m in self.metrics.items()},
            "processes": [_finite(asdict(p)) for p in self.processes],
            **({"layers": [_finite(asdict(x)) for x in self.layers]} if self.layers else {}),
            "environment": _finite(dict(self.environment)),
            "notes": list(self.notes),
            "started": self.started,
            "seconds": self.seconds,
        }

    def to_json(self, indent: int | None = None) -> str:
        """The JSON document."""
        return json.dumps(self.as_data(), indent=indent, allow_nan=False)

    @classmethod
    def from_data(cls, data: Any) -> Record:
        """The record in plain data; UsageError that names what is at fault."""
        found = dict(object_(data, "record", _KEYS, _NEEDED))
        same_schema(found.pop("schema"), "record")
        trial = Trial.from_data(found.pop("trial"))
        key, status = found.pop("key"), found.pop("status")
        rest = keyed(found, "record", _RECORD)
        record = cls(trial=trial, **rest)
        choice(trial.key)(key, "record.key")
        choice("ok" if record.is_ok else "failed")(status, "record.status")
        return record

    @classmethod
    def from_json(cls, document: str | bytes) -> Record:
        """The record in a JSON text; UsageError for anything else."""
        return cls.from_data(parsed(document, "the record"))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _made(kind: Any, checks: Mapping[str, Any], later: Mapping[str, Any] | None = None) -> Any:
    """Reads an object of that kind; keys of ``later`` are missing in documents from before there were any."""
    known = {**checks, **(later or {})}
    return lambda value, where: kind(**keyed(value, where, known, checks))


def _message(value: Any, where: str) -> str:
    return choice("")(value, where) if not isinstance(value, str) else value


_seconds = number(0)
_bytes = optional(whole(0))
_FAILURE = _made(Failure, {"kind": choice(*KINDS), "message": _message})
_MEASUREMENT = _made(
    Measurement,
    {"unit": _message, "values": mapped(optional(number(-math.inf))), "source": _message, "reason": _message},
)
_TURN = _made(
    Turn,
    {
        "samples": listed(listed(_seconds)),
        "wall": _seconds,
        "cpu": _seconds,
        "waited": optional(_seconds),
        "joules": mapped(number(-math.inf)),
    },
)
_PROCESS = _made(
    Process,
    {
        "load": _seconds, "steady": boolean, "warm_runs": whole(0), "turns": listed(_TURN),
        "cold_load": optional(_seconds), "peak_bytes": _bytes, "growth_bytes": _bytes, "weight_bytes": _bytes,
        "arena_bytes": _bytes, "settings": _message,
    },
    {"device_bytes": _bytes, "device_growth_bytes": _bytes},
)  # fmt: skip

_LAYER = _made(
    Layer,
    {
        "name": _message, "op": _message, "kernel": _message, "seconds": _seconds, "macs": _bytes, "nbytes": _bytes,
    },
)  # fmt: skip


def _metrics(value: Any, where: str) -> Mapping[str, Measurement]:
    return keyed(value, where, dict.fromkeys(METRICS, _MEASUREMENT))


_RECORD: dict[str, Any] = {
    "failure": optional(_FAILURE),
    "metrics": _metrics,
    "processes": listed(_PROCESS),
    "layers": listed(_LAYER),
    "environment": mapped(lambda value, _: value),
    "notes": listed(_message),
    "started": _message,
    "seconds": _seconds,
}
_KEYS = ("schema", "trial", "key", "status", *_RECORD)
# Layers are there where they were asked for and told.
_NEEDED = tuple(k for k in _KEYS if k != "layers")
