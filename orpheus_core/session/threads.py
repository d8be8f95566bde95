"""One thread setting, obeyed exactly: checked, and told to the backends."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable

from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend
from orpheus_core.processors import default_threads
from orpheus_core.selection.invoke import function_of

_latest: object = None
_telling = threading.Lock()


def check_threads(threads: int | None) -> int:
    """The setting itself, or the default for None; UsageError when it is not a positive integer."""
    if threads is None:
        return default_threads()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads must be a positive integer or None, not {threads!r}")
    return threads


def settings_of(
    backends: Iterable[Backend], threads: int, *, lead: str | None = None
) -> tuple[tuple[str, int], ...]:
    """The thread counts of libraries where that is a setting of the process: each backend's function and its count.

    ``lead`` names the backend that computes together with the others, in turns; their libraries get one thread. The
    threads of a pool spin after each call (OpenBLAS's for tens of milliseconds), and would take the processors from the
    pool whose turn it is. The lead is told last, for numpy's setting reaches every BLAS that is loaded.
    """
    return tuple(
        (b.set_threads, threads if lead in (None, b.name) else 1)
        for b in sorted(backends, key=lambda b: b.name == lead)
        if b.set_threads is not None
    )


def apply_threads(settings: tuple[tuple[str, int], ...]) -> None:
    """Tell the libraries their thread counts.

    Not again while the same ones want the same counts in the same thread. Another backend may have told the same
    library something else, and some OpenMP runtimes keep a count for each thread. One thread tells at a time: a library
    may be asked what it has understood.
    """
    global _latest
    wanted = (settings, threading.get_ident())
    if settings and wanted != _latest:
        with _telling:
            for reference, count in settings:
                function_of(reference)(count)
            _latest = wanted


def leading(users: Iterable[str]) -> str | None:
    """The backend that computes most of a network's nodes, of those that compute any; ``core`` has no threads."""
    found = Counter(name for name in users if name != "core").most_common(1)
    return found[0][0] if found else None
