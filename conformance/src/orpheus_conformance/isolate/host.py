"""The side of the run: starts the other process, asks it, and turns its death or silence into a verdict."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from orpheus_conformance.case import Case, CaseError
from orpheus_conformance.isolate.worker import Setup, describe
from orpheus_conformance.oracle import Oracle
from orpheus_conformance.subject import Subject
from orpheus_conformance.verdict import FAILED, Judge, Verdict
from orpheus_core.errors import BackendError, UsageError

_START_SECONDS = 120.0
_CODE = "import sys; sys.path[:] = {path!r}; from orpheus_conformance.isolate.worker import main; main()"


class Isolation:
    """Gives judges that work in another process, one process per kernel at a time; a context manager.

    ``oracle`` as in :class:`..engine.Options`; ``time_limit`` in seconds a case; ``memory`` in bytes that a kernel may
    take beyond what the process has at its start (None: no bound; kept on Linux, for backends on the CPU). The backend
    goes there as data, so one that is not installed works too; its code must be importable by name.
    """

    def __init__(
        self, oracle: str = "auto", *, time_limit: float = 30.0, memory: int | None = 4 << 30
    ) -> None:
        self.oracle, self.time_limit, self.memory = oracle, time_limit, memory
        self._worker: _Worker | None = None
        self._of: Subject | None = None

    def __enter__(self) -> Isolation:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        if self._worker is not None:
            self._worker.end()
        self._worker = None

    def __call__(self, subject: Subject, oracle: Oracle | None = None) -> Judge:
        """The judge of a kernel's cases."""
        return partial(self.judge, subject)

    def judge(self, subject: Subject, case: Case) -> Verdict:
        """The verdict on a case; a death is a failure of kind ``crash``, silence one of kind ``timeout``."""
        return self._ask(subject, case, explain=False)[0]

    def explain(self, subject: Subject, case: Case) -> tuple[Verdict, str]:
        """The verdict, and what :func:`..explain.explain` tells of it."""
        return self._ask(subject, case, explain=True)

    def _ask(self, subject: Subject, case: Case, *, explain: bool) -> tuple[Verdict, str]:
        if self._worker is None or self._of != subject:
            self.close()
            setup = Setup(subject.backend, subject.id, self.oracle, self.memory)
            self._worker, self._of = _Worker(setup), subject
        try:
            found = self._worker.ask({"case": case.line(), "explain": explain}, self.time_limit)
        except _Silent:
            self.close()
            return Verdict(FAILED, f"no result within {self.time_limit:g} s", "timeout"), ""
        except _Died as death:
            if death.final:
                self.close()
            return Verdict(FAILED, f"the process {death}", "crash"), ""
        if "unreadable" in found:
            raise CaseError(found["unreadable"])
        if "defect" in found:
            raise RuntimeError(f"judging {case.line()} raised, in its own process:\n{found['defect']}")
        return Verdict(found["outcome"], found["message"], found["kind"]), found["told"]


class _Silent(Exception):
    pass


class _Died(Exception):
    """``final``: the whole process is gone, and not only its child."""

    def __init__(self, text: str, final: bool = False) -> None:
        super().__init__(text)
        self.final = final


class _Worker:
    """One running process."""

    def __init__(self, setup: Setup) -> None:
        try:
            sent = pickle.dumps(setup)
        except Exception as error:
            name = setup.backend.name
            raise UsageError(f"--isolate: backend {name!r} is not plain data: {error}") from error
        handle, name = tempfile.mkstemp(prefix="orpheus-conform-")
        self._log = Path(name)
        code = _CODE.format(path=[p or os.getcwd() for p in sys.path])
        with os.fdopen(handle, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        self._number = 0
        self._heard = 0
        self._answers: queue.Queue[dict[str, Any] | None] = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        self._start(sent, setup)

    def _start(self, sent: bytes, setup: Setup) -> None:
        try:
            self._send(sent)
            self._next(_START_SECONDS)
        except (_Died, _Silent) as error:
            words = self._last_words(20)
            self.end()
            why = str(error) or f"was not ready within {_START_SECONDS:g} s"
            raise BackendError(f"the process for {setup.kernel} {why}{words}") from error

    def ask(self, what: dict[str, Any], seconds: float) -> dict[str, Any]:
        """The answer to a request; _Died or _Silent when there is none."""
        # A child that died since its last answer is a death of its own: it must not be taken for one of this case.
        with contextlib.suppress(queue.Empty):
            self._check(self._answers.get_nowait(), "after an earlier case had returned")
        self._number += 1
        self._heard = self._log.stat().st_size
        self._send(json.dumps({**what, "id": self._number}).encode() + b"\n")
        while True:
            found = self._next(seconds)
            if found.get("id") == self._number:
                return found

    def end(self) -> None:
        """Kill it, with every process that it has started."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                self._kill()()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                if stream is not None:
                    stream.close()
        self._log.unlink(missing_ok=True)

    def _kill(self) -> Callable[[], object]:
        if sys.platform == "win32":
            return self._process.kill
        return partial(os.killpg, self._process.pid, signal.SIGKILL)

    def _send(self, data: bytes) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except OSError as error:
            raise _Died(self._ending(), final=True) from error

    def _next(self, seconds: float) -> dict[str, Any]:
        try:
            return self._check(self._answers.get(timeout=seconds), "")
        except queue.Empty:
            raise _Silent from None

    def _check(self, found: dict[str, Any] | None, when: str) -> dict[str, Any]:
        if found is None:
            raise _Died(" ".join(filter(None, (self._ending(), when))) + self._last_words(), final=True)
        if "died" in found:
            raise _Died(" ".join(filter(None, (found["died"], when))) + self._last_words())
        return found

    def _ending(self) -> str:
        try:
            return describe(self._process.wait(5))
        except subprocess.TimeoutExpired:
            return "closed its end of the line"

    def _last_words(self, most: int = 1) -> str:
        """The last lines that the process wrote to stderr, after a colon; empty when it wrote nothing."""
        try:
            lines = self._log.read_bytes()[self._heard :].decode(errors="replace").split("\n")
        except OSError:
            return ""
        said = [line.strip() for line in lines if line.strip()][-most:]
        return f": {' | '.join(said)[:500]}" if said else ""

    def _listen(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                try:
                    self._answers.put(json.loads(line))
                except ValueError:
                    break
        self._answers.put(None)
