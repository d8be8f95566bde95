"""The parent's end of a worker: a process that is stopped except while it is asked something.

Runtimes keep threads that spin for a while after each inference; stopped by SIGSTOP, they take nothing from the
engine whose turn it is.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from orpheus_core.errors import BackendError
from orpheus_experiments.race.worker import serve

__all__ = ["Racer", "RacerError", "once"]

_environment = threading.Lock()


class RacerError(BackendError):
    """A worker that gave no result: it failed, crashed or took too long."""


class Racer:
    """A worker process; the first work starts with it. ``environment`` is added to its own."""

    def __init__(
        self, work: str, *given: Any, timeout: float, environment: Mapping[str, str] | None = None
    ) -> None:
        context = multiprocessing.get_context("spawn")
        self._conn, theirs = context.Pipe()
        self._timeout = timeout
        self._process = context.Process(target=serve, args=(theirs, work, *given))
        with _added(environment or {}):
            self._process.start()
        theirs.close()

    def first(self) -> Any:
        """The answer to what it was started with; it is stopped then."""
        return self._answer()

    def ask(self, work: str, *given: Any) -> Any:
        """Let it go on, ask, and stop it again. RacerError when no answer comes."""
        self._signal("SIGCONT")
        with contextlib.suppress(OSError):  # a dead process: reading says so
            self._conn.send((work, *given))
        return self._answer()

    def close(self) -> None:
        """End the process, stopped or not."""
        self._conn.close()
        self._process.kill()
        self._process.join()

    def _answer(self) -> Any:
        try:
            if not self._conn.poll(self._timeout):
                raise RacerError(f"timed out: no answer in {self._timeout:g} s")
            kind, payload = self._conn.recv()
        except (EOFError, OSError):
            self._process.join()
            raise RacerError(f"crashed: its process ended with code {self._process.exitcode}") from None
        if kind != "ok":
            raise RacerError(payload)
        self._signal("SIGSTOP")
        return payload

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)  # not on Windows, where all stay awake
        if number is not None and self._process.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._process.pid, number)


def once(work: str, *given: Any, timeout: float, environment: Mapping[str, str] | None = None) -> Any:
    """The answer of a worker that lives for this one question."""
    racer = Racer(work, *given, timeout=timeout, environment=environment)
    try:
        return racer.first()
    finally:
        racer.close()


@contextlib.contextmanager
def _added(environment: Mapping[str, str]) -> Iterator[None]:
    """Within the block a new process inherits these variables, too."""
    with _environment:
        before = {name: os.environ.get(name) for name in environment}
        os.environ.update(environment)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
