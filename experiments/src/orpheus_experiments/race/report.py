"""The record of a race as plain data, and as tables."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from orpheus_core.cli.table import quantity, size, table
from orpheus_experiments.race.entrant import ORPHEUS, version_of
from orpheus_experiments.race.environment import environment
from orpheus_experiments.race.goals import Verdict
from orpheus_experiments.race.race import Heat, Lane, Plan
from orpheus_experiments.statistics.rounds import Interval, best_ratio, geometric_mean, spread

__all__ = ["brief", "record", "tables", "verdicts"]

#: The networks whose ratios the geometric mean is of: those of the paper.
PAPER = ("wrn-40-2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50")


def record(plan: Plan, heats: Sequence[Heat], before: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was measured, times in seconds; ``before`` is the environment when the race began."""
    settings = {**asdict(plan), "models": {name: str(path) for name, path in plan.models.items()}}
    rows, ratios = [], {}
    for heat in heats:
        found = _ratios(heat)
        ratios[heat.network, heat.threads] = found
        rows.append(
            {
                "network": heat.network,
                "threads": heat.threads,
                "engines": [_lane(lane) for lane in heat.lanes],
                "ratios": {name: {"peer": peer, **_interval(r)} for name, (peer, r) in found.items()},
            }
        )
    means: dict[str, dict[str, Any]] = {}
    for threads in plan.threads:
        entry = means[str(threads)] = {}
        for name in ORPHEUS:
            parts = [ratios.get((n, threads), {}).get(name) for n in PAPER]
            have = [r for part in parts if part is not None for r in (part[1],)]
            if len(have) == len(PAPER):
                entry[name] = _interval(geometric_mean(have))
    after = environment(())["load_average"]
    return {
        "environment": {**before, "load_average_after": after},
        "settings": settings,
        "heats": rows,
        "geometric_means": means,
    }


def _ratios(heat: Heat) -> dict[str, tuple[str, Interval]]:
    lanes = {lane.name: lane.rounds for lane in heat.lanes if lane.finished}
    peers = {name: rounds for name, rounds in lanes.items() if name not in ORPHEUS}
    return {name: best_ratio(lanes[name], peers) for name in ORPHEUS if name in lanes and peers}


def _interval(found: Interval) -> dict[str, float]:
    return {"value": found.value, "low": found.low, "high": found.high}


def _lane(lane: Lane) -> dict[str, Any]:
    times = spread(lane.rounds) if lane.finished else None
    return {
        "name": lane.name,
        "version": version_of(lane.name),
        "reason": lane.reason,
        "settings": lane.summary,
        "median": times.median if times else None,
        "quartiles": [times.low, times.high] if times else None,
        "runs": times.runs if times else 0,
        "steady": lane.steady,
        "cores": statistics.median(lane.cores) if lane.cores else None,
        "load": statistics.median(lane.loads) if lane.loads else None,
        "growth_bytes": statistics.median(lane.growths) if lane.growths else None,
        "planned_bytes": lane.planned,
        "error": None if lane.error is None or lane.error == float("inf") else lane.error,
        "rounds": lane.rounds,
    }


def brief(heat: Heat) -> str:
    """One line: everybody's median, or why there is none."""
    found = []
    for lane in heat.lanes:
        time = f"{quantity(_ms(spread(lane.rounds).median))} ms" if lane.finished else lane.reason
        found.append(f"{lane.name} {time}")
    return f"{heat.network}, threads {heat.threads}: {', '.join(found)}"


def tables(data: Mapping[str, Any]) -> str:
    """A table for each network and thread count, then the ratios together."""
    blocks = [_environment(data)]
    blocks += [_heat(heat) for heat in data["heats"]]
    blocks.append(_summary(data))
    return "\n\n".join(blocks)


def _environment(data: Mapping[str, Any]) -> str:
    e, s = data["environment"], data["settings"]
    versions = ", ".join(f"{n} {v}" for n, v in e["versions"].items() if v)
    confined = f", everybody confined to {s['isa']}" if s["isa"] else ""
    return (
        f"{e['processor']}, {e['usable_threads']} threads usable, {' '.join(e['isa'])}; governor: {e['governor']}\n"
        f"load average {e['load_average']} before, {e['load_average_after']} after; {versions}\n"
        f"batch 1, float32{confined}; {s['rounds']} rounds in shuffled order, at least {s['runs']} runs and "
        f"{s['rounds'] * s['turn']:g} s each; who is not measured is stopped"
    )


def _heat(heat: Mapping[str, Any]) -> str:
    headers = (
        "engine", "median ms", "q1", "q3", "runs", "cores", "best peer / it", "load ms", "growth", "planned", "error",
        "",
    )  # fmt: skip
    rows = []
    for lane in sorted(heat["engines"], key=lambda lane: lane["median"] or float("inf")):
        low, high = lane["quartiles"] or (None, None)
        ratio = heat["ratios"].get(lane["name"])
        rows.append(
            (
                lane["name"], *(quantity(_ms(v)) for v in (lane["median"], low, high)), lane["runs"] or "-",
                quantity(lane["cores"], 3), _shown(ratio) if ratio else "-", quantity(_ms(lane["load"]), 3),
                size(lane["growth_bytes"]), size(lane["planned_bytes"]),
                "-" if lane["error"] is None else f"{lane['error']:.1e}",
                lane["reason"] or ("" if lane["steady"] else "did not become steady"),
            )
        )  # fmt: skip
    return f"{heat['network']}, threads {heat['threads']}\n{table(headers, rows)}"


def _summary(data: Mapping[str, Any]) -> str:
    present = [n for n in ORPHEUS if any(n in h["ratios"] for h in data["heats"])]
    rows = [
        (h["network"], h["threads"], *(_against(h["ratios"].get(name)) for name in present))
        for h in data["heats"]
    ]
    for threads, entry in data["geometric_means"].items():
        if entry:
            rows.append(
                ("geometric mean of the paper's", threads, *(_against(entry.get(n)) for n in present))
            )
    return "best peer's median / Orpheus's, 95 % interval\n" + table(("network", "threads", *present), rows)


def _against(ratio: Mapping[str, Any] | None) -> str:
    if ratio is None:
        return "-"
    return _shown(ratio) + (f" {ratio['peer']}" if "peer" in ratio else "")


def _shown(ratio: Mapping[str, Any]) -> str:
    return f"{ratio['value']:.3f} [{ratio['low']:.3f}, {ratio['high']:.3f}]"


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3


def verdicts(found: Iterable[Verdict]) -> str:
    """The goals, one a line."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    rows = [
        (v.what, "at least" if v.at_least else "at most", f"{v.wanted:.3g}",
         "-" if v.got is None else f"{v.got:.3g}", words[v.met])
        for v in found
    ]  # fmt: skip
    return table(("goal", "", "wanted", "got", ""), rows)
