"""One thread setting, obeyed exactly: checked, and told to the backends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend
from orpheus_core.processors import default_threads
from orpheus_core.selection.invoke import function_of

_applied: dict[str, int] = {}


def check_threads(threads: int | None) -> int:
    """The setting itself, or the default for None; UsageError when it is not a positive integer."""
    if threads is None:
        return default_threads()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads must be a positive integer or None, not {threads!r}")
    return threads


def apply_threads(backends: Sequence[Backend], threads: int, *, lead: str | None = None) -> None:
    """Tell each backend's library its thread count, where that is a setting of the process and has changed.

    ``lead`` names the backend that computes together with the others, in turns; their libraries get one thread. The
    threads of a pool spin for a while after each call (OpenBLAS's for 20 ms and more), and would take the processors
    from the pool whose turn it is.
    """
    for backend in backends:
        reference = backend.set_threads
        wanted = threads if lead in (None, backend.name) else 1
        if reference is not None and _applied.get(reference) != wanted:
            function_of(reference)(wanted)
            _applied[reference] = wanted


def leading(users: Iterable[str]) -> str | None:
    """The backend that computes most of a network's nodes, of those that compute any; ``core`` has no threads."""
    found = Counter(name for name in users if name != "core").most_common(1)
    return found[0][0] if found else None
