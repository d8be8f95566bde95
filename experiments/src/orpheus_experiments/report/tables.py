"""The tables of a report, as text cells: one form for the page and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orpheus_core.cli.table import quantity
from orpheus_experiments.benchmark.comparing import instability
from orpheus_experiments.report.against import Change
from orpheus_experiments.report.layered import kind
from orpheus_experiments.report.row import Row, behind, groups
from orpheus_experiments.statistics.processes import Difference, noise
from orpheus_experiments.trial import Record
from orpheus_experiments.trial.cells import Cell, figure, nbytes

__all__ = [
    "Table",
    "change_table",
    "environment",
    "failures",
    "layer_tables",
    "main_tables",
    "noise_table",
    "notes",
    "unmeasured",
]


@dataclass(frozen=True)
class Table:
    """Text cells under headers. ``numeric`` columns are aligned to the right; ``text`` stands above it."""

    title: str
    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    text: str = ""

    @property
    def numeric(self) -> list[bool]:
        """By column."""
        return [all(_is_number(row[i]) for row in self.rows) for i in range(len(self.headers))]


def main_tables(found: Sequence[Row]) -> list[Table]:
    """One table for each network and setting: engines from fast to slow, with the metrics that any of them has."""
    result = []
    for title, members in groups(found).items():
        best = next((r for r in members if r.is_right), None)
        columns = [
            (name, cell)
            for metric, cells in _COLUMNS
            if any(metric in r.record.metrics for r in members)
            for name, cell in cells
        ]
        shown = [(n, c) for n, c in columns if any(c(r.record) != "-" for r in members)]
        headers = ["engine", *(n for n, _ in shown)]
        body = [[r.engine, *(cell(r.record) for _, cell in shown)] for r in members]
        headers.insert(2, "times the fastest")
        for cells, row in zip(body, members):
            cells.insert(2, row.brief or _times(row, best) + _doubt(row.record))
        result.append(Table(title, headers, body))
    return result


def layer_tables(found: Sequence[Row]) -> list[Table]:
    """Of each network, what the kinds of layers take in every engine that tells its layers."""
    result = []
    for title, members in groups(found).items():
        told = [r for r in members if r.is_right and r.record.layers]
        spent = [_by_kind(r.record) for r in told]
        named = sorted(
            {k for each in spent for k in each}, key=lambda k: -max(each.get(k, 0.0) for each in spent)
        )
        body = [[k, *(_part(each, k) for each in spent)] for k in named]
        body.append(["all layers", *(quantity(1e3 * sum(each.values())) for each in spent)])
        if told:
            result.append(Table(title, ("kind", *(f"{r.engine}, ms" for r in told)), body))
    return result


def _by_kind(record: Record) -> dict[str, float]:
    spent: dict[str, float] = {}
    for layer in record.layers:
        spent[kind(layer)] = spent.get(kind(layer), 0.0) + layer.seconds
    return spent


def _part(spent: Mapping[str, float], name: str) -> str:
    if name not in spent:
        return "-"
    return f"{quantity(1e3 * spent[name], 3)} ({spent[name] / sum(spent.values()):.1%})"


def failures(found: Iterable[Row]) -> Table | None:
    """What gave no result, or a wrong one."""
    where: dict[tuple[str, str], list[str]] = {}
    for row in found:
        if row.state:
            where.setdefault((row.engine, row.state), []).append(row.title)
    body = [[engine, why, "; ".join(titles)] for (engine, why), titles in where.items()]
    return Table("Without a result", ("engine", "why", "where"), body) if body else None


def notes(found: Iterable[Row]) -> Table | None:
    """What a reader must know of single records."""
    body = [[r.network, r.engine, text] for r in found if r.record.is_ok for text in instability(r.record)]
    return Table("Doubts", ("network", "engine", "what"), body) if body else None


def unmeasured(found: Iterable[Row]) -> Table | None:
    """Metrics that were asked for and could not be had, by reason."""
    who: dict[tuple[str, str], dict[str, None]] = {}
    for row in found:
        for name, metric in row.record.metrics.items():
            if not metric.is_measured:
                who.setdefault((name, metric.reason), {})[row.engine] = None
    body = [[metric, reason, ", ".join(names)] for (metric, reason), names in who.items()]
    return Table("Not measured", ("metric", "why", "of"), body) if body else None


def noise_table(found: Sequence[Row]) -> Table | None:
    """By network: the median gap between two processes of one engine, which a difference has to exceed."""
    from orpheus_experiments.benchmark.comparing import times

    body = []
    for title, members in groups(found).items():
        gap = noise([times(r.record) for r in members if r.record.is_ok])
        if gap is not None:
            body.append([title, f"{gap:.2%}"])
    text = (
        "The median gap between two processes of one engine. Engines that took turns are compared process by process, "
        "which cancels what met both; the tables say where a difference is within what is left."
    )
    return Table("The machine's noise", ("network", "gap"), body, text) if body else None


def environment(records: Iterable[Record]) -> list[Table]:
    """One table for each machine; facts that changed between its trials show each value."""
    machines: dict[str, dict[str, dict[str, None]]] = {}
    for record in records:
        e = record.environment
        if not e:
            continue
        machine = machines.setdefault(f"{e.get('processor', '')} {e.get('board', '')}", {})
        for key, value in _facts(e):
            machine.setdefault(key, {})[value] = None
    result = []
    for i, facts in enumerate(machines.values()):
        title = "Environment" + (f" of machine {i + 1}" if len(machines) > 1 else "")
        body = [[key, _range(list(values))] for key, values in facts.items()]
        result.append(Table(title, ("what", "value"), body))
    return result


def change_table(found: Sequence[Change]) -> Table:
    """What changed, regressions first; of the rest, how many."""
    body = []
    same = sum(c.verdict == "same" for c in found)
    for c in found:
        if c.verdict == "same":
            continue
        d = c.difference
        ratio = "-" if d is None else f"{d.ratio.value:.3f}{_interval(d)}"
        sure = "-" if c.confidence is None else f"{min(c.confidence, 0.9999):.2%}"
        body.append([c.verdict.upper() if c.is_regression else c.verdict, c.label, ratio, sure, c.why])
    text = (
        "Time over that of the other run, with its 95 % interval; the confidence is corrected for how many trials are "
        "compared (Holm). A change has to be beyond the noise between processes, too. "
        f"{same} of {len(found)} trials are the same."
    )
    return Table(
        "Against the other run", ("verdict", "trial", "time / before", "confidence", "why"), body, text
    )


def _times(row: Row, best: Row | None) -> str:
    if best is None or not row.is_right:
        return "-"
    if row is best:
        return "1"
    found = behind(row, best)
    doubt = "" if found.is_real else " (within the noise)" if found.is_real is False else " (noise unknown)"
    return f"{found.ratio.value:.3f}{_interval(found)}{doubt}"


def _interval(found: Difference) -> str:
    low, high = found.ratio.low, found.ratio.high
    return "" if low is None or high is None else f" [{low:.3f}, {high:.3f}]"


def _doubt(record: Record) -> str:
    return "; doubtful" if instability(record) else ""


def _facts(e: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key, value in e.items():
        name = str(key).replace("_", " ")
        if isinstance(value, Mapping):
            found += [(f"{name}: {k}", _plain(v)) for k, v in value.items()]
        else:
            found.append((name, _plain(value)))
    return found


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{k} {_plain(v)}" for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(v) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _range(values: list[str]) -> str:
    return values[0] if len(values) == 1 else " | ".join(values[:3]) + (" | ..." if len(values) > 3 else "")


def _is_number(text: str) -> bool:
    return text[:1].isdigit() or text in ("", "-")


def _median(record: Record) -> str:
    middle, low, high = (record.value("latency", n) for n in ("median", "low", "high"))
    if middle is None:
        return "-"
    around = "" if low is None or high is None else f" [{quantity(1e3 * low)}, {quantity(1e3 * high)}]"
    return quantity(1e3 * middle) + around


def _error(record: Record) -> str:
    found = record.value("error", "error")
    return "-" if found is None else f"{found:.1e}"


_COLUMNS: tuple[tuple[str, list[tuple[str, Cell]]], ...] = (
    ("latency", [
        ("median ms [95 %]", _median), ("p90", figure("latency", "p90", 1e3)), ("p99", figure("latency", "p99", 1e3)),
        ("max / median", figure("latency", "jitter", digits=3)), ("runs", figure("latency", "runs", digits=1)),
    ]),
    ("throughput", [("items/s", figure("throughput", "rate")), ("cores", figure("throughput", "cores", digits=3))]),
    ("load", [("load ms", figure("load", "warm", 1e3, 3)), ("cold", figure("load", "cold", 1e3, 3))]),
    ("memory", [
        ("peak", nbytes("memory", "peak")), ("growth", nbytes("memory", "growth")),
        ("on GPU", nbytes("memory", "device")), ("its growth", nbytes("memory", "device_growth")),
    ]),
    ("plan", [("weights", nbytes("plan", "weights")), ("arena", nbytes("plan", "arena"))]),
    ("size", [("on disk", nbytes("size", "disk"))]),
    ("energy", [("mJ/item", figure("energy", "item", 1e3)), ("above idle", figure("energy", "above_idle", 1e3))]),
    ("error", [("error", _error)]),
    ("agreement", [("top-1 %", figure("agreement", "top1", 100, 3))]),
    ("flops", [("GFLOP/s", figure("flops", "achieved", 1e-9)), ("% of peak", figure("flops", "share", 100, 3))]),
)  # fmt: skip
