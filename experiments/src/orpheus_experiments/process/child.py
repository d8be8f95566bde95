"""The parent's end of a child: asks in JSON, waits no longer than it may, and tells how the child died.

A child leads a process group of its own, which is stopped except while it is asked something (runtimes keep threads
that spin for a while after an inference) and killed as a whole. What it prints is read and dropped but for the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from orpheus_core.errors import BackendError

__all__ = ["Child", "ChildError"]

_START = (
    "import json, sys; s = json.loads(sys.argv[1]); sys.path[:] = s.pop('path'); "
    "from orpheus_experiments.process.serve import serve; serve(**s)"
)
# Of what a child prints, so much is kept; an answer may be so long.
_TAIL = 4096
_LONGEST = 2**28
# For the pipe of a dead child to run dry: a grandchild may hold it open.
_GRACE = 0.3
_OUT_OF_MEMORY = ("bad_alloc", "MemoryError", "out of memory", "Cannot allocate memory")


class ChildError(BackendError):
    """A child that gave no result; ``kind`` is one of :data:`orpheus_experiments.trial.KINDS`."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Child:
    """A process that answers the functions of ``module``, which get a state of their own and keywords.

    ``environment`` is added to this process's; ``memory`` limits the child's address space in bytes, ``cpus`` are the
    processors that it may run on.
    """

    def __init__(
        self,
        module: str,
        *,
        environment: Mapping[str, str] | None = None,
        memory: int | None = None,
        cpus: Sequence[int] | None = None,
    ) -> None:
        self._answers: queue.Queue[bytes | None] = queue.Queue()
        self._printed = b""
        self._memory = memory
        self._oom_kills = _oom_kills()
        parent = os.getpid()
        start = {"path": sys.path, "module": module, "memory": memory, "cpus": cpus, "parent": parent}
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _START, json.dumps(start)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**os.environ, **(environment or {})}, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            raise ChildError("failed", f"no process could be started: {error.strerror}") from error
        assert self._process.stdout is not None and self._process.stderr is not None
        reader = threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True)
        self._drain = threading.Thread(target=self._keep_tail, args=(self._process.stderr,), daemon=True)
        for thread in (
            reader,
            self._drain,
            threading.Thread(target=self._await, args=(reader,), daemon=True),
        ):
            thread.start()

    @property
    def pid(self) -> int:
        """Of the child, and of its process group."""
        return self._process.pid

    def ask(self, work: str, limit: float, /, **given: Any) -> Any:
        """Let the child go on, have it do ``work``, and stop it again.

        Waits ``limit`` seconds. Raises ChildError when no answer comes; the child is killed then.
        """
        end = time.monotonic() + limit
        self._signal("SIGCONT")
        self._send({"work": work, "given": given})
        try:
            line = self._answers.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            self.close()
            raise ChildError("timed out", f"no answer within its time limit{self._last_words()}") from None
        if line is None:
            self.close()
            raise self._death()
        self._signal("SIGSTOP")
        try:
            answer = json.loads(line)
            if "failed" in answer:
                raise ChildError(**answer["failed"])
            return answer["ok"]
        except (ValueError, KeyError, TypeError):
            self.close()
            raise ChildError("crashed", "its answer is garbled") from None

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

    def _send(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # a dead child: waiting for its answer tells how it died
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def _read(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while line := stream.readline(_LONGEST):
                self._answers.put(line)

    def _keep_tail(self, stream: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(stream.fileno(), 65_536):
                self._printed = (self._printed + chunk)[-_TAIL:]

    def _await(self, reader: threading.Thread) -> None:
        self._process.wait()
        reader.join(_GRACE)
        self._answers.put(None)

    def _signal(self, name: str) -> None:
        number = getattr(signal, name, None)  # not on Windows, where all stay awake
        if number is not None and hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def _death(self) -> ChildError:
        self._drain.join(_GRACE)
        code = self._process.returncode
        said = self._printed.decode(errors="replace")
        how = f"its process ended with code {code}" + ("" if code else ", without an answer")
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                how = f"its process was ended by {signal.Signals(-code).name}"
        killed = code == -9 and _oom_kills() > self._oom_kills
        if code and (killed or any(words in said for words in _OUT_OF_MEMORY)):
            limit = f" under a limit of {self._memory} bytes" if self._memory else ""
            return ChildError("out of memory", f"{how}{limit}{self._last_words()}")
        return ChildError("crashed", how + self._last_words())

    def _last_words(self) -> str:
        said = " ".join(self._printed.decode(errors="replace").split())
        return f"; it said last: {said[-300:]}" if said else ""


def _oom_kills() -> int:
    """How many processes the system has killed for want of memory."""
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
