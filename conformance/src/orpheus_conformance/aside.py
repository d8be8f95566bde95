"""Rows and recipes in a process of their own: with ``--isolate`` a crash there is a row, and the run goes on.

The other process makes the same jobs from the same backend, which goes there as data, and runs those that are left. It
writes down what it is about to run, so that a death has its case, and lives as long as it goes on writing.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from orpheus_conformance.engine import Job, Note, Options, Row, excused, ignore, select, survey_jobs
from orpheus_conformance.isolate.worker import describe
from orpheus_conformance.oracle import oracle_for
from orpheus_conformance.recipe import Recipe, Replayable, read_line
from orpheus_conformance.tiers import STUDIES, SURVEYS
from orpheus_conformance.verdict import FAILED, Court, Judge, Verdict
from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend, resolve

_CODE = "import sys; sys.path[:] = {path!r}; from orpheus_conformance.aside import main; main(*sys.argv[1:])"
_PAUSE = 0.02
#: A process may take longer to import everything than to answer.
_START_SECONDS = 120.0


def jobs_aside(backend: Backend, options: Options, tier: str, seconds: float) -> list[Job]:
    """The jobs of a survey or study. The first that is run starts a process, which does them all; when that dies or
    says nothing for ``seconds``, the job is a failed row, and another process goes on with the next.
    """
    planned = _planned(backend, options, tier)
    once = _Once(backend, options, tier, seconds, len(planned))
    return [Job(j.kernel, j.tier, partial(once.row, n, j)) for n, j in enumerate(planned)]


def judge_aside(recipe: Recipe, backend: Backend, seconds: float = 300.0) -> Verdict:
    """The verdict on a recipe (:func:`.whole.judge_whole`); a death fails with kind ``crash``, silence ``timeout``."""
    with _Process(_sent(backend, recipe), seconds) as process:
        found = process.next("verdict")
        if isinstance(found, _End):
            return Verdict(FAILED, f"the process {found.words}", found.kind)
        if isinstance(found, Exception):
            raise found
        assert isinstance(found, Verdict)
        return found


def _planned(backend: Backend, options: Options, tier: str, note: Note = ignore) -> list[Job]:
    chosen = select(backend, options)
    if tier in SURVEYS:
        return survey_jobs(SURVEYS[tier], backend, chosen)
    oracle = oracle_for(backend.name, options.oracle)
    judge_for = excused(Court, options)
    judges: dict[str, Judge] = {s.id: judge_for(s, oracle) for s in chosen}
    made: list[Job] = resolve(STUDIES[tier])(backend, chosen, options, judges, note)
    return made


def _sent(backend: Backend, *what: Any) -> bytes:
    try:
        return pickle.dumps((backend, *what))
    except Exception as error:
        raise UsageError(f"--isolate: backend {backend.name!r} is not plain data: {error}") from error


@dataclass(frozen=True)
class _End:
    """How a process ended, and what it was about to run."""

    words: str
    kind: str
    case: Replayable | None


class _Once:
    def __init__(self, backend: Backend, options: Options, tier: str, seconds: float, count: int) -> None:
        self._backend, self._options, self._tier = backend, options, tier
        self._seconds, self._count = seconds, count
        self._process: _Process | None = None
        self._start: float | None = None

    def row(self, number: int, job: Job) -> Row:
        if self._process is None:
            self._start = self._start or time.monotonic()
            # Time that is set for a tier is not given anew to the process that goes on.
            options = replace(self._options, plan_spent=time.monotonic() - self._start)
            self._process = _Process(_sent(self._backend, options, self._tier, number), self._seconds)
        found = self._process.next(f"row.{number}")
        if isinstance(found, _End) or number == self._count - 1:
            self._process.end()
            self._process = None
        if isinstance(found, _End):
            words = f"the process {found.words}"
            return Row(job.kernel, job.tier, "failed", words, found.case, kind=found.kind)
        assert isinstance(found, Row)
        return found


class _Process:
    """One running process; its answers are files, each there in full by one rename."""

    def __init__(self, sent: bytes, seconds: float) -> None:
        self._seconds = _START_SECONDS
        self._home = tempfile.TemporaryDirectory(prefix="orpheus-conform-")
        self._folder = Path(self._home.name)
        (self._folder / "asked").write_bytes(sent)
        code = _CODE.format(path=[p or os.getcwd() for p in sys.path])
        with (self._folder / "said").open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, str(self._folder)], stdout=subprocess.DEVNULL, stderr=said,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self._heard = time.monotonic()
        self._latest: Any = None
        self.next("ready")
        self._seconds = seconds

    def __enter__(self) -> _Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def next(self, name: str) -> Any:
        """The answer of that name, or an :class:`_End`."""
        path = self._folder / name
        while not path.exists():
            code = self._process.poll()
            if code is not None and not path.exists():
                said = (self._folder / "said").read_text("utf-8", "replace").strip().splitlines()[-1:]
                return _End(": ".join((describe(code), *said))[:500], "crash", self._flight())
            if self._silent():
                return _End(f"gave no result within {self._seconds:g} s", "timeout", self._flight())
            time.sleep(_PAUSE)
        self._heard = time.monotonic()
        return pickle.loads(path.read_bytes())

    def _silent(self) -> bool:
        with contextlib.suppress(OSError):
            latest = (self._folder / "flight").stat().st_mtime_ns
            if latest != self._latest:
                self._latest, self._heard = latest, time.monotonic()
        return time.monotonic() - self._heard > self._seconds

    def _flight(self) -> Replayable | None:
        with contextlib.suppress(OSError, UsageError):
            return read_line((self._folder / "flight").read_text("utf-8"))
        return None

    def end(self) -> None:
        """Kill it and forget its files."""
        self._process.kill()
        self._process.wait()
        self._home.cleanup()


def main(folder: str) -> None:
    """The other process: see the module."""
    home = Path(folder)
    backend, *what = pickle.loads((home / "asked").read_bytes())
    _write(home, "ready", None)
    if isinstance(what[0], Recipe):
        from orpheus_conformance.whole import judge_whole

        answer: Verdict | UsageError
        try:
            answer = judge_whole(what[0], backend)
        except UsageError as error:
            answer = error
        _write(home, "verdict", answer)
        return
    options, tier, first = what

    def note(what: Replayable) -> None:
        (home / "flight").write_text(what.line(), encoding="utf-8")

    for number, job in enumerate(_planned(backend, options, tier, note)):
        if number >= first:
            (home / "flight").unlink(missing_ok=True)
            _write(home, f"row.{number}", job.run())


def _write(home: Path, name: str, what: object) -> None:
    part = home / "part"
    part.write_bytes(pickle.dumps(what))
    part.rename(home / name)
