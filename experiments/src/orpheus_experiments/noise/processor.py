"""What the processor is and may do: instruction sets, clock, governor, turbo, temperature, throttling."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orpheus_experiments.noise.system import CPUS, NOT_TOLD, each, number, read

__all__ = ["clock", "cores", "flags", "governor", "heat", "isa", "microarchitecture", "throttle_count"]

_ROOT = Path("/")
# Instruction sets that decide which kernels an engine has, as /proc/cpuinfo calls them.
_TELLING = (
    "sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "asimd", "sve",
)  # fmt: skip


def flags(root: Path = _ROOT) -> set[str]:
    """The processor's feature flags."""
    for line in read(root, "proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return set(value.split())
    return set()


def isa(root: Path = _ROOT) -> list[str]:
    """The instruction sets among the flags that decide which kernels an engine has."""
    found = flags(root)
    return [name for name in _TELLING if name in found]


def governor(root: Path = _ROOT) -> str:
    """The frequency governors of all processors, or why they are not known."""
    found = {
        read(root, str(p.relative_to(root))) for p in root.glob(f"{CPUS}/cpu[0-9]*/cpufreq/scaling_governor")
    }
    return ", ".join(sorted(found - {""})) or f"{NOT_TOLD}no cpufreq driver"


def clock(root: Path = _ROOT) -> dict[str, Any]:
    """MHz now, least and most, over all processors, and whether turbo is on."""
    folder = f"{CPUS}/cpu[0-9]*/cpufreq"
    found: dict[str, Any] = {}
    for key, name in (("now_mhz", "scaling_cur_freq"), ("most_mhz", "cpuinfo_max_freq")):
        values = each(root, f"{folder}/{name}").values()
        found[key] = [min(values) // 1000, max(values) // 1000] if values else f"{NOT_TOLD}no cpufreq driver"
    if isinstance(found["now_mhz"], str):
        told = [
            float(line.partition(":")[2])
            for line in read(root, "proc/cpuinfo").splitlines()
            if line.startswith("cpu MHz")
        ]
        if told:
            found["now_mhz"] = [round(min(told)), round(max(told))]
    off, boost = number(root, f"{CPUS}/intel_pstate/no_turbo"), number(root, f"{CPUS}/cpufreq/boost")
    on = (1 - off) if off is not None else boost
    found["turbo"] = f"{NOT_TOLD}neither intel_pstate nor boost" if on is None else bool(on)
    return found


def heat(root: Path = _ROOT) -> dict[str, Any]:
    """Degrees Celsius of the hottest zone, and how often processors have been throttled since the start."""
    zones = [v / 1000 for v in each(root, "sys/class/thermal/thermal_zone*/temp").values()]
    count = throttle_count(root)
    return {
        "celsius": max(zones) if zones else f"{NOT_TOLD}no thermal zone",
        "throttled": f"{NOT_TOLD}no counter" if count is None else count,
    }


def throttle_count(root: Path = _ROOT) -> int | None:
    """Throttling events of all cores, and on a Raspberry Pi its flags; a higher or other number later means one."""
    found = each(root, f"{CPUS}/cpu[0-9]*/thermal_throttle/*_throttle_count")
    word = read(root, "sys/devices/platform/soc/soc:firmware/get_throttled")
    total = sum(found.values()) if found else None
    try:
        return int(word, 16) + (total or 0)
    except ValueError:
        return total


def microarchitecture() -> str:
    """As archspec names it (the extra ``bench``)."""
    try:
        found: Any = importlib.import_module("archspec.cpu").host()
    except ImportError:
        return f"{NOT_TOLD}archspec is not installed"
    except Exception as error:  # it raises what its tables lack
        return f"{NOT_TOLD}{type(error).__name__}: {error}"
    facts: Mapping[str, Any] = found.to_dict()
    return str(facts.get("name", found))


def cores(root: Path = _ROOT) -> list[int]:
    """The processors that this process may run on, the first of every core before their siblings."""
    try:
        usable = sorted(os.sched_getaffinity(0))
    except AttributeError:
        return []
    firsts = [c for c in usable if _first_sibling(root, c) in (c, None)]
    return firsts + [c for c in usable if c not in firsts]


def _first_sibling(root: Path, processor: int) -> int | None:
    text = read(root, f"{CPUS}/cpu{processor}/topology/thread_siblings_list")
    first = re.match(r"\d+", text)
    return int(first.group()) if first else None
