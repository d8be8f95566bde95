"""Goals from a file, held against a record: met, missed, or not measured."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orpheus_core.errors import UsageError
from orpheus_experiments.race.entrant import ORPHEUS

__all__ = ["Verdict", "check", "read"]

_KEYS = {"ratio", "geometric_mean", "isa", "error", "untuned_over_tuned", "load_over", "memory_over"}


@dataclass(frozen=True)
class Verdict:
    """One goal: ``got`` is None where it was not measured; ``met`` is None then, too."""

    what: str
    wanted: float
    got: float | None
    at_least: bool

    @property
    def met(self) -> bool | None:
        """Whether the figure is on the right side of what is wanted."""
        if self.got is None:
            return None
        return self.got >= self.wanted if self.at_least else self.got <= self.wanted


def read(path: Path) -> dict[str, Any]:
    """The goals in a JSON file; UsageError when it is none, or has a key that is not known."""
    try:
        goals: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot read the goals in {path}: {error}") from error
    unknown = sorted(set(goals) - _KEYS) if isinstance(goals, dict) else ["(not an object)"]
    if unknown:
        raise UsageError(f"{path}: unknown goals {', '.join(unknown)}; known: {', '.join(sorted(_KEYS))}")
    return goals


def check(goals: Mapping[str, Any], record: Mapping[str, Any]) -> list[Verdict]:
    """Every goal that concerns the record's networks, threads and instruction set."""
    found: list[Verdict] = []
    isa = record["settings"]["isa"]
    if isa is not None:  # only what is asked of that instruction set
        goals = goals.get("isa", {}).get(isa, {})
    means = goals.get("geometric_mean", {})
    for threads, entry in record["geometric_means"].items():
        if threads in means:
            found.append(Verdict(f"geometric mean, {threads} thread(s)", means[threads], _ratio(entry), True))
    for heat in record["heats"]:
        found += _of_heat(goals, heat)
    return found


def _of_heat(goals: Mapping[str, Any], heat: Mapping[str, Any]) -> list[Verdict]:
    where = f"{heat['network']}, {heat['threads']} thread(s)"
    found = []
    wanted = goals.get("ratio", {}).get(str(heat["threads"]), {}).get(heat["network"])
    if wanted is not None:
        found.append(Verdict(f"ratio, {where}", wanted, _ratio(heat["ratios"]), True))
    lanes = {lane["name"]: lane for lane in heat["engines"]}
    if "error" in goals:
        for name in ORPHEUS:
            got = lanes.get(name, {}).get("error")
            found.append(Verdict(f"error of {name}, {where}", goals["error"], got, False))
    untuned, tuned = (lanes.get(name, {}) for name in ORPHEUS)
    if "untuned_over_tuned" in goals:
        got = _over(untuned.get("median"), tuned.get("median"))
        found.append(Verdict(f"untuned / tuned time, {where}", goals["untuned_over_tuned"], got, False))
    for key, what, mine, theirs in (
        ("load_over", "load time / {}'s", "load", "load"),
        ("memory_over", "weights and arena / {}'s growth", "planned_bytes", "growth_bytes"),
    ):
        for engine, factor in goals.get(key, {}).items():
            got = _over(untuned.get(mine), lanes.get(engine, {}).get(theirs))
            found.append(Verdict(f"{what.format(engine)}, {where}", factor, got, False))
    return found


def _ratio(entry: Mapping[str, Any]) -> float | None:
    """Orpheus as tuned, or untuned where that is all there is."""
    chosen = entry.get(ORPHEUS[1]) or entry.get(ORPHEUS[0])
    return None if chosen is None else float(chosen["value"])


def _over(a: float | None, b: float | None) -> float | None:
    return a / b if a is not None and b else None
