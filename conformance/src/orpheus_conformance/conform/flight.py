"""The case in flight, on disk: when a kernel takes this very process down, the next run can name the case."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from pathlib import Path

from orpheus_conformance.case import Case
from orpheus_conformance.oracle import Oracle
from orpheus_conformance.recipe import Replayable, read_line
from orpheus_conformance.subject import Subject
from orpheus_conformance.verdict import Court, Judge, Verdict
from orpheus_core.errors import OrpheusError
from orpheus_core.kept import cache_folder


class Flight:
    """Judges in this process that write each case down first; a context manager, and a ``JudgeFor``.

    The file is gone when the run ends in good order. At the start, what earlier runs left behind is told on stderr.
    """

    def __init__(self, backend: str, folder: Path | None = None) -> None:
        self._backend = backend
        self.folder = folder or cache_folder() / "conform"
        self.path = self.folder / f"{backend}-{os.getpid()}.case"
        self._file: io.FileIO | None = None

    def __enter__(self) -> Flight:
        with contextlib.suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
        for line in self.lost():
            print(
                f"orpheus: warning: an earlier run of {self._backend} did not survive this case; see it with: "
                f"orpheus conform replay '{line}' --isolate",
                file=sys.stderr,
            )
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            if self._file is not None:
                self._file.close()
                self._file = None
            self.path.unlink(missing_ok=True)

    def __call__(self, subject: Subject, oracle: Oracle) -> Judge:
        """The judge of a kernel's cases."""
        court = Court(subject, oracle)

        def judge(case: Case) -> Verdict:
            self.note(case)
            return court(case)

        return judge

    def note(self, case: Replayable) -> None:
        """Write a case down; it is about to be run."""
        with contextlib.suppress(OSError):
            if self._file is None:  # kept open, without a buffer: opening takes longer than many a case
                self._file = io.FileIO(self.path, "w")
            self._file.seek(0)
            self._file.write(case.line().encode())
            self._file.truncate()

    def lost(self) -> list[str]:
        """The lines of cases that earlier runs did not survive; they are forgotten then."""
        found = []
        for path in sorted(self.folder.glob(f"{self._backend}-*.case")):
            if _alive(path.stem.rpartition("-")[2]):
                continue
            with contextlib.suppress(OSError, OrpheusError, UnicodeDecodeError):
                line = path.read_text(encoding="utf-8")
                path.unlink()
                found.append(read_line(line).quoted())
        return found


def _alive(process: str) -> bool:
    """Whether a process is still there. Windows has no way to ask that does no harm, so there none is."""
    if sys.platform == "win32" or not process.isdigit():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
