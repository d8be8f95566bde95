"""One backend on one model in a process of its own: a crash or a hang costs one row, not the comparison."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from orpheus_core.errors import InputError, KernelError, ModelError, OrpheusError, UnsupportedModelError
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
        context = multiprocessing.get_context("spawn")
        self._conn, theirs = context.Pipe()
        self._timeout = timeout
        self._process = context.Process(target=serve, args=(theirs, setting))
        self._process.start()
        theirs.close()

    def load(self) -> LoadFact:
        """Wait until the session is made. Every method here raises TrialError when there is no result."""
        fact: LoadFact = self._answer()
        return fact

    def first_run(self, feeds: Mapping[str, Array]) -> RunFact:
        """Keep the feeds and run once."""
        fact: RunFact = self._ask(("feeds", dict(feeds)))
        return fact

    def times(self, runs: int, at_least: float) -> list[float]:
        """Seconds of each of ``runs`` or more inferences that together last ``at_least`` seconds."""
        samples: list[float] = self._ask(("times", runs, at_least))
        return samples

    def peak_bytes(self) -> int | None:
        """The most memory that the process held at once, its Python included; None where it cannot be told."""
        peak: int | None = self._ask(("peak",))
        return peak

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._conn.close()
        self._process.kill()
        self._process.join()

    def _ask(self, request: tuple[Any, ...]) -> Any:
        with contextlib.suppress(OSError):  # a dead process: reading says so, and how it died
            self._conn.send(request)
        return self._answer()

    def _answer(self) -> Any:
        try:
            if not self._conn.poll(self._timeout):
                raise TrialError("timed out", f"no answer in {self._timeout:g} s")
            kind, payload = self._conn.recv()
        except (EOFError, OSError):
            self._process.join()
            raise TrialError("crashed", _died(self._process.exitcode)) from None
        if kind != "ok":
            raise TrialError(kind, payload)
        return payload


def _died(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}"


def serve(conn: Connection, setting: Setting) -> None:
    """The child's end: make the session, then answer until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    os.dup2(2, 1)  # what a backend prints must not mix with the report
    state: dict[str, Any] = {}
    request: tuple[Any, ...] = ("load", setting)
    while True:
        try:
            answer = ("ok", _ANSWERS[request[0]](state, *request[1:]))
        except OrpheusError as error:
            answer = (_kind(error), str(error))
        except Exception as error:
            answer = ("failed", f"{type(error).__name__}: {error}")
        try:
            conn.send(answer)
            request = conn.recv()
        except (EOFError, OSError):
            return


def _kind(error: OrpheusError) -> str:
    if isinstance(error, KernelError):
        return "failed"
    if isinstance(error, InputError):
        return "input"
    if isinstance(error, UnsupportedModelError):
        return "unsupported"  # another backend may have the operator
    return "model" if isinstance(error, ModelError) else "refused"


def _load(state: dict[str, Any], setting: Setting) -> LoadFact:
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


def _first_run(state: dict[str, Any], feeds: dict[str, Array]) -> RunFact:
    if "peer" in state:
        state["run"] = state["peer"].bind(feeds)
        return RunFact(state["run"](), None, None, state["peer"].summary)
    session = state["session"]
    state["run"] = partial(session.run, None, feeds)
    outputs = state["run"]()
    stats = session.stats
    return RunFact(outputs, stats.weight_bytes, stats.arena_bytes, session.explain().summary)


def _times(state: dict[str, Any], runs: int, at_least: float) -> list[float]:
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


def _peak(state: dict[str, Any]) -> int | None:
    # Not ru_maxrss where it can be avoided: on Linux that counts what the parent held when it started us.
    with contextlib.suppress(OSError), open("/proc/self/status", encoding="ascii") as lines:
        return next((int(text.split()[1]) * 1024 for text in lines if text.startswith("VmHWM:")), None)
    if sys.platform == "darwin":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return None


_ANSWERS: dict[str, Callable[..., Any]] = {"load": _load, "feeds": _first_run, "times": _times, "peak": _peak}
