"""One writer a folder: a lock of the system's, which is gone with its process however that ends."""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from orpheus_core.errors import UsageError

__all__ = ["Lock"]


class Lock:
    """Held between ``with`` and its end. UsageError where another process holds it, naming that process."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> Lock:
        file = open(self._path, "a+", encoding="utf-8")
        try:
            _take(file)
        except OSError:
            holder = _holder(file)
            file.close()
            raise UsageError(
                f"another sweep writes to {self._path.parent} ({holder}); wait for it, or name another folder"
            ) from None
        file.seek(0)
        file.truncate()
        file.write(json.dumps({"pid": os.getpid(), "host": platform.node()}))
        file.flush()
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()  # which gives the lock back
            self._file = None


def _take(file: IO[str]) -> None:
    system: Any
    if sys.platform == "win32":
        system = importlib.import_module("msvcrt")
        file.seek(2**20)  # a byte far from what is written, so that others can read who it is
        system.locking(file.fileno(), system.LK_NBLCK, 1)
    else:
        system = importlib.import_module("fcntl")
        system.flock(file.fileno(), system.LOCK_EX | system.LOCK_NB)


def _holder(file: IO[str]) -> str:
    try:
        file.seek(0)
        found = json.loads(file.read())
        return f"process {found['pid']} on {found['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "a process that did not say which"
