"""The table of a group, and who beats whom."""

from __future__ import annotations

from collections.abc import Sequence

from orpheus_core.cli.table import quantity, table
from orpheus_experiments.benchmark.comparing import Comparison, instability, is_wrong
from orpheus_experiments.benchmark.plan import AGAIN, Group
from orpheus_experiments.noise.system import NOT_TOLD
from orpheus_experiments.trial import Record
from orpheus_experiments.trial.cells import Cell, figure, nbytes

__all__ = ["circumstances", "render"]


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


def _interval(metric: str, scale: float) -> Cell:
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
_COLUMNS: dict[str, list[tuple[str, Cell]]] = {
    "latency": [
        ("median ms", figure("latency", "median", _MS)), ("95 % interval", _interval("latency", _MS)),
        ("p90", figure("latency", "p90", _MS)), ("p99", figure("latency", "p99", _MS)),
        ("max/median", figure("latency", "jitter", digits=3)), ("runs", figure("latency", "runs", digits=1)),
    ],
    "throughput": [("items/s", figure("throughput", "rate")), ("cores", figure("throughput", "cores", digits=3))],
    "load": [("load ms", figure("load", "warm", _MS, 3)), ("cold", figure("load", "cold", _MS, 3))],
    "memory": [
        ("peak", nbytes("memory", "peak")), ("growth", nbytes("memory", "growth")),
        ("on GPU", nbytes("memory", "device")), ("its growth", nbytes("memory", "device_growth")),
    ],
    "plan": [("weights", nbytes("plan", "weights")), ("arena", nbytes("plan", "arena"))],
    "size": [("on disk", nbytes("size", "disk"))],
    "energy": [("mJ/item", figure("energy", "item", 1e3)), ("above idle", figure("energy", "above_idle", 1e3))],
    "error": [("error", _error)],
    "agreement": [("top-1", figure("agreement", "top1", 100, 3))],
    "flops": [("GFLOP/s", figure("flops", "achieved", 1e-9)), ("% of peak", figure("flops", "share", 100, 3))],
}  # fmt: skip
