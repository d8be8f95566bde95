"""The layer study and the network's choices as text."""

from __future__ import annotations

from collections import Counter

from orpheus_core.cli.table import big, quantity, size, table
from orpheus_experiments.layer.network import LayerChoice, NetworkStudy
from orpheus_experiments.layer.rows import KernelRow
from orpheus_experiments.layer.study import LayerStudy

__all__ = ["layer_report", "network_report"]


def layer_report(study: LayerStudy) -> str:
    """Every implementation, what its layouts cost in place, and why every other was refused."""
    limits, work = study.limits, study.work
    lines = [f"{study.node}: {study.op}"]
    lines += [f"  {t}" for t in study.types]
    if study.attributes:
        lines.append("  " + ", ".join(f"{k}={v}" for k, v in study.attributes.items()))
    bound = "memory" if study.is_memory_bound else "arithmetic"
    macs = f"{big(work.macs)} MACs, " if work.macs else ""
    intensity = f", {quantity(work.intensity, 3)} operations a byte" if work.intensity else ""
    lines.append(f"  {macs}{size(work.nbytes)} to move{intensity}: {bound} bounds it here")
    headers = ("kernel", "us", "95 % interval", "x chosen", "in place us", *_share_headers(study), "workspace",
               "weights", "max error", "of limit", "")  # fmt: skip
    lines.append(table(headers, [_cells(study, r) for r in study.rows]))
    lines += [f"{r.kernel}: {r.status}: {r.reason}" for r in study.rows if r.status not in ("ok", "view")]
    lines += [f"{r.kernel}: converts {_conversions(r)}" for r in study.rows if r.conversions]
    lines += [f"{r.kernel}: not offered: {r.excluded}" for r in study.rows if r.excluded]
    lines.append(f"chosen: {study.chosen}: {study.why}")
    if study.note:
        lines.append(f"note: {study.note}")
    if study.reference:
        lines.append(f"no errors: {study.reference}")
    if study.refused:
        lines.append("\nrefused:")
        rows = [(r.kernel, r.code.value, r.text) for r in study.refused]
        lines.append(table(("kernel", "code", "reason"), rows))
    between = (
        f" Between two calls {size(study.cold_bytes)} of other data are read, as the rest of the network would."
        if study.cold_bytes
        else " Timed warm: nothing is read between two calls."
    )
    lines.append(
        f"\npeak {quantity(limits.peak.flops / 1e9)} GFLOP/s: {limits.peak.source}; memory"
        f" {quantity(limits.bandwidth.rate / 1e9)} GB/s: {limits.bandwidth.source}. FLOP/s count the operator's"
        " definition. In place: with the conversions that its layouts need between the neighbours' kernels."
        f"{between}"
    )
    return "\n".join(lines)


def _share_headers(study: LayerStudy) -> tuple[str, str]:
    return ("GB/s", "% of memory") if study.is_memory_bound else ("GFLOP/s", "% of peak")


def _cells(study: LayerStudy, row: KernelRow) -> tuple[object, ...]:
    rate, share = (
        (row.bandwidth, row.share_of_bandwidth) if study.is_memory_bound else (row.flops, row.share_of_peak)
    )
    marks = ["chosen"] if row.is_chosen else []
    marks += [row.status] if row.status != "ok" else []
    marks += ["not offered"] if row.excluded else []
    of_limit = None
    if row.error is not None and row.limit:
        of_limit = f"{100 * row.error / row.limit:.0f}%"
    return (
        row.kernel,
        _us(row.median),
        "" if row.low is None or not row.runs else f"{_us(row.low)} .. {_us(row.high)}",
        "" if row.ratio is None else f"{row.ratio:.2f}",
        _us(row.in_place),
        quantity(rate / 1e9) if rate else "-",
        f"{100 * share:.0f}" if share is not None else "-",
        size(row.workspace),
        size(row.weight_bytes),
        "-" if row.error is None else f"{row.error:.1e}",
        of_limit or "-",
        ", ".join(marks),
    )


def _conversions(row: KernelRow) -> str:
    return "; ".join(
        f"{c.type} {c.source} to {c.target} ({'unknown' if c.seconds is None else _us(c.seconds) + ' us'})"
        for c in row.conversions
    )


def _us(seconds: float | None) -> str:
    return quantity(None if seconds is None else seconds * 1e6)


def network_report(study: NetworkStudy, *, grouped: bool = False) -> str:
    """The table of all layers, and totals."""
    headers = ("node", "op", "chosen", "us", "conv. us", "% of sum", "% of peak", "best other", "in place us",
               "x chosen", "lost us", "")  # fmt: skip
    total = study.seconds or 1.0
    rows = _grouped(study) if grouped else [(x.node, 1, x) for x in study.layers if x.status != "view"]
    cells = [_choice_cells(name, count, x, total) for name, count, x in rows]
    views = sum(x.status == "view" for x in study.layers)
    lines = [study.summary, table(headers, cells)]
    if views:
        lines.append(f"{views} more share{'s' * (views == 1)} memory with what they read, and take no time")
    lines += [f"{x.node}: not measured: {x.reason}" for x in study.layers if x.status == "unmeasured"]
    bad = Counter(text for x in study.layers for text in x.bad)
    lines += [f"{text}" + (f" ({n} nodes)" if n > 1 else "") for text, n in bad.items()]
    if any(x.lost and not x.is_sure for x in study.layers):
        lines.append("?: within the spread of the turns; more --rounds and --seconds tell")
    excluded = {x.alternative: x.excluded for x in study.layers if x.excluded and x.lost}
    lines += [f"{kernel} is not offered: {text}" for kernel, text in excluded.items()]
    lines.append(
        f"sum of layers {_us(study.seconds)} us, conversions {_us(study.conversions)} us; {study.distinct} distinct"
        f" layers; the better alternatives, each taken alone, would save {_us(study.lost_surely)} us"
        f" ({100 * study.lost_surely / total:.1f} %) beyond the spread of the turns, {_us(study.lost)} us at most"
    )
    if any(x.note for x in study.layers):
        lines.append(
            "Some layers are computed together with their neighbours (chains), which their own times do not show."
        )
    return "\n".join(lines)


def _grouped(study: NetworkStudy) -> list[tuple[str, int, LayerChoice]]:
    groups: dict[tuple[int, str, float], list[LayerChoice]] = {}
    for x in study.layers:
        if x.status != "view":
            groups.setdefault((x.alike, x.alternative, x.conversions or 0.0), []).append(x)
    rows = []
    for members in groups.values():
        name = members[0].node if len(members) == 1 else f"{len(members)} x {members[0].node}"
        rows.append((name, len(members), members[0]))
    return sorted(rows, key=lambda r: -r[1] * (r[2].seconds or 0.0))


def _choice_cells(name: str, count: int, x: LayerChoice, total: float) -> tuple[object, ...]:
    seconds = None if x.seconds is None else x.seconds * count
    marks = [x.status] if x.status != "ok" else []
    marks += ["other not offered"] if x.excluded and x.lost else []
    return (
        name,
        x.op,
        x.chosen,
        _us(seconds),
        _us(x.conversions * count) if x.conversions else "-",
        "-" if seconds is None else f"{100 * seconds / total:.1f}",
        "-" if x.share_of_peak is None else f"{100 * x.share_of_peak:.0f}",
        x.alternative or "none",
        _us(x.alternative_seconds * count) if x.alternative_seconds is not None else "-",
        "-" if x.ratio is None else f"{x.ratio:.2f}",
        "-" if not x.lost else _us(x.lost * count) + ("" if x.is_sure else " ?"),
        ", ".join(marks),
    )
