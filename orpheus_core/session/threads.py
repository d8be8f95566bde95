"""One thread setting, obeyed exactly: how many processors may be used, and telling the backends."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend
from orpheus_core.selection.invoke import function_of

_applied: dict[str, int] = {}


def default_threads() -> int:
    """The least of: processors this process may run on, and the cgroup's CPU quota; at least one."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        allowed = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, allowed if quota is None else min(allowed, int(quota)))


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


def _cgroup_quota() -> float | None:
    """Processors that the cgroup's CPU bandwidth limit amounts to (version 2, then 1), or None."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()[:2]
        return None if quota == "max" else float(quota) / float(period)
    except (OSError, ValueError):
        pass
    try:
        base = Path("/sys/fs/cgroup/cpu")
        quota_us = int((base / "cpu.cfs_quota_us").read_text())
        period_us = int((base / "cpu.cfs_period_us").read_text())
        return quota_us / period_us if quota_us > 0 else None
    except (OSError, ValueError):
        return None
