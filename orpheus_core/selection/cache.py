"""Measured times on disk: readable JSON, replaced by one atomic rename, harmless when damaged."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from orpheus_core.errors import UsageError
from orpheus_core.kept import cache_folder

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_FORMAT = 1


class MeasurementCache:
    """Seconds by key (see :func:`signature.measurement_key`).

    Entries that do not look like one of ours are misses. Several processes may write: each save merges what is on
    disk first, and the file is replaced whole, so a reader never sees half of one.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else cache_folder() / "measurements.json"
        self._entries: dict[str, dict[str, Any]] | None = None
        self._lock = threading.Lock()

    def get(self, key: str) -> float | None:
        """The median seconds kept for ``key``, or None."""
        entry = self._load().get(key)
        return None if entry is None else float(entry["seconds"])

    def facts(self, key: str) -> dict[str, Any]:
        """What was kept beside the time for ``key``."""
        return {k: v for k, v in self._load().get(key, {}).items() if k != "seconds"}

    def number(self, key: str, fact: str) -> float:
        """A number that was kept beside the time for ``key``; 0 where there is none."""
        value = self._load().get(key, {}).get(fact)
        return float(value) if _is_number(value) else 0.0

    def drop(self, key: str) -> None:
        """Forget what is kept for ``key``; a save still merges it from the disk unless it is put anew."""
        self._load().pop(key, None)

    def put(self, key: str, seconds: float, **facts: Any) -> None:
        """Keep a measurement in memory; ``facts`` (kernel, layer, runs) are for people who read the file."""
        if not (math.isfinite(seconds) and seconds > 0):
            raise ValueError(f"a measured time must be finite and positive, not {seconds}")
        self._load()[key] = {"seconds": seconds, **facts}

    def save(self) -> None:
        """Write everything, merged with what other processes wrote meanwhile; UsageError when that cannot be."""
        try:
            self._save()
        except OSError as error:
            raise UsageError(
                f"measured times cannot be kept in {self.path}: {error}; set ORPHEUS_CACHE to a folder that can be"
                " written to"
            ) from error

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._lock, _only_writer(self.path):
            merged = {**_read(self.path), **self._load()}
            handle, temporary = tempfile.mkstemp(dir=self.path.parent, prefix=".measurements-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump({"format": _FORMAT, "entries": merged}, file, indent=1, sort_keys=True)
                os.replace(temporary, self.path)
            except BaseException:
                os.unlink(temporary)
                raise

    def __len__(self) -> int:
        return len(self._load())

    def _load(self) -> dict[str, dict[str, Any]]:
        if self._entries is None:
            self._entries = _read(self.path)
        return self._entries


@contextlib.contextmanager
def _only_writer(path: Path) -> Iterator[None]:
    """Keep other processes from merging at the same time, where the system can lock files; readers never wait."""
    if fcntl is None:
        yield
        return
    with open(path.with_suffix(".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    entries = document.get("entries") if isinstance(document, Mapping) else None
    if not isinstance(entries, Mapping) or document.get("format") != _FORMAT:
        return {}
    return {k: dict(v) for k, v in entries.items() if _is_entry(v)}


def _is_entry(entry: object) -> bool:
    if not isinstance(entry, Mapping):
        return False
    seconds = entry.get("seconds")
    return _is_number(seconds) and seconds > 0


def _is_number(value: object) -> TypeGuard[float]:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and math.isfinite(value)
        and value >= 0
    )
