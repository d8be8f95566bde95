"""The plots, each a piece of SVG for the page: no ids in common, and ink in the page's own colour.

Text stays text. What matplotlib draws in black takes ``currentColor``, so that the same plot is dark on light and light
on dark.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from orpheus_core.cli.table import quantity
from orpheus_core.errors import UsageError
from orpheus_experiments.report.row import Row, groups
from orpheus_experiments.trial import Record

__all__ = ["colours", "distribution", "error_against_time", "flops", "latency", "load_and_memory"]

_INSTALL = "pip install 'orpheus-experiments[report]'"
# Okabe and Ito's colours, which colour-blind people can tell apart, and mixtures; all are seen on black and on white.
_PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8a8f00", "#7a5bd0", "#7f7f7f", "#b3588d",
)  # fmt: skip
# What stands for the page's ink until the SVG is written.
_INK = "#010203"
_WIDTH = 5.2
# The longest label that a plot shows.
_LONGEST = 34
# From this ratio of bars on, their axis is logarithmic.
_FAR = 12.0


def colours(found: Sequence[Row]) -> dict[str, str]:
    """A colour for each engine, the same in all plots."""
    names = sorted({row.engine for row in found})
    return {name: _PALETTE[i % len(_PALETTE)] for i, name in enumerate(names)}


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


def load_and_memory(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> list[str]:
    """Bars of load time and of peak memory, those that were measured."""
    found = []
    for name, unit, metric, value, scale in (
        ("load, file in the page cache", "ms", "load", "warm", 1e3),
        ("peak resident memory", "MiB", "memory", "peak", 2.0**-20),
    ):
        bars = [(r.engine, scale * v, None, None) for r in members if (v := r.record.value(metric, value))]
        if bars:
            found.append(_bars(f"{title}: {name}", unit, sorted(bars, key=lambda b: b[1]), paint))
    return found


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
    with _figure(f"{title}: spread of latency", len(shown)) as (axes, svg):
        parts = axes.boxplot(
            [[x / _middle(s) for x in s] for _, s in shown], orientation="horizontal", whis=(1, 99), patch_artist=True,
            widths=0.6, positions=range(len(shown)), manage_ticks=False,
            flierprops={"marker": ".", "markersize": 3, "markeredgecolor": _INK},
        )  # fmt: skip
        for box, (row, _) in zip(parts["boxes"], shown):
            box.set(facecolor=paint[row.engine], edgecolor=_INK, linewidth=0.8)
        for part in (*parts["whiskers"], *parts["caps"], *parts["medians"]):
            part.set(color=_INK, linewidth=0.8)
        _name_bars(axes, [row.engine for row, _ in shown])
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
    with _figure(f"{title}: error against time", 5) as (axes, svg):
        for engine, x, y in points:
            axes.scatter([x], [y], color=paint[engine], s=36, edgecolors=_INK, linewidths=0.5)
            axes.annotate(
                _short(engine), (x, y), textcoords="offset points", xytext=(5, 4), fontsize=9, color=_INK
            )
        axes.set(xscale="log", yscale="log", xlabel="median latency, ms", ylabel="largest error / range")
        _plain_ticks(axes.xaxis)
        _plain_ticks(axes.yaxis)
        axes.margins(0.25)
        axes.grid(True, which="major", linewidth=0.3, alpha=0.4, color=_INK)
    return str(svg[0])


def samples(record: Record) -> list[float]:
    """Seconds of every inference."""
    return [s for p in record.processes for t in p.turns for row in t.samples for s in row]


def by_group(found: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """What is plotted together."""
    yield from groups(found).items()


_Bar = tuple[str, float, "float | None", "float | None"]


def _bars(
    title: str, unit: str, bars: Sequence[_Bar], paint: Mapping[str, str], roof: float | None = None
) -> str:
    """Horizontal bars from top to bottom, each with its value."""
    with _figure(title, len(bars)) as (axes, svg):
        values = [value for _, value, _, _ in bars]
        # An interval from few processes may be wider than all else: it is cut at the edge.
        ends = [min(high or value, 1.5 * value) for _, value, _, high in bars]
        top = max(ends) if roof is None else max(*ends, roof)
        far = roof is None and top > _FAR * min(values)
        left = 10 ** math.floor(math.log10(min(values) * 0.8)) if far else 0.0
        for i, (engine, value, low, high) in enumerate(bars):
            axes.barh(i, value - left, left=left, height=0.7, color=paint[engine])
            if low is not None and high is not None:
                axes.plot([low, high], [i, i], color=_INK, linewidth=1.2, marker="|", markersize=6)
            axes.annotate(
                quantity(value), (ends[i], i), textcoords="offset points", xytext=(5, 0), fontsize=9, color=_INK,
                va="center" if (high or value) <= ends[i] else "bottom",
            )  # fmt: skip
        if far:
            axes.set_xscale("log")
            axes.set_xlim(left, top * (top / left) ** 0.28)
            _plain_ticks(axes.xaxis)
        else:
            axes.set_xlim(0, top * 1.28)
        if roof is not None:
            axes.axvline(roof, color=_INK, linewidth=1, linestyle="--")
        _name_bars(axes, [engine for engine, *_ in bars])
        axes.set_xlabel(unit + (" (logarithmic)" if far else ""))
    return str(svg[0])


def _name_bars(axes: Any, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), [_short(n) for n in names])
    axes.set_ylim(len(names) - 0.4, -0.6)


def _plain_ticks(axis: Any) -> None:
    """Numbers at the powers of ten, or at all ticks where there are few of those."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    steps = (1.0,) if high / low > 30 else (1.0, 2.0, 5.0)
    axis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


@contextmanager
def _figure(title: str, count: int) -> Iterator[tuple[Any, list[str]]]:
    """A figure as high as ``count`` bars need; the list gets its SVG."""
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            f"the page's plots need matplotlib, which cannot be imported ({error}); try: {_INSTALL}"
        ) from None
    name = "f" + hashlib.sha256(title.encode()).hexdigest()[:10]
    ink = dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    )
    style = {
        "svg.fonttype": "none", "svg.hashsalt": name, "font.size": 10, "font.family": "sans-serif",
        "text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False,
    }  # fmt: skip
    with rc_context({**style, **ink}), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", UserWarning
        )  # a font that lacks a name's letters: the browser has others
        figure = Figure(figsize=(_WIDTH, 1.0 + 0.34 * max(2, count)), layout="constrained")
        axes = figure.add_subplot()
        svg: list[str] = []
        yield axes, svg
        target = io.StringIO()
        figure.savefig(target, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
        svg.append(_inline(target.getvalue(), name, title))


def _inline(text: str, name: str, title: str) -> str:
    """The ``svg`` element alone, ids of its own, in the page's ink, as wide as its place."""
    from html import escape

    body = text[text.index("<svg") :]
    start, _, rest = body.partition(">")
    box = re.search(r'viewBox="[^"]*"', start)
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    rest = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', rest)
    rest = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', rest)
    rest = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", rest)
    rest = rest.replace(_INK, "currentColor")
    head = f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" {box[0] if box else ""}'
    return f'{head} role="img" aria-label="{escape(title)}">{rest}'


def _short(text: str) -> str:
    shown = "".join(c if c.isprintable() else "?" for c in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 3] + "..."


def _middle(values: Sequence[float]) -> float:
    from statistics import median

    return median(values)
