"""The table of a group, and who beats whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from orpheus_core.cli.table import quantity, size, table
from orpheus_experiments.benchmark.comparing import Comparison, instability, is_wrong
from orpheus_experiments.benchmark.plan import AGAIN, Group
from orpheus_experiments.noise.system import NOT_TOLD
from orpheus_experiments.trial import Record

__all__ = ["circumstances", "render"]

_Cell = Callable[[Record], str]


def render(group: Group, records: Sequence[Record], compared: Sequence[Comparison]) -> str:
    """The group's title, a row for each engine, the comparisons, and what a reader must know."""
    columns = [c for metric, found in _COLUMNS.items() if metric in records[0].trial.metrics for c in found]
    cells = [[cell(record) if record.processes else "-" for record in records] for _, cell in columns]
    shown = [i for i, column in enumerate(cells) if set(column) != {"-"}]  # what nobody has is told below
    rows = [
        (label, *(cells[i][row] for i in shown), _state(record))
        for row, (label, record) in enumerate(zip(group.labels, records))
    ]
    lines = [group.title, table(("engine", *(columns[i][0] for i in shown), ""), rows)]
    lines += [_sentence(c) for c in compared]
    if any(c.slow.endswith(AGAIN) for c in compared):
        lines.append(_noise(compared))
    lines += _absent(group, records)
    for label, record in zip(group.labels, records):
        lines += [f"{label}: {text}" for text in instability(record)]
    lines += [f"{label}: {r.processes[0].settings}" for label, r in zip(group.labels, records) if r.processes]
    return "\n".join(lines)


def circumstances(record: Record) -> str:
    """The machine in a line or two."""
    e = record.environment
    cpus, clock, load = e["usable_threads"], e["clock"]["now_mhz"], e["load_average"]
    told = [
        f"{e['processor']}, {cpus} threads usable",
        " ".join(e["isa"]),
        f"governor {_told(e['governor'])}",
        f"clock {clock} MHz" if isinstance(clock, list) else "",
        f"load average {load[0]}" if isinstance(load, list) else "",
        f"pinned to {list(record.trial.cpus)}" if record.trial.cpus else "not pinned",
    ]
    return "; ".join(filter(None, told))


def _told(text: str) -> str:
    return "not told" if text.startswith(NOT_TOLD) else text


def _state(record: Record) -> str:
    if record.failure is not None:
        return f"{record.failure.kind}: {record.failure.message}"
    return "wrong: its results are not the reference's" if is_wrong(record) else ""


def _sentence(found: Comparison) -> str:
    ratio, noise = found.difference.ratio, found.difference.noise
    interval = "" if ratio.low is None or ratio.high is None else f" [{ratio.low:.3f}, {ratio.high:.3f}]"
    shown = "unknown" if noise is None else f"{noise:.1%}"
    verdict = {
        True: f"beyond the machine's noise ({shown} between processes of one engine)",
        False: f"within the machine's noise ({shown} between processes of one engine): no difference is shown",
        None: "one process tells nothing of the noise",
    }[found.difference.is_real]
    return f"{found.fast} is {ratio.value:.3f}x{interval} as fast as {found.slow}: {verdict}"


def _noise(compared: Sequence[Comparison]) -> str:
    gaps = [abs(c.difference.ratio.value - 1) for c in compared]
    flagged = sum(c.difference.is_real is True for c in compared)
    return (
        f"A/A: the gaps are up to {max(gaps):.2%}; {flagged} of {len(compared)} would be called differences"
    )


def _absent(group: Group, records: Sequence[Record]) -> list[str]:
    """Metrics that were not measured, and errors against another reference than was asked for."""
    found: dict[tuple[str, str], list[str]] = {}
    others: dict[str, list[str]] = {}
    for label, record in zip(group.labels, records):
        for name, metric in record.metrics.items():
            if not metric.is_measured:
                found.setdefault((name, metric.reason), []).append(label)
        error = record.metrics.get("error")
        if error is not None and error.is_measured and error.source != f"against {record.trial.reference}":
            others.setdefault(error.source, []).append(label)
        load = record.metrics.get("load")
        if load is not None and load.is_measured and load.get("cold") is None:
            found.setdefault(("cold load", load.source.partition("cold: ")[2]), []).append(label)
    lines = []
    for (name, reason), labels in found.items():
        who = "" if len(labels) == len(records) else f" of {', '.join(labels)}"
        lines.append(f"{name}{who} not measured: {reason}")
    return lines + [f"error of {', '.join(labels)}: {source}" for source, labels in others.items()]


def _value(metric: str, name: str, scale: float = 1.0, digits: int = 4) -> _Cell:
    def cell(record: Record) -> str:
        found = record.value(metric, name)
        return quantity(None if found is None else found * scale, digits)

    return cell


def _bytes(metric: str, name: str) -> _Cell:
    return lambda record: size(record.value(metric, name))


def _interval(metric: str, scale: float) -> _Cell:
    def cell(record: Record) -> str:
        low, high = (record.value(metric, name) for name in ("low", "high"))
        if low is None or high is None:
            return "-"
        return f"[{quantity(low * scale)}, {quantity(high * scale)}]"

    return cell


def _error(record: Record) -> str:
    found = record.value("error", "error")
    return "-" if found is None else f"{found:.1e}"


_MS = 1e3
_COLUMNS: dict[str, list[tuple[str, _Cell]]] = {
    "latency": [
        ("median ms", _value("latency", "median", _MS)), ("95 % interval", _interval("latency", _MS)),
        ("p90", _value("latency", "p90", _MS)), ("p99", _value("latency", "p99", _MS)),
        ("max/median", _value("latency", "jitter", digits=3)), ("runs", _value("latency", "runs", digits=1)),
    ],
    "throughput": [("items/s", _value("throughput", "rate")), ("cores", _value("throughput", "cores", digits=3))],
    "load": [("load ms", _value("load", "warm", _MS, 3)), ("cold", _value("load", "cold", _MS, 3))],
    "memory": [("peak", _bytes("memory", "peak")), ("growth", _bytes("memory", "growth"))],
    "plan": [("weights", _bytes("plan", "weights")), ("arena", _bytes("plan", "arena"))],
    "size": [("on disk", _bytes("size", "disk"))],
    "energy": [("mJ/item", _value("energy", "item", 1e3)), ("above idle", _value("energy", "above_idle", 1e3))],
    "error": [("error", _error)],
    "agreement": [("top-1", _value("agreement", "top1", 100, 3))],
    "flops": [("GFLOP/s", _value("flops", "achieved", 1e-9)), ("% of peak", _value("flops", "share", 100, 3))],
}  # fmt: skip
