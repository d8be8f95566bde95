"""One backend on one model in a process of its own: a crash or a hang costs one row, not the comparison."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orpheus_core.errors import InputError, KernelError, ModelError, OrpheusError, UnsupportedModelError
from orpheus_core.process import Child, ChildError
from orpheus_core.types import Array, Dim

#: No batch takes more samples than this; beyond it the spread is known well enough.
BATCH_RUNS = 1000
# Below this time of one inference, a batch starts with a run that is not counted: another process has had
# the caches since the last batch.
_SHORT = 0.05


@dataclass(frozen=True)
class Setting:
    """What a trial's session is made with; plain data, for it crosses to another process."""

    model: str
    backend: str
    pins: Mapping[str, str] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    threads: int | None = None


@dataclass(frozen=True)
class InputFact:
    """Name, type and shape of a model's input."""

    name: str
    type: str
    shape: tuple[Dim, ...]


@dataclass(frozen=True)
class LoadFact:
    """What is known once a model is loaded. ``seconds`` is the whole making of the session."""

    seconds: float
    inputs: tuple[InputFact, ...]
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFact:
    """What is known once it has run: results, memory of the plan for these inputs, and what ran where.

    A peer engine does not tell the memory of its plan: None.
    """

    outputs: list[Any]
    weight_bytes: int | None
    arena_bytes: int | None
    plan: str


class TrialError(Exception):
    """A trial that gave no result. ``kind`` is model, input, unsupported, refused, failed, crashed or timed out."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class Trial:
    """The parent's end: starts the process, asks, and notices when no answer comes."""

    def __init__(self, setting: Setting, timeout: float) -> None:
        self._setting, self._timeout = setting, timeout
        self._child = Child(__name__)

    def load(self) -> LoadFact:
        """Wait until the session is made. Every method here raises TrialError when there is no result."""
        fact: LoadFact = self._ask("load", self._setting)
        return fact

    def first_run(self, feeds: Mapping[str, Array]) -> RunFact:
        """Keep the feeds and run once."""
        fact: RunFact = self._ask("first_run", dict(feeds))
        return fact

    def times(self, runs: int, at_least: float) -> list[float]:
        """Seconds of each of ``runs`` or more inferences that together last ``at_least`` seconds."""
        samples: list[float] = self._ask("times", runs, at_least)
        return samples

    def peak_bytes(self) -> int | None:
        """The most memory that the process held at once, its Python included; None where it cannot be told."""
        peak: int | None = self._ask("peak_bytes")
        return peak

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._child.close()

    def _ask(self, work: str, *given: Any) -> Any:
        try:
            return self._child.call(work, *given, limit=self._timeout)
        except OrpheusError as error:
            raise TrialError(_kind(error), str(error)) from None


def _kind(error: OrpheusError) -> str:
    if isinstance(error, ChildError):
        return error.kind
    if isinstance(error, KernelError):
        return "failed"
    if isinstance(error, InputError):
        return "input"
    if isinstance(error, UnsupportedModelError):
        return "unsupported"  # another backend may have the operator
    return "model" if isinstance(error, ModelError) else "refused"


def load(state: dict[str, Any], setting: Setting) -> LoadFact:
    """In the child: make the session, or load the model into a peer engine."""
    from orpheus_core.peers import PREFIX, Peer, output_names, peer, source
    from orpheus_core.session import InferenceSession
    from orpheus_core.session.threads import check_threads

    if setting.backend.startswith(PREFIX):
        spec = peer(setting.backend[len(PREFIX) :])
        with tempfile.TemporaryDirectory(prefix="orpheus-peer-") as folder:
            made = source(spec, setting.model, Path(folder), setting.shapes)
            loaded = state["peer"] = Peer(spec, made, check_threads(setting.threads))
        given = tuple(InputFact(i.name, i.type, i.shape) for i in loaded.inputs)
        return LoadFact(loaded.seconds, given, tuple(output_names(setting.model)))
    start = time.perf_counter()
    session = InferenceSession(
        setting.model,
        providers=[setting.backend],
        threads=setting.threads,
        pin=dict(setting.pins) or None,
        shapes=dict(setting.shapes) or None,
    )
    seconds = time.perf_counter() - start
    state["session"] = session
    inputs = tuple(InputFact(i.name, i.type, tuple(i.shape)) for i in session.get_inputs())
    return LoadFact(seconds, inputs, tuple(o.name for o in session.get_outputs()))


def first_run(state: dict[str, Any], feeds: dict[str, Array]) -> RunFact:
    """In the child: run once on these feeds, which are kept."""
    if "peer" in state:
        state["run"] = state["peer"].bind(feeds)
        return RunFact(state["run"](), None, None, state["peer"].summary)
    session = state["session"]
    state["run"] = session.bind(feeds)
    outputs = state["run"]()
    stats = session.stats
    return RunFact(outputs, stats.weight_bytes, stats.arena_bytes, session.explain().summary)


def times(state: dict[str, Any], runs: int, at_least: float) -> list[float]:
    """In the child: a batch of timed runs."""
    run, clock = state["run"], time.perf_counter
    if state.get("typical", 0.0) < _SHORT:
        run()
    samples: list[float] = []
    begun = clock()
    while len(samples) < BATCH_RUNS and (len(samples) < runs or clock() - begun < at_least):
        start = clock()
        run()
        samples.append(clock() - start)
    state["typical"] = min(samples)
    return samples


def peak_bytes(_: dict[str, Any]) -> int | None:
    """In the child: the most memory that it has held."""
    # Not ru_maxrss where it can be avoided: on Linux that counts what the parent held when it started us.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as lines:
        return next((int(text.split()[1]) * 1024 for text in lines if text.startswith("VmHWM:")), None)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None
