"""A trial: one model on one engine under given circumstances, as plain data that any machine can run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from orpheus_core.errors import UsageError
from orpheus_core.peers import PREFIX
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
    pattern,
    text,
    whole,
)  # fmt: skip

__all__ = ["METRICS", "SCHEMA", "ModelRef", "Trial", "same_schema"]

#: Version of the JSON forms of trials and records.
SCHEMA = 1

#: What can be asked for, in the order of reports.
METRICS = (
    "latency", "throughput", "load", "memory", "plan", "size", "energy", "error", "agreement", "flops",
    "layers",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelRef:
    """A file, or a network of the zoo built from a seed; exactly one of the two.

    With ``sha256`` a file is refused where its digest is another: a fleet's copies are the same model, or typed
    failures.
    """

    path: str | None = None
    sha256: str | None = None
    zoo: str | None = None
    seed: int = 0
    raw: bool = False

    def __post_init__(self) -> None:
        keyed(self.as_data(), "model", _MODEL)
        if (self.path is None) == (self.zoo is None):
            raise UsageError("model must have a path or the name of a zoo network, and not both")
        if self.zoo is None and (self.seed or self.raw):
            raise UsageError("model: seed and raw go with a zoo network")
        if self.path is None and self.sha256:
            raise UsageError("model: sha256 goes with a path")

    @property
    def name(self) -> str:
        """A short name for tables: the file's, without its ending, or the network's."""
        if self.zoo is not None:
            return self.zoo + ("-raw" if self.raw else "")
        name = (self.path or "").replace("\\", "/").rstrip("/").rpartition("/")[2]
        return name.removesuffix(".onnx") or name

    def as_data(self) -> dict[str, Any]:
        """Plain data, without what is left at its default."""
        return _sparse(self)


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What to measure. Times are in seconds.

    ``engine``: a backend, several in order of preference (``openmp,numpy``), or ``peer:onnxruntime``. ``threads`` of
    one stream; ``batch`` items in one inference. ``scenario``: ``single-stream`` runs one inference after another;
    ``offline`` keeps ``streams`` sessions busy at once, each called from a thread of its own. At least ``min_time`` and
    ``min_runs`` in all, shared by ``processes`` fresh processes. A process warms up until two windows in a row have
    medians within ``warm_within``, for ``warm_limit`` at most. ``seed`` makes the inputs and the order of turns;
    ``images`` counts the inputs on which classes are compared. ``reference``: ``float64``, or an engine, that errors
    are measured against. ``time_limit`` is for all of the trial, ``memory_limit`` (bytes of address space) for each of
    its processes. ``isa`` confines the engine to an instruction set, ``cpus`` to processors. ``kernels`` pins nodes or
    operators to kernels; ``tuned`` lets the times that ``orpheus tune`` has kept choose. ``shapes`` fixes input shapes.
    """

    model: ModelRef
    engine: str
    threads: int = 1
    batch: int = 1
    scenario: Literal["single-stream", "offline"] = "single-stream"
    streams: int = 1
    metrics: tuple[str, ...] = ("latency", "throughput")
    min_time: float = 3.0
    min_runs: int = 10
    processes: int = 5
    warm_limit: float = 5.0
    warm_within: float = 0.02
    seed: int = 0
    images: int = 16
    reference: str = "float64"
    time_limit: float = 600.0
    memory_limit: int | None = None
    isa: str | None = None
    cpus: tuple[int, ...] | None = None
    policy: Literal["order", "cost"] | None = None
    tuned: bool = False
    kernels: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.model, ModelRef):
            raise UsageError(f"trial.model must be a ModelRef, is {self.model!r}")
        # What is kept is what was read: numbers as floats, lists as tuples.
        for key, value in keyed(
            {f.name: getattr(self, f.name) for f in fields(self)}, "trial", _TRIAL
        ).items():
            object.__setattr__(self, key, value)
        if self.streams > 1 and self.scenario != "offline":
            raise UsageError("trial.streams above 1 go with the scenario offline")
        if self.is_peer and (self.kernels or self.policy or self.tuned):
            raise UsageError(f"{self.engine} is no backend: kernels, policy and tuned do not apply to it")

    @property
    def is_peer(self) -> bool:
        """Whether a whole engine is asked for, not backends of Orpheus."""
        return self.engine.startswith(PREFIX)

    @property
    def backends(self) -> tuple[str, ...]:
        """The backends in order of preference; none for a peer."""
        return () if self.is_peer else tuple(self.engine.split(","))

    @property
    def key(self) -> str:
        """A name for this very trial: a digest of its JSON, the same on every machine."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def as_data(self) -> dict[str, Any]:
        """Plain data, without what is left at its default."""
        return {"schema": SCHEMA, **_sparse(self), "model": self.model.as_data()}

    def to_json(self) -> str:
        """The canonical JSON: sorted keys, no spaces."""
        return json.dumps(self.as_data(), sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_data(cls, data: Any) -> Trial:
        """The trial in plain data; UsageError that names the key at fault."""
        known = {f.name for f in fields(cls)}
        found = dict(object_(data, "trial", {"schema", *known}, ("schema", "model", "engine")))
        same_schema(found.pop("schema"), "trial")
        model = keyed(found.pop("model"), "trial.model", _MODEL)
        return cls(model=ModelRef(**model), **found)

    @classmethod
    def from_json(cls, document: str | bytes) -> Trial:
        """The trial in a JSON text; UsageError for anything else."""
        return cls.from_data(parsed(document, "the trial"))


def same_schema(value: Any, what: str) -> None:
    """UsageError unless a document has this version's form."""
    if value != SCHEMA or isinstance(value, bool):
        raise UsageError(f"{what} has schema {value!r}; this version of orpheus-experiments reads {SCHEMA}")


def _sparse(thing: Any) -> dict[str, Any]:
    """Fields that differ from their defaults."""
    found = {}
    for f in fields(thing):
        value = getattr(thing, f.name)
        default = f.default_factory() if callable(f.default_factory) else f.default
        if value != default:
            found[f.name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


_MODEL = {
    "path": optional(text),
    "sha256": optional(pattern("[0-9a-f]{64}", "a SHA-256 of 64 hexadecimal digits")),
    "zoo": optional(text),
    "seed": whole(0),
    "raw": boolean,
}
_BACKEND = r"(?!peer:)[^\s,/]+"
_ENGINE = pattern(
    rf"peer:[^\s,]+|{_BACKEND}(,{_BACKEND})*", "a backend, backends joined by commas, or peer:NAME"
)
_TRIAL: dict[str, Any] = {
    "model": lambda value, _: value,
    "engine": _ENGINE,
    "threads": whole(1, 4096),
    "batch": whole(1),
    "scenario": choice("single-stream", "offline"),
    "streams": whole(1, 4096),
    "metrics": listed(choice(*METRICS), unique=True, least=1),
    "min_time": number(0),
    "min_runs": whole(1),
    "processes": whole(1, 10_000),
    "warm_limit": number(0),
    "warm_within": number(0, 1),
    "seed": whole(0),
    "images": whole(1),
    "reference": _ENGINE,
    "time_limit": number(0.1, 30 * 86_400),
    "memory_limit": optional(whole(2**20)),
    "isa": optional(text),
    "cpus": optional(listed(whole(0, 65_535), unique=True, least=1)),
    "policy": optional(choice("order", "cost")),
    "tuned": boolean,
    "kernels": mapped(text),
    "shapes": mapped(listed(whole(0))),
}
