"""An object in a process of its own: what crashes or hangs there costs an answer and not the command.

:class:`Child` makes the object that a reference names and forwards calls to its methods. Whoever is asked for a method
that kills the process, or that takes longer than the limit, gets a :class:`ChildError` that says which of the two
happened and, where the object told what it was at (``note``), during what.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from orpheus_core.errors import KernelError, OrpheusError
from orpheus_core.plugin import resolve

__all__ = ["Child", "ChildError"]

_START = 120.0


class ChildError(KernelError):
    """No answer. ``kind`` is ``failed`` (it raised), ``crashed`` or ``timed out``; ``note`` is what it was at."""

    def __init__(self, kind: str, text: str, note: str = "") -> None:
        super().__init__(f"{text} ({note})" if note else text)
        self.kind = kind
        self.note = note


class Child:
    """The object that ``reference(note, *given)`` makes, in a spawned process; ``note(text)`` tells what it is at.

    ``timeout``: seconds for each answer. Arguments and answers cross as pickles. Typed errors of the core cross as
    themselves; any other exception becomes a ChildError of kind ``failed``. A context manager.
    """

    def __init__(self, reference: str, *given: Any, timeout: float = 60.0) -> None:
        context = multiprocessing.get_context("spawn")
        self._conn, theirs = context.Pipe()
        self._timeout = timeout
        self._process = context.Process(target=serve, args=(theirs, reference, given), daemon=True)
        self._process.start()
        theirs.close()
        self._answer(max(timeout, _START))

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, method: str, *given: Any, timeout: float | None = None) -> Any:
        """The answer of one method; ChildError when there is none. Only one that ``failed`` can be asked again."""
        with contextlib.suppress(OSError):  # a dead process: reading says so, and how it died
            self._conn.send((method, given))
        return self._answer(self._timeout if timeout is None else timeout)

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._conn.close()
        self._process.kill()
        self._process.join()

    def _answer(self, seconds: float) -> Any:
        note, end = "", time.monotonic() + seconds
        try:
            while True:
                if not self._conn.poll(max(0.0, end - time.monotonic())):
                    raise ChildError("timed out", f"no answer in {seconds:g} s", note)
                kind, payload = self._conn.recv()
                if kind != "note":
                    break
                note = payload
        except (EOFError, OSError):
            self._process.join()
            raise ChildError("crashed", _death(self._process.exitcode), note) from None
        if kind == "error":
            raise payload
        if kind == "failed":
            raise ChildError("failed", payload, note)
        return payload


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        with contextlib.suppress(ValueError):
            return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}"


def serve(conn: Connection, reference: str, given: tuple[Any, ...]) -> None:
    """The child's end: make the object, then answer until the parent closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    os.dup2(2, 1)  # what a backend prints must not mix with the report
    made: Any = None

    def note(text: str) -> None:
        conn.send(("note", text))

    def make() -> None:
        nonlocal made
        made = resolve(reference)(note, *given)

    work: Callable[[], Any] = make
    while True:
        try:
            answer = ("ok", work())
        except OrpheusError as error:
            answer = ("error", error)
        except Exception as error:
            answer = ("failed", f"{type(error).__name__}: {' '.join(str(error).split())}")
        try:
            conn.send(answer)
            method, arguments = conn.recv()
        except (EOFError, OSError):
            return
        work = _bound(made, method, arguments)


def _bound(made: Any, method: str, arguments: tuple[Any, ...]) -> Callable[[], Any]:
    return lambda: getattr(made, method)(*arguments)
