"""Where and under which circumstances the figures were taken."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orpheus_core.cli.machine import machine
from orpheus_core.processors import default_threads
from orpheus_experiments.race.entrant import version_of

__all__ = ["environment"]

# Instruction sets that decide which kernels an engine has, as /proc/cpuinfo calls them.
_TELLING = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve",
)  # fmt: skip


def environment(entrants: Sequence[str]) -> dict[str, Any]:
    """The machine, what else it is doing, and the version of everyone who takes part."""
    flags = _flags()
    governor = _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    with contextlib.suppress(AttributeError):
        affinity = sorted(os.sched_getaffinity(0))
    return {
        **{k: v for k, v in machine(None).items() if k != "threads"},
        "isa": [name for name in _TELLING if name in flags],
        "usable_threads": default_threads(),
        "affinity": affinity,
        "governor": governor or "not told by the system",
        "turbo_off": _text("/sys/devices/system/cpu/intel_pstate/no_turbo"),
        "load_average": [round(v, 2) for v in os.getloadavg()],
        "versions": {name: version_of(name) for name in entrants},
    }


def _flags() -> set[str]:
    for line in _text("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
