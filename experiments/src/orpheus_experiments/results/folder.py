"""The folder: its header, its records, its lock.

results.json        the format's number and the plan that filled the folder
trials/KEY.json     a record, named by its trial's digest; of a fleet KEY.BOARD.json
index.sqlite        the index
lock                who is writing
"""

from __future__ import annotations

import errno
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orpheus_core.errors import UsageError
from orpheus_experiments.results import atomic
from orpheus_experiments.results.index import Index
from orpheus_experiments.results.lock import Lock
from orpheus_experiments.results.name import Name
from orpheus_experiments.trial import Record
from orpheus_experiments.trial.checks import parsed

__all__ = ["FORMAT", "Results"]

#: The folder's form. A reader refuses another.
FORMAT = 1
_HEADER = "results.json"
_DAMAGED = ".damaged"
# Less free space than this, and nothing more is measured: a record with its samples is well below.
_LEAST = 32 * 2**20


class Results:
    """A folder of records that exists. Errors are UsageError with what to do, or OSError.

    Whoever writes holds :meth:`lock`; reading needs none, since every file is whole at all times.
    """

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        self.folder = folder
        self.plan = plan
        self._trials = folder / "trials"
        self.index = Index(folder / "index.sqlite")

    @classmethod
    def create(cls, folder: Path, plan: Mapping[str, Any]) -> Results:
        """An empty one for ``plan`` (plain data), where there is no folder, or one with nothing in it."""
        if (folder / _HEADER).exists():
            raise UsageError(
                f"{folder} has results: go on with them by --resume, or name another folder by -o"
            )
        if not _is_free(folder):
            raise UsageError(f"{folder} is there, and is no results folder; name another by -o")
        try:
            (folder / "trials").mkdir(parents=True, exist_ok=True)
            found = cls(folder, plan)
            found._clear()
            found._write_header()
        except OSError as error:
            raise _cannot(error, folder) from error
        return found

    @classmethod
    def open(cls, folder: Path) -> Results:
        """One that is there; UsageError where it is none, or of another format."""
        header = folder / _HEADER
        try:
            found = parsed(header.read_bytes(), str(header))
        except FileNotFoundError:
            raise UsageError(
                f"{folder} is no results folder: it has no {_HEADER}; `orpheus sweep` makes one"
            ) from None
        except OSError as error:
            raise UsageError(f"cannot read {header}: {error.strerror}") from error
        form = found.get("format") if isinstance(found, dict) else None
        if form != FORMAT or isinstance(form, bool):
            raise UsageError(
                f"{folder} has results of format {form!r}; this version of orpheus-experiments reads {FORMAT}. "
                "Read it with the version that wrote it, or sweep into another folder"
            )
        plan = found.get("plan")
        return cls(folder, plan if isinstance(plan, dict) else {})

    def replan(self, plan: Mapping[str, Any]) -> None:
        """Say in the header that ``plan`` fills it from now on."""
        self.plan = plan
        try:
            self._trials.mkdir(exist_ok=True)
            self._write_header()
        except OSError as error:
            raise _cannot(error, self.folder) from error

    @staticmethod
    def lock(folder: Path) -> Lock:
        """For a ``with`` around all writing, making included; UsageError where the folder is something else's."""
        if not (folder / _HEADER).exists() and not _is_free(folder):
            raise UsageError(f"{folder} is there, and is no results folder; name another by -o")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return Lock(folder / "lock")
        except OSError as error:
            raise _cannot(error, folder) from error

    def names(self) -> list[Name]:
        """All records that are there, in order."""
        try:
            found = [Name.of_file(path.name) for path in self._trials.iterdir()]
        except FileNotFoundError:
            return []
        return sorted((n for n in found if n is not None), key=lambda n: (n.key, n.board or ""))

    def read(self, name: Name) -> Record:
        """One record; UsageError for a file that is damaged or is not of that trial."""
        path = self._trials / name.file
        try:
            record = Record.from_json(path.read_bytes())
        except (UsageError, OSError) as error:
            raise UsageError(f"{path} is damaged: {error}") from error
        if record.trial.key != name.key:
            raise UsageError(f"{path} is damaged: it holds the trial {record.trial.key}")
        return record

    def records(self) -> dict[Name, Record]:
        """All of them."""
        return {name: self.read(name) for name in self.names()}

    def add(self, rows: Iterable[tuple[Name, Record]]) -> str | None:
        """Keep records, each by one rename, and bring the index in line; why the index could not be, in words.

        Where the disk is full, UsageError tells where those are that were not written; no other file is touched.
        """
        waiting = list(rows)
        try:
            while waiting:
                name, record = waiting[0]
                atomic.write(self._trials / name.file, record.to_json() + "\n")
                waiting.pop(0)
        except OSError as error:
            raise _cannot(error, self.folder, _rescue(waiting)) from error
        return self.follow()

    def follow(self) -> str | None:
        """Bring the index in line with the files; why that could not be, in words, which harms no record."""
        try:
            self.index.follow(self._stamps(), self._readable)
        except (sqlite3.Error, OSError) as error:
            return f"the index of {self.folder} is behind: {error}"
        return None

    def mend(self) -> list[str]:
        """Finish or take away what a writer that was killed left, and put damaged records aside; tells of those.

        Under the lock only.
        """
        told = []
        self._clear()
        for path in self._trials.glob(f".*{atomic.PART}"):
            self._finish(path)
        for name in self.names():
            try:
                self.read(name)
            except UsageError as error:
                path = self._trials / name.file
                path.replace(path.with_name(path.name + _DAMAGED))
                told.append(f"{error}; it is put aside as {path.name}{_DAMAGED}")
        return told

    def demand_space(self) -> None:
        """UsageError where the disk has next to nothing left: before measuring, not after."""
        free = shutil.disk_usage(self.folder).free
        if free < _LEAST:
            raise UsageError(
                f"only {free >> 20} MiB are free where {self.folder} is; what is measured is kept there. "
                "Make room and go on by --resume"
            )

    def _clear(self) -> None:
        """Take away headers that were never finished."""
        for path in self.folder.glob(f".*{atomic.PART}"):
            path.unlink(missing_ok=True)

    def _finish(self, part: Path) -> None:
        """Give a record its name when its writer had all of it in the file; else it is no record."""
        name = Name.of_file(part.name[1:].removesuffix(atomic.PART).rpartition(".")[0])
        try:
            if name is not None and Record.from_json(part.read_bytes()).trial.key == name.key:
                part.replace(self._trials / name.file)
        except UsageError:
            pass
        part.unlink(missing_ok=True)

    def _write_header(self) -> None:
        text = json.dumps({"format": FORMAT, "plan": self.plan}, indent=1, allow_nan=False)
        atomic.write(self.folder / _HEADER, text + "\n")

    def _stamps(self) -> dict[str, str]:
        found = {}
        for name in self.names():
            facts = (self._trials / name.file).stat()
            found[name.file] = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"
        return found

    def _readable(self, file: str) -> Record | None:
        name = Name.of_file(file)
        assert name is not None
        try:
            return self.read(name)
        except UsageError:
            return None


def _is_free(folder: Path) -> bool:
    """Whether a results folder can be made there: what a sweep that was killed at its start leaves does not count."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        return False
    left = [p for p in folder.iterdir() if p.name != "lock" and not p.name.endswith(atomic.PART)]
    return all(p.name == "trials" and p.is_dir() and not any(p.iterdir()) for p in left)


def _rescue(waiting: Iterable[tuple[Name, Record]]) -> str:
    """Write what could not be kept where there is room, and say where."""
    rows = list(waiting)
    try:
        place = Path(tempfile.mkdtemp(prefix="orpheus-results-"))
        for name, record in rows:
            atomic.write(place / name.file, record.to_json() + "\n")
    except OSError:
        lost = ", ".join(f"{r.trial.model.name} on {r.trial.engine}" for _, r in rows)
        return f" Not kept, to be measured again: {lost}."
    return f" {len(rows)} that could not be written are in {place}: move them to the folder's trials/."


def _cannot(error: OSError, folder: Path, rescued: str = "") -> UsageError:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    why = "the disk is full" if full else f"{error.strerror or error}"
    done = "Make room and go on by --resume" if full else "Mend that and go on by --resume"
    return UsageError(f"cannot write to {folder}: {why}. All that was there is whole.{rescued} {done}")
