"""Where a process computes, and how another one takes its place.

No two processors are alike: one has a busy neighbour on its core or on the host, one a lower clock. The system leaves a
process that wakes where it last was, so of two engines that take turns, one may have the better processor for long.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

__all__ = ["move", "processor"]

_STAT = Path("/proc/self/stat")
# Of the fields after the name, which is in parentheses; proc(5) counts it as the 39th of all.
_PROCESSOR = 36


def processor() -> int | None:
    """The number of the processor on which the main thread last ran; None where the system does not tell."""
    try:
        return int(_STAT.read_text().rpartition(")")[2].split()[_PROCESSOR])
    except (OSError, ValueError, IndexError):
        return None


def move(target: int) -> None:
    """Have all threads of this process go on on the processor ``target``, free to leave it.

    Threads that may not run there stay where they are, as all do on a system without affinities.
    """
    if not hasattr(os, "sched_setaffinity"):
        return
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # the thread has ended
            allowed = os.sched_getaffinity(int(task.name))
            if target in allowed:
                os.sched_setaffinity(int(task.name), {target})
                os.sched_setaffinity(int(task.name), allowed)
