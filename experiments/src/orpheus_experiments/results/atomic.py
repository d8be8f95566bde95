"""Writing a file so that whoever reads it, whenever the writer dies, has all of it or nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["PART", "write"]

#: Ends the name of a file that is being written.
PART = ".part"


def write(path: Path, text: str) -> None:
    """``text`` into ``path``: a temporary file beside it, on the disk, then one rename, on the disk too.

    Raises OSError; what was at ``path`` before is whole then, and no temporary file is left.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}{PART}")
    try:
        with open(part, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with contextlib.suppress(OSError):
            part.unlink()
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Have the rename itself on the disk, where the system can do that of a folder."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
