"""Everything about the circumstances of a measurement, as plain data; what is not known says why."""

from __future__ import annotations

import importlib
import os
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orpheus_core.cli.machine import processor
from orpheus_core.processors import default_threads
from orpheus_experiments.noise import processor as cpu
from orpheus_experiments.noise.system import CPUS, NOT_TOLD, read
from orpheus_experiments.noise.versions import engines, libraries, plugins, revision

__all__ = ["affinity", "busy", "circumstances", "disturbances", "environment", "load_average"]

_ROOT = Path("/")
# More processors at work than this, before anything of ours runs, make figures doubtful.
_BUSY = 0.3


def environment(names: Iterable[str] = ()) -> dict[str, Any]:
    """The machine, what else it is doing, and all versions; ``names`` are the peer engines that take part.

    Values are plain data. What the system does not tell is a text that begins with "not told: ". This loads and probes
    every plugin, so a defect of one may end the process.
    """
    return {
        **circumstances(),
        "versions": {**libraries(), **engines(names)},
        "plugins": plugins(),
        "revision": revision(),
    }


def circumstances() -> dict[str, Any]:
    """The machine and what else it is doing, without loading anything."""
    return {
        "system": platform.platform(),
        "machine": platform.machine(),
        "board": read(_ROOT, "proc/device-tree/model") or f"{NOT_TOLD}no device tree",
        "processor": processor(),
        "microarchitecture": cpu.microarchitecture(),
        "isa": cpu.isa(),
        "logical_cpus": os.cpu_count(),
        "physical_cores": _physical(),
        "smt": read(_ROOT, f"{CPUS}/smt/control") or f"{NOT_TOLD}no smt/control",
        "virtual": _virtual(),
        "usable_threads": default_threads(),
        "affinity": affinity(),
        "governor": cpu.governor(),
        "clock": cpu.clock(),
        "heat": cpu.heat(),
        "aslr": read(_ROOT, "proc/sys/kernel/randomize_va_space") or f"{NOT_TOLD}no randomize_va_space",
        "memory_bytes": _memory(),
        "load_average": load_average(),
        "busy_processors": busy(),
    }


def affinity() -> list[int] | str:
    """The processors that this process may run on."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:
        return f"{NOT_TOLD}no such call on this system"


def load_average() -> list[float] | str:
    """Of one, five and fifteen minutes."""
    try:
        return [round(v, 2) for v in os.getloadavg()]
    except (AttributeError, OSError):
        return f"{NOT_TOLD}no such call on this system"


def disturbances(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What happened to the machine between two environments that makes figures doubtful."""
    found = []
    counts = [e.get("heat", {}).get("throttled") for e in (before, after)]
    if all(isinstance(c, int) for c in counts) and counts[0] != counts[1]:
        found.append(f"the processor was throttled meanwhile (counter {counts[0]} to {counts[1]})")
    if before.get("governor") != after.get("governor"):
        found.append(f"the governor changed from {before.get('governor')} to {after.get('governor')}")
    at_work = before.get("busy_processors")
    if isinstance(at_work, float) and at_work > _BUSY:
        found.append(f"the machine was busy before it began: {at_work:.2g} processors were at work")
    return found


def busy(seconds: float = 0.25, root: Path = _ROOT) -> float | str:
    """How many processors are at work, ours or the hypervisor's other guests', over so many seconds of our sleep."""
    first = _ticks(root)
    time.sleep(seconds)
    second = _ticks(root)
    if first is None or second is None:
        return f"{NOT_TOLD}no /proc/stat"
    passed, idle = (b - a for a, b in zip(first, second))
    return (
        round((1 - idle / passed) * (os.cpu_count() or 1), 2) if passed > 0 else f"{NOT_TOLD}the clock stands"
    )


def _ticks(root: Path) -> tuple[int, int] | None:
    """Clock ticks of all processors: in all, and idle or waiting for a disk."""
    try:
        fields = [int(word) for word in read(root, "proc/stat").splitlines()[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]
    except (IndexError, ValueError):
        return None


def _virtual() -> bool | str:
    found = cpu.flags()
    return "hypervisor" in found if found else f"{NOT_TOLD}no processor flags"


def _physical() -> int | str:
    try:
        psutil = importlib.import_module("psutil")
    except ImportError:
        return f"{NOT_TOLD}psutil is not installed"
    count = psutil.cpu_count(logical=False)
    return count if isinstance(count, int) else f"{NOT_TOLD}psutil does not know"


def _memory() -> int | str:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return f"{NOT_TOLD}no such call on this system"
