"""Everything about the circumstances of a measurement, as plain data; what is not known says why."""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from orpheus_core.cli.machine import processor
from orpheus_core.processors import default_threads
from orpheus_experiments.noise import processor as cpu
from orpheus_experiments.noise.system import CPUS, NOT_TOLD, read
from orpheus_experiments.noise.versions import engines, libraries, plugins, revision

__all__ = ["affinity", "disturbances", "environment", "load_average"]

_ROOT = Path("/")


def environment(names: Iterable[str] = ()) -> dict[str, Any]:
    """The machine, what else it is doing, and all versions; ``names`` are the peer engines that take part.

    Values are plain data. What the system does not tell is a text that begins with "not told: ".
    """
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
        "versions": {**libraries(), **engines(names)},
        "plugins": plugins(),
        "revision": revision(),
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
    load, cpus = before.get("load_average"), before.get("usable_threads")
    if isinstance(load, list) and isinstance(cpus, int) and load[0] > 0.5 * cpus:
        found.append(f"the machine was busy before it began: load average {load[0]} on {cpus} processors")
    return found


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
