"""One thread setting, obeyed exactly: checked, and told to the backends."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend
from orpheus_core.processors import default_threads
from orpheus_core.selection.invoke import function_of

_latest: object = None


def check_threads(threads: int | None) -> int:
    """The setting itself, or the default for None; UsageError when it is not a positive integer."""
    if threads is None:
        return default_threads()
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads must be a positive integer or None, not {threads!r}")
    return threads


def apply_threads(backends: Sequence[Backend], threads: int) -> None:
    """Tell each backend's library its thread count, where that is a setting of the process.

    Not again while the same backends want the same count in the same thread. Another backend may have told the same
    library something else, and some OpenMP runtimes keep a count for each thread.
    """
    global _latest
    references = tuple(b.set_threads for b in backends if b.set_threads is not None)
    wanted = (references, threads, threading.get_ident())
    if references and wanted != _latest:
        for reference in references:
            function_of(reference)(threads)
        _latest = wanted
