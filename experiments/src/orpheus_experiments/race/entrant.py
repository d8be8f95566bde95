"""Who takes part: an engine by its name, or Orpheus untuned and tuned."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from orpheus_core import discovery
from orpheus_core.errors import UsageError
from orpheus_core.peers import Peer, Source, absence, peer, peers, source, version
from orpheus_core.types import Array

__all__ = [
    "ORPHEUS",
    "Loaded",
    "confinement",
    "hindrance",
    "known",
    "make_source",
    "open_entrant",
    "version_of",
]

#: Orpheus by its static cost model, and by the times that ``orpheus tune`` has kept.
ORPHEUS = ("orpheus", "orpheus-tuned")


def known() -> tuple[str, ...]:
    """Every name that may take part, installed or not."""
    return (*ORPHEUS, *peers())


def hindrance(name: str, backends: Sequence[str], isa: str | None) -> str | None:
    """None when ``name`` can take part, else the reason; UsageError for an unknown name."""
    if name in ORPHEUS:
        rows = [discovery.row(b) for b in backends]
        return next((f"{r.name} is {r.status}: {r.reason}" for r in rows if not r.ready), None)
    if name not in known():
        raise UsageError(f"no engine is called {name!r}; there are {', '.join(known())}")
    reason = absence(peer(name))
    if reason is None and isa is not None and isa not in peer(name).isa:
        return f"left out: it has no setting that confines it to {isa}"
    return reason


def confinement(name: str, isa: str | None) -> Mapping[str, str]:
    """The environment that keeps ``name`` to the instruction set ``isa``."""
    if isa is None:
        return {}
    return {"ORPHEUS_ISA": isa} if name in ORPHEUS else peer(name).isa[isa]


def version_of(name: str) -> str:
    """The version of an engine, or of Orpheus's core."""
    from orpheus_core import __version__

    return __version__ if name in ORPHEUS else version(peer(name))


def make_source(name: str, path: Path, folder: Path) -> Source:
    """The model as ``name`` loads it; what has to be converted is, into ``folder``."""
    return Source((), path) if name in ORPHEUS else source(peer(name), path, folder)


class Loaded(Protocol):
    """A model in an entrant."""

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
    """A session of Orpheus's own as an entrant."""

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
        """``run`` with its checks of the feeds."""
        run, given = self.session.run, dict(feeds)
        return lambda: run(None, given)


def open_entrant(name: str, made: Source, threads: int, backends: Sequence[str]) -> Loaded:
    """The model loaded; ``seconds`` is the time of that alone."""
    if name not in ORPHEUS:
        return Peer(peer(name), made, threads)
    from orpheus_core.session import InferenceSession, SessionOptions

    logging.getLogger("orpheus").setLevel(logging.ERROR)  # what runs where is in the report
    start = time.perf_counter()
    options = SessionOptions(measurements=None if name == "orpheus-tuned" else "")
    policy = "cost" if name == "orpheus-tuned" else None
    session = InferenceSession(made.path, options, providers=list(backends), threads=threads, policy=policy)
    return OrpheusLoaded(session, time.perf_counter() - start)
