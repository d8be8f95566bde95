"""The plots of whole networks, each a piece of SVG for the page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from orpheus_core.cli.table import quantity
from orpheus_experiments.report.canvas import INK, PALETTE, figure, name_bars, plain_ticks, short
from orpheus_experiments.report.row import Row
from orpheus_experiments.trial import Record

__all__ = ["colours", "distribution", "error_against_time", "flops", "latency", "load", "memory"]

# From this ratio of bars on, their axis is logarithmic.
_FAR = 12.0


def colours(found: Sequence[Row]) -> dict[str, str]:
    """A colour for each engine, the same in all plots."""
    names = sorted({row.engine for row in found})
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def latency(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> str | None:
    """The paper's bars: the median of each engine in ms, with its interval. None where nothing was measured."""
    shown = [r for r in members if r.is_right and r.record.value("latency", "median")]
    if not shown:
        return None
    bars = []
    for row in shown:
        middle, low, high = (row.record.value("latency", n) for n in ("median", "low", "high"))
        assert middle is not None
        bars.append((row.engine, 1e3 * middle, 1e3 * (low or middle), 1e3 * (high or middle)))
    return _bars(f"{title}: median latency", "ms", bars, paint)


def load(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> str | None:
    """Bars of the load time in ms, the file being in the page cache."""
    return _one_value(f"{title}: load", "ms", members, paint, ("load", "warm"), 1e3)


def memory(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> str | None:
    """Bars of the peak resident memory in MiB."""
    return _one_value(f"{title}: peak resident memory", "MiB", members, paint, ("memory", "peak"), 2.0**-20)


def flops(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> str | None:
    """The roof: achieved GFLOP/s under the measured peak."""
    shown = [r for r in members if r.is_right and r.record.value("flops", "achieved")]
    if not shown:
        return None
    bars = [(r.engine, 1e-9 * (r.record.value("flops", "achieved") or 0), None, None) for r in shown]
    peak = 1e-9 * (shown[0].record.value("flops", "peak") or 0)
    return _bars(f"{title}: achieved, under the measured peak", "GFLOP/s", bars, paint, roof=peak)


def distribution(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> str | None:
    """Every sample over its engine's median: quartiles, the 1 % and 99 % points, and what lies beyond."""
    shown = [(r, samples(r.record)) for r in members if r.is_right and r.record.value("latency", "median")]
    if not shown:
        return None
    with figure(f"{title}: spread of latency", len(shown)) as (axes, svg):
        parts = axes.boxplot(
            [[x / _middle(s) for x in s] for _, s in shown], orientation="horizontal", whis=(1, 99), patch_artist=True,
            widths=0.6, positions=range(len(shown)), manage_ticks=False,
            flierprops={"marker": ".", "markersize": 3, "markeredgecolor": INK},
        )  # fmt: skip
        for box, (row, _) in zip(parts["boxes"], shown):
            box.set(facecolor=paint[row.engine], edgecolor=INK, linewidth=0.8)
        for part in (*parts["whiskers"], *parts["caps"], *parts["medians"]):
            part.set(color=INK, linewidth=0.8)
        name_bars(axes, [row.engine for row, _ in shown])
        axes.set_xlabel("time / median")
    return str(svg[0])


def error_against_time(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> str | None:
    """Each engine's error over its time: lower and further left is better."""
    points = []
    for row in members:
        middle, error = row.record.value("latency", "median"), row.record.value("error", "error")
        if row.record.is_ok and middle and error is not None:
            points.append((row.engine, 1e3 * middle, max(error, 1e-12)))
    if not points:
        return None
    with figure(f"{title}: error against time", 5) as (axes, svg):
        for engine, x, y in points:
            axes.scatter([x], [y], color=paint[engine], s=36, edgecolors=INK, linewidths=0.5)
            axes.annotate(
                short(engine), (x, y), textcoords="offset points", xytext=(5, 4), fontsize=9, color=INK
            )
        axes.set(xscale="log", yscale="log", xlabel="median latency, ms", ylabel="largest error / range")
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
        axes.margins(0.25)
        axes.grid(True, which="major", linewidth=0.3, alpha=0.4, color=INK)
    return str(svg[0])


def samples(record: Record) -> list[float]:
    """Seconds of every inference."""
    return [s for p in record.processes for t in p.turns for row in t.samples for s in row]


def _one_value(
    title: str,
    unit: str,
    members: Sequence[Row],
    paint: Mapping[str, str],
    value: tuple[str, str],
    scale: float,
) -> str | None:
    """Bars of one figure of one metric, the shortest first."""
    found = [(r.engine, r.record.value(*value)) for r in members]
    bars: list[_Bar] = [(engine, scale * v, None, None) for engine, v in found if v]
    return _bars(title, unit, sorted(bars, key=lambda b: b[1]), paint) if bars else None


_Bar = tuple[str, float, "float | None", "float | None"]


def _bars(
    title: str, unit: str, bars: Sequence[_Bar], paint: Mapping[str, str], roof: float | None = None
) -> str:
    """Horizontal bars from top to bottom, each with its value."""
    with figure(title, len(bars)) as (axes, svg):
        values = [value for _, value, _, _ in bars]
        # An interval from few processes may be wider than all else: it is cut at the edge.
        ends = [min(high or value, 1.5 * value) for _, value, _, high in bars]
        top = max(ends) if roof is None else max(*ends, roof)
        far = roof is None and top > _FAR * min(values)
        left = 10 ** math.floor(math.log10(min(values) * 0.8)) if far else 0.0
        for i, (engine, value, low, high) in enumerate(bars):
            axes.barh(i, value - left, left=left, height=0.7, color=paint[engine])
            if low is not None and high is not None:
                axes.plot([low, high], [i, i], color=INK, linewidth=1.2, marker="|", markersize=6)
            axes.annotate(
                quantity(value), (ends[i], i), textcoords="offset points", xytext=(5, 0), fontsize=9, color=INK,
                va="center" if (high or value) <= ends[i] else "bottom",
            )  # fmt: skip
        if far:
            axes.set_xscale("log")
            axes.set_xlim(left, top * (top / left) ** 0.28)
            plain_ticks(axes.xaxis)
        else:
            axes.set_xlim(0, top * 1.28)
        if roof is not None:
            axes.axvline(roof, color=INK, linewidth=1, linestyle="--")
        name_bars(axes, [engine for engine, *_ in bars])
        axes.set_xlabel(unit + (" (logarithmic)" if far else ""))
    return str(svg[0])


def _middle(values: Sequence[float]) -> float:
    from statistics import median

    return median(values)
