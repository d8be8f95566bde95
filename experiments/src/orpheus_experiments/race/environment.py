"""Where and under which circumstances the figures were taken."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orpheus_core.cli.machine import machine
from orpheus_core.processors import default_threads
from orpheus_experiments.noise import processor
from orpheus_experiments.noise.environment import affinity
from orpheus_experiments.noise.system import CPUS, read
from orpheus_experiments.race.entrant import version_of

__all__ = ["environment"]


def environment(entrants: Sequence[str]) -> dict[str, Any]:
    """The machine, what else it is doing, and the version of everyone who takes part."""
    governor = read(Path("/"), f"{CPUS}/cpu0/cpufreq/scaling_governor")
    return {
        **{k: v for k, v in machine(None).items() if k != "threads"},
        "isa": processor.isa(),
        "usable_threads": default_threads(),
        "affinity": affinity(),
        "governor": governor or "not told by the system",
        "turbo_off": read(Path("/"), f"{CPUS}/intel_pstate/no_turbo"),
        "load_average": [round(v, 2) for v in os.getloadavg()],
        "versions": {name: version_of(name) for name in entrants},
    }
