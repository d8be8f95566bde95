"""Who is faster, by how much, and whether the machine's own noise could have done it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import median

from orpheus_experiments.accuracy.exact import WRONG
from orpheus_experiments.metrics.throughput import rate
from orpheus_experiments.statistics.processes import Difference, centre, compare, compare_turns
from orpheus_experiments.trial import Record, Trial
from orpheus_experiments.trial.record import Turn

__all__ = ["Comparison", "again", "compare_records", "fastest", "instability", "is_wrong", "times"]

#: Processes whose medians lie further apart than this share make a record unstable.
UNSTABLE = 0.10


@dataclass(frozen=True)
class Comparison:
    """``fast`` and ``slow`` by their labels, and how many times as long ``slow`` takes."""

    fast: str
    slow: str
    difference: Difference


def times(record: Record) -> list[float]:
    """One figure a process: the median latency, or offline the seconds of an item."""
    return [_time(process.turns, record.trial) for process in record.processes]


def is_wrong(record: Record) -> bool:
    """Whether the engine computes something else: its error is above a thousandth of the output's range."""
    error = record.metrics.get("error")
    if error is None or record.trial.engine == record.trial.reference:
        return False
    value = error.get("error")
    return value > WRONG if value is not None else "not finite" in error.reason


def compare_records(a: Record, b: Record, *, paired: bool) -> Difference:
    """``a``'s time over ``b``'s. ``paired``: they took turns, so the turns of one round are pairs."""
    if not paired:
        return compare(times(a), times(b))
    # One that was interrupted has fewer rounds, and the slower one may need fewer turns for its time.
    rounds = [(x[: len(y)], y[: len(x)]) for x, y in zip(_turns(a), _turns(b))]
    return compare_turns([x for x, _ in rounds], [y for _, y in rounds])


def fastest(labels: Sequence[str], records: Sequence[Record]) -> list[Comparison]:
    """The fastest against all others that have a right result, the nearest first."""
    rows = [(label, r) for label, r in zip(labels, records) if r.is_ok and not is_wrong(r)]
    if len(rows) < 2:
        return []
    best = min(rows, key=lambda row: centre(times(row[1])).value)
    found = _against(best, rows)
    # Turn by turn, another one may be faster than that of the least median.
    if found[0].difference.ratio.value < 1:
        found = _against(next(row for row in rows if row[0] == found[0].slow), rows)
    return found


def _against(best: tuple[str, Record], rows: Sequence[tuple[str, Record]]) -> list[Comparison]:
    found = [
        Comparison(best[0], label, compare_records(record, best[1], paired=True))
        for label, record in rows
        if label != best[0]
    ]
    return sorted(found, key=lambda c: c.difference.ratio.value)


def again(labels: Sequence[str], records: Sequence[Record], suffix: str) -> list[Comparison]:
    """Each engine against its second entry."""
    by_label = dict(zip(labels, records))
    pairs = [(label, label + suffix) for label in labels if label + suffix in by_label]
    return [
        Comparison(a, b, compare_records(by_label[b], by_label[a], paired=True))
        for a, b in pairs
        if by_label[a].is_ok and by_label[b].is_ok
    ]


def instability(record: Record) -> list[str]:
    """Why the record's figures are doubtful; its notes, and processes that differ."""
    found = list(record.notes)
    gaps = [max(x, y) / min(x, y) - 1 for x, y in combinations(times(record), 2)] if record.is_ok else []
    if gaps and max(gaps) > UNSTABLE:
        found.append(f"its processes' medians are up to {max(gaps):.0%} apart")
    return found


def _turns(record: Record) -> list[list[float]]:
    """For each process, one figure a turn."""
    return [[_time([turn], record.trial) for turn in process.turns] for process in record.processes]


def _time(turns: Sequence[Turn], trial: Trial) -> float:
    if trial.scenario == "offline":
        return 1 / rate(turns, trial.batch)
    return median(s for turn in turns for row in turn.samples for s in row)
