"""How long idle threads of OpenMP look for work before they sleep, in the runtimes that plugins load.

GNU's runtime reads that once, when it is loaded, and takes 8 ms unless it is told otherwise: so long the threads of one
backend would take processors from the next one's. Ground floor: it imports nothing of Orpheus.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

_T = TypeVar("_T")
#: Looks of an idle thread, some half a millisecond: longer than the pauses between two layers, or two runs in a row.
#: With 4,000 of them networks on two threads took 1 to 4 % longer (Zen 4, a virtual machine; benchmarks/pool.py).
LOOKS = "20000"
VARIABLE = "GOMP_SPINCOUNT"
#: Runtimes that were told.
_told: set[str] = set()


def runtimes() -> list[str]:
    """This process's runtimes of OpenMP, by file, where the system tells. GNU's may be there more than once."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return []
    return sorted(set(re.findall(r"/((?:lib)?[gi]?omp\d*[-.][^/\n]*)$", maps, re.M)))


def brief(load: Callable[[], _T]) -> tuple[_T, bool]:
    """What ``load`` gives, and whether idle threads of GNU's runtime under it sleep soon.

    A runtime that comes with it is told to. True as well where the user has set how threads wait, which is left alone,
    or where all that were there before have been told; False for runtimes of others, and where the system does not say
    which there are.
    """
    if VARIABLE in os.environ or "OMP_WAIT_POLICY" in os.environ:
        return load(), True
    before = set(runtimes())
    os.environ[VARIABLE] = LOOKS
    try:
        loaded = load()
    finally:
        del os.environ[VARIABLE]
    here = {name for name in runtimes() if "gomp" in name}
    fresh = here - before
    _told.update(fresh)
    return loaded, bool(fresh) or (bool(here) and here <= _told)
