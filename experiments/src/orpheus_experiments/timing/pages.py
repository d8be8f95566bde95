"""The system's page cache of a file: dropped, so that a load reads from the disk; and how much of it is there."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterable
from pathlib import Path

from orpheus_core.errors import BackendError

__all__ = ["drop", "resident"]


def drop(paths: Iterable[Path]) -> None:
    """Drop the files from the page cache; BackendError where more than a tenth of one stays.

    ``posix_fadvise(DONTNEED)`` after ``fsync``, for pages that are not on the disk yet stay. Memory of another process
    that maps the file, and file systems that live in memory, keep theirs.
    """
    if not hasattr(os, "posix_fadvise"):
        raise BackendError(
            "this system has no posix_fadvise, so a file cannot be dropped from its page cache"
        )
    for path in paths:
        try:
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
                os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(handle)
        except OSError as error:
            raise BackendError(
                f"{path.name} cannot be dropped from the page cache: {error.strerror}"
            ) from error
        share = resident(path)
        if share is None or share > 0.1:
            told = "how much stays is not told" if share is None else f"{share:.0%} of it stay"
            raise BackendError(f"{path.name} was not dropped from the page cache: {told}")


def resident(path: Path) -> float | None:
    """The share of the file's pages in the page cache, by ``mincore``; None where the system does not tell."""
    size = path.stat().st_size
    if not size:
        return 0.0
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY) as area:
            pages = -(-size // mmap.PAGESIZE)
            found = (ctypes.c_ubyte * pages)()
            start = ctypes.c_char.from_buffer(area)
            try:
                code = ctypes.CDLL(None).mincore(
                    ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(size), found
                )
            finally:
                del start  # or the area cannot be closed
    except (OSError, ValueError, AttributeError, TypeError):
        return None
    return None if code else sum(p & 1 for p in found) / pages
