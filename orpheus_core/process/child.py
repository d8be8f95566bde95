"""The parent's end of a child: asks, waits no longer than it may, and tells how the child died and what it was at.

A child leads a process group of its own, which is killed as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from orpheus_core.errors import KernelError

__all__ = ["OUT_OF_MEMORY", "Child", "ChildError", "receive", "send"]

_BEGIN = (
    "import json, sys; s = json.loads(sys.argv[1]); sys.path[:] = s.pop('path'); "
    "from orpheus_core.process.serve import serve; serve(**s)"
)
#: What libraries say when there is no memory left.
OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "out of memory", "Cannot allocate memory")
# Imports and the making of an object get as long as this, even where answers have less time.
_START = 120.0
# Of what a child prints, so much is kept.
_TAIL = 4096
# For the pipe of a dead child to run dry: a grandchild may hold it open.
_GRACE = 0.3
# Bytes of the length that goes before each message.
_HEAD = 8


class ChildError(KernelError):
    """No answer. ``note`` is what the child was at.

    ``kind``: ``failed`` (it raised something untyped), ``crashed``, ``timed out`` or ``out of memory``, or what the
    child's own code says.
    """

    def __init__(self, kind: str, text: str, note: str = "") -> None:
        super().__init__(f"{text} ({note})" if note else text)
        self.kind = kind
        self.note = note
        self._text = text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, self._text, self.note)


class Child:
    """A process with the object that ``reference`` (``module:name``) makes, as ``name(note, *given)``.

    ``note(text)`` tells what it is at. A reference that names a module alone gives its functions, each called with a
    dict of its own that lasts as long as the child. Arguments and answers cross as pickles. Typed errors of the core
    cross as themselves; any other exception becomes a ChildError of kind ``failed``.

    ``timeout``: seconds for each answer; the constructor then waits until the object is made. Without it each call
    gives its ``limit``, and the first one's includes the making. ``environment`` is added to this process's; ``memory``
    limits the address space in bytes, ``cpus`` are the processors that it may run on. With ``rests`` its process group
    is stopped except while it is asked something: runtimes keep threads that spin for a while. With ``quiet`` what it
    prints is kept for the report of its death, and shown nowhere else. On Linux it dies with the thread that made it.
    """

    def __init__(
        self,
        reference: str,
        *given: Any,
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
        memory: int | None = None,
        cpus: Sequence[int] | None = None,
        rests: bool = False,
        quiet: bool = False,
    ) -> None:
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._printed = b""
        self._memory, self._rests, self._timeout = memory, rests, timeout
        self._is_made = False
        self._oom_kills = _oom_kills()
        start = {"path": sys.path, "memory": memory, "cpus": cpus, "parent": os.getpid(), "quiet": quiet}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BEGIN, json.dumps(start)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE if quiet else None,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ChildError("failed", f"no process could be started: {error.strerror}") from error
        threads = [threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)]
        if quiet:
            threads.append(
                threading.Thread(target=self._keep_tail, args=(self._process.stderr,), daemon=True)
            )
        self._readers = tuple(threads)
        for thread in (*threads, threading.Thread(target=self._await, daemon=True)):
            thread.start()
        self._send((reference, given))
        if timeout is not None:
            limit = max(timeout, _START)
            self._make(limit, time.monotonic() + limit)

    @property
    def pid(self) -> int:
        """Of the child, and of its process group."""
        return self._process.pid

    def call(self, method: str, /, *given: Any, limit: float | None = None, **named: Any) -> Any:
        """The answer of one method. What it raised, or ChildError when no answer comes within ``limit`` seconds.

        After one of kind ``crashed`` or ``timed out`` the child is gone; else it can be asked again.
        """
        seconds = self._timeout if limit is None else limit
        if seconds is None:
            raise ValueError("a child without a timeout is asked with a limit")
        end = time.monotonic() + seconds
        self._signal("SIGCONT")
        if not self._is_made:
            self._make(seconds, end)
        self._send((method, given, named))
        try:
            return self._take(seconds, end)
        finally:
            if self._rests:
                self._signal("SIGSTOP")

    def close(self) -> None:
        """End the child and what it has started, whatever they are doing."""
        self._signal("SIGKILL")
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.close()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _make(self, seconds: float, end: float) -> None:
        try:
            self._take(seconds, end)
        except BaseException:
            self.close()
            raise
        self._is_made = True

    def _take(self, seconds: float, end: float) -> Any:
        """The next answer; notes on the way are kept for what may happen."""
        note = ""
        while True:
            try:
                message = self._answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                self.close()
                raise ChildError(
                    "timed out", f"no answer in {seconds:g} s{self._last_words()}", note
                ) from None
            if message is None:
                self.close()
                raise self._death(note)
            try:
                kind, payload = pickle.loads(message)
            except Exception:
                self.close()
                raise ChildError("crashed", "its answer is garbled", note) from None
            if kind == "note":
                note = payload
            elif kind == "ok":
                return payload
            elif kind == "raised":
                raise payload
            else:
                raise ChildError(kind, payload, note)

    def _send(self, message: Any) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(
            OSError, ValueError
        ):  # a dead child: waiting for its answer tells how it died
            send(self._process.stdin, pickle.dumps(message))

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError, MemoryError):
            while (message := receive(stream)) is not None:
                self._answers.put(message)

    def _keep_tail(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(stream.fileno(), 65_536):
                self._printed = (self._printed + chunk)[-_TAIL:]

    def _await(self) -> None:
        self._process.wait()
        self._readers[0].join(_GRACE)
        self._answers.put(None)

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)  # not on Windows, where all stay awake
        if number is not None and hasattr(os, "killpg") and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _death(self, note: str) -> ChildError:
        for reader in self._readers[1:]:
            reader.join(_GRACE)
        code = self._process.returncode
        said = self._printed.decode(errors="replace")
        how = f"its process ended with code {code}" + ("" if code else ", without an answer")
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"its process was ended by {signal.Signals(-code).name}"
        killed = code == -9 and _oom_kills() > self._oom_kills
        if code and (killed or any(words in said for words in OUT_OF_MEMORY)):
            limit = f" under a limit of {self._memory} bytes" if self._memory else ""
            return ChildError("out of memory", f"{how}{limit}{self._last_words()}", note)
        return ChildError("crashed", how + self._last_words(), note)

    def _last_words(self) -> str:
        said = " ".join(self._printed.decode(errors="replace").split())
        return f"; it said last: {said[-300:]}" if said else ""


def send(stream: IO[bytes], message: bytes) -> None:
    """Write a message behind its length."""
    stream.write(len(message).to_bytes(_HEAD, "little") + message)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """The next message; None where the stream ends, in the middle of one too."""
    head = stream.read(_HEAD)
    if len(head) < _HEAD:
        return None
    size = int.from_bytes(head, "little")
    message = stream.read(size)
    return message if len(message) == size else None


def _oom_kills() -> int:
    """How many processes the system has killed for want of memory."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
