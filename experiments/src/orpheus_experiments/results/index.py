"""The index: what records say, as two SQL tables, for whoever asks questions of many.

The JSON files are the truth. The index follows them by their sizes and times, and one that is damaged, or of another
form, is made anew; nothing is lost with it.

    trials   one row for each: name (of the file), key, board, model, engine, threads, batch, scenario, streams, status,
             failure, message, started, seconds
    metrics  one row for each value: name, metric, value_name, value, unit, source, reason
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from orpheus_experiments.results.name import Name
from orpheus_experiments.trial import Record

__all__ = ["Index"]

_FORM = 1
_TABLES = """
DROP TABLE IF EXISTS trials;
DROP TABLE IF EXISTS metrics;
CREATE TABLE trials (
    name TEXT PRIMARY KEY, stamp TEXT NOT NULL, key TEXT NOT NULL, board TEXT, model TEXT NOT NULL,
    engine TEXT NOT NULL, threads INTEGER NOT NULL, batch INTEGER NOT NULL, scenario TEXT NOT NULL,
    streams INTEGER NOT NULL, status TEXT NOT NULL, failure TEXT, message TEXT, started TEXT, seconds REAL
);
CREATE TABLE metrics (
    name TEXT NOT NULL, metric TEXT NOT NULL, value_name TEXT, value REAL, unit TEXT, source TEXT, reason TEXT
);
CREATE INDEX metrics_by_name ON metrics (name);
"""


class Index:
    """The SQLite file at ``path``; made where it is not there."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def follow(self, files: Mapping[str, str], read: Callable[[str], Record | None]) -> int:
        """Bring it in line with ``files``, stamps by name, and tell how many were read; None of ``read`` is left out.

        sqlite3.Error or OSError where it cannot be written.
        """
        try:
            return self._follow(files, read)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                raise
            self._forget()
            return self._follow(files, read)

    def rows(self, question: str, given: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """What the SQL ``question`` gives."""
        with contextlib.closing(sqlite3.connect(self._path)) as data:
            return list(data.execute(question, tuple(given)))

    def _follow(self, files: Mapping[str, str], read: Callable[[str], Record | None]) -> int:
        with contextlib.closing(sqlite3.connect(self._path, timeout=10)) as data, data:
            if data.execute("PRAGMA user_version").fetchone()[0] != _FORM:
                data.executescript(f"{_TABLES} PRAGMA user_version = {_FORM};")
            known = dict(data.execute("SELECT name, stamp FROM trials"))
            gone = [name for name in known if files.get(name) != known[name]]
            for table in ("trials", "metrics"):
                data.executemany(f"DELETE FROM {table} WHERE name = ?", [(name,) for name in gone])
            new = [name for name in files if known.get(name) != files[name]]
            for name in new:
                record = read(name)
                if record is not None:
                    _add(data, name, files[name], record)
            return len(new)

    def _forget(self) -> None:
        for suffix in ("", "-journal", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)


def _is_damage(error: sqlite3.OperationalError) -> bool:
    return "no such" in str(error) or "has no column" in str(error)


def _add(data: sqlite3.Connection, name: str, stamp: str, record: Record) -> None:
    trial, failure, place = record.trial, record.failure, Name.of_file(name)
    row = (
        name, stamp, trial.key, place and place.board, trial.model.name, trial.engine, trial.threads, trial.batch,
        trial.scenario, trial.streams, "ok" if failure is None else "failed", failure and failure.kind,
        failure and failure.message, record.started, record.seconds,
    )  # fmt: skip
    data.execute(f"INSERT INTO trials VALUES ({', '.join('?' * len(row))})", row)
    for metric, found in record.metrics.items():
        values = found.values.items() if found.is_measured else [(None, None)]
        rows = [(name, metric, key, value, found.unit, found.source, found.reason) for key, value in values]
        data.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
