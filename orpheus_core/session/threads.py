"""One thread setting, obeyed exactly: checked, and told to the backends."""

from __future__ import annotations

from collections.abc import Sequence

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


def apply_threads(backends: Sequence[Backend], threads: int) -> None:
    """Tell each backend's library its thread count, where that is a setting of the process and has changed."""
    for backend in backends:
        reference = backend.set_threads
        if reference is not None and _applied.get(reference) != threads:
            function_of(reference)(threads)
            _applied[reference] = threads
