"""A model in the engine of a trial: a session of Orpheus, or a whole engine of another's."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orpheus_core import discovery
from orpheus_core.errors import BackendError
from orpheus_core.peers import PREFIX, Peer, Source, absence, peer
from orpheus_core.process import ChildError
from orpheus_core.types import Array

__all__ = ["Loaded", "OrpheusLoaded", "confinement", "demand", "open_engine", "open_session"]


class Loaded(Protocol):
    """A model in an engine."""

    @property
    def seconds(self) -> float:
        """Time of the load."""

    @property
    def summary(self) -> str:
        """Version and settings in one line."""

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], list[Any]]:
        """One inference as a call."""


@dataclass(frozen=True)
class OrpheusLoaded:
    """A session of Orpheus's own."""

    session: Any
    seconds: float

    @property
    def summary(self) -> str:
        """What ran where."""
        return f"threads {self.session.threads}, {self.session.explain().summary}"

    @property
    def planned_bytes(self) -> int:
        """Packed weights and arena."""
        return int(self.session.stats.weight_bytes + self.session.stats.arena_bytes)

    def bind(self, feeds: Mapping[str, Array]) -> Callable[[], list[Any]]:
        """One inference on feeds that are read in place, as other engines read theirs."""
        call: Callable[[], list[Any]] = self.session.bind(feeds)
        return call


def open_session(
    path: Path,
    backends: Sequence[str],
    threads: int,
    *,
    tuned: bool = False,
    policy: str | None = None,
    pins: Mapping[str, str] | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
) -> OrpheusLoaded:
    """The model in a session, timed as a whole; without ``tuned`` no kept measurement is read."""
    from orpheus_core.session import InferenceSession, SessionOptions

    logging.getLogger("orpheus").setLevel(logging.ERROR)  # what runs where is in the report
    start = time.perf_counter()
    options = SessionOptions(measurements=None if tuned else "")
    session = InferenceSession(
        path,
        options,
        providers=list(backends),
        threads=threads,
        policy=policy,
        pin=pins or None,
        shapes=shapes or None,
    )
    return OrpheusLoaded(session, time.perf_counter() - start)


def open_engine(trial: Any, path: Path, inputs: Sequence[Any], shapes: Mapping[str, Sequence[int]]) -> Loaded:
    """The model at ``path``, in the engine's own format, loaded as the trial says."""
    if trial.is_peer:
        return Peer(peer(trial.engine[len(PREFIX) :]), Source(tuple(inputs), path), trial.threads)
    policy = trial.policy or ("cost" if trial.tuned else None)
    return open_session(
        path,
        trial.backends,
        trial.threads,
        tuned=trial.tuned,
        policy=policy,
        pins=trial.kernels,
        shapes=shapes,
    )


def demand(engine: str) -> None:
    """ChildError unless all that the engine consists of is installed and ready."""
    if engine.startswith(PREFIX):
        reason = absence(peer(engine[len(PREFIX) :]))
        if reason is not None:
            raise ChildError("not installed", f"{engine} is {reason}")
        return
    for name in engine.split(","):
        try:
            row = discovery.row(name)
        except BackendError as error:
            raise ChildError("not installed", str(error)) from None
        if not row.ready or row.kind != "backend":
            raise ChildError("refused", f"{name} is {row.status}: {row.reason or 'it offers no kernels'}")


def confinement(engine: str, isa: str | None) -> Mapping[str, str]:
    """The environment that keeps an engine to an instruction set; ChildError where it has no such setting."""
    if isa is None:
        return {}
    if not engine.startswith(PREFIX):
        return {"ORPHEUS_ISA": isa}
    known = peer(engine[len(PREFIX) :]).isa
    if isa not in known:
        raise ChildError("refused", f"{engine} has no setting that confines it to {isa}")
    return known[isa]
