"""Who takes part: an engine by its name, or Orpheus untuned and tuned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from orpheus_core import discovery
from orpheus_core.errors import UsageError
from orpheus_core.peers import Peer, Source, absence, peer, peers, source, version
from orpheus_experiments.trial.engines import Loaded, open_session

__all__ = [
    "ORPHEUS",
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


def open_entrant(name: str, made: Source, threads: int, backends: Sequence[str]) -> Loaded:
    """The model loaded; ``seconds`` is the time of that alone."""
    if name not in ORPHEUS:
        return Peer(peer(name), made, threads)
    tuned = name == "orpheus-tuned"
    return open_session(made.path, backends, threads, tuned=tuned, policy="cost" if tuned else None)
