"""Pages that a virtual machine's host has found before anybody's load is timed.

A host takes back the pages that a virtual machine has freed, and finds them anew, at some milliseconds a megabyte, when
they are next touched. A load in a fresh process then shows that, and whichever engine loads first pays for the others.
"""

from __future__ import annotations

import contextlib
import mmap
from pathlib import Path

__all__ = ["find_memory"]

_SHARE = 4  # of the memory that is available, at most one in so many


def find_memory(mebibytes: int) -> int:
    """Touch and free so many MiB, in large pages where the system has them; at most a quarter of what is available.

    Returns the bytes touched.
    """
    size = min(mebibytes << 20, _available() // _SHARE) // mmap.PAGESIZE * mmap.PAGESIZE
    if size <= 0:
        return 0
    with mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as mapping:
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without large pages: ordinary ones do
                mapping.madvise(mmap.MADV_HUGEPAGE)
        for page in range(0, size, mmap.PAGESIZE):
            mapping[page] = 1
    return size


def _available() -> int:
    """Bytes that may be taken without swapping; all of 1 GiB where the system does not tell."""
    try:
        with open(Path("/proc/meminfo"), encoding="ascii") as lines:
            told = next((text.split()[1] for text in lines if text.startswith("MemAvailable:")), None)
    except OSError:
        told = None
    return (1 << 30) if told is None else int(told) * 1024
