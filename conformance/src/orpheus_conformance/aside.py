"""Studies in a process of their own: with ``--isolate`` a crash there is a row, and the run goes on.

The other process makes the same jobs from the same backend, which goes there as data, and runs the one it is asked for.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from orpheus_conformance.engine import Job, Options, Row
from orpheus_conformance.isolate.worker import describe
from orpheus_conformance.subject import Subject, subjects
from orpheus_conformance.tiers import STUDIES
from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend, resolve

#: Seconds that the rows of one study may take together before the process counts as hung.
LIMIT = 300.0
_CODE = "import sys; sys.path[:] = {path!r}; from orpheus_conformance.aside import main; main(*sys.argv[1:])"


def jobs_aside(
    backend: Backend, chosen: Sequence[Subject], options: Options, studies: Sequence[str]
) -> list[Job]:
    """The jobs of some studies; the first that is run of a study starts its process, which does them all."""
    backend = replace(backend, kernels=tuple(s.kernel for s in chosen))
    found = []
    for study in studies:
        once = _Once(backend, options, study)
        planned = _planned(backend, options, study)
        found += [Job(j.kernel, j.tier, partial(once.row, n, j)) for n, j in enumerate(planned)]
    return found


def _planned(backend: Backend, options: Options, study: str) -> list[Job]:
    made: list[Job] = resolve(STUDIES[study])(backend, subjects(backend), options, {})
    return made


class _Once:
    def __init__(self, backend: Backend, options: Options, study: str) -> None:
        self._backend, self._options, self._study = backend, options, study
        self._rows: Mapping[int, Row] | None = None
        self._ending, self._kind = "", ""

    def row(self, number: int, job: Job) -> Row:
        if self._rows is None:
            self._rows = self._run()
        found = self._rows.get(number)
        if found is not None:
            return found
        if number == len(self._rows):
            return Row(job.kernel, job.tier, "failed", f"the process {self._ending}", kind=self._kind)
        return Row(job.kernel, job.tier, "untested", f"the process of this tier {self._ending} before")

    def _run(self) -> dict[int, Row]:
        try:
            sent = pickle.dumps((self._backend, self._options, self._study))
        except Exception as error:
            raise UsageError(
                f"--isolate: backend {self._backend.name!r} is not plain data: {error}"
            ) from error
        with tempfile.TemporaryDirectory(prefix="orpheus-conform-") as folder:
            (Path(folder) / "asked").write_bytes(sent)
            code = _CODE.format(path=[p or os.getcwd() for p in sys.path])
            try:
                done = subprocess.run(
                    [sys.executable, "-c", code, folder],
                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT, check=False,
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                self._ending, self._kind = f"gave no result within {LIMIT:g} s", "timeout"
            else:
                said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                self._ending = ": ".join((describe(done.returncode), *said))[:500]
                self._kind = "crash"
            return _read(Path(folder))


def _read(folder: Path) -> dict[int, Row]:
    """The rows that are there in full; each is its own file, made by one rename."""
    return {int(p.suffix[1:]): pickle.loads(p.read_bytes()) for p in folder.glob("row.*")}


def main(folder: str) -> None:
    """The other process: see the module."""
    asked: tuple[Any, ...] = pickle.loads((Path(folder) / "asked").read_bytes())
    backend, options, study = asked
    for number, job in enumerate(_planned(backend, options, study)):
        row = job.run()
        part = Path(folder) / "part"
        part.write_bytes(pickle.dumps(row))
        part.rename(Path(folder) / f"row.{number}")
