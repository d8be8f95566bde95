"""How many processors this process may use. Ground floor: it imports nothing of Orpheus."""

from __future__ import annotations

import os
from pathlib import Path


def default_threads() -> int:
    """The least of: processors this process may run on, and the cgroup's CPU quota; at least one."""
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        allowed = os.cpu_count() or 1
    quota = _cgroup_quota()
    return max(1, allowed if quota is None else min(allowed, int(quota)))


def _cgroup_quota() -> float | None:
    """Processors that the CPU bandwidth limits of this process's cgroups, versions 2 and 1, amount to, or None.

    A limit holds for all groups below, so the least counts of those from the process's group up to the root.
    """
    paths = {"": "/", "cpu": "/"}  # by controller, that of version 2 having no name
    try:
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            paths.update(dict.fromkeys(controllers.split(","), path))
    except (OSError, ValueError):
        pass
    found = [_quota(f"/sys/fs/cgroup{group}/cpu.max") for group in _upwards(paths[""])]
    for group in _upwards(paths["cpu"]):
        base = f"/sys/fs/cgroup/cpu{group}/cpu.cfs_"
        found.append(_quota(f"{base}quota_us", f"{base}period_us"))
    return min((quota for quota in found if quota is not None), default=None)


def _upwards(path: str) -> list[str]:
    """``/a/b`` as ``/a/b``, ``/a`` and an empty string."""
    parts = path.strip("/").split("/") if path.strip("/") else []
    return ["".join(f"/{part}" for part in parts[:count]) for count in range(len(parts), -1, -1)]


def _quota(*files: str) -> float | None:
    """The quotient of the two numbers in these files; None when there is no limit or nothing to be read."""
    try:
        quota, period = " ".join(Path(file).read_text() for file in files).split()[:2]
        return None if quota == "max" or int(quota) <= 0 else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None
