"""The roofline: each layer's operations per byte against the FLOP/s that it achieves, under what the machine can do.

A layer left of the ridge is bound by memory and cannot rise above the slope; one right of it is bound by arithmetic.
Operations and bytes are those of the operator's definition, each byte moved once: an algorithm with fewer
multiplications may lie above the roof, and a layer whose data stay in a cache above the slope.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orpheus_core.errors import UsageError
from orpheus_experiments.profile.layers import LayerProfile, LayerTime
from orpheus_experiments.profile.peak import Bandwidth, Peak

__all__ = ["Point", "draw_roof", "save_roofline"]


class Point(NamedTuple):
    """A layer: operations per byte, FLOP/s, and its share of the time."""

    intensity: float
    flops: float
    share: float


_INSTALL = "pip install 'orpheus-experiments[report]'"


def save_roofline(path: Path, found: LayerProfile, peak: Peak, bandwidth: Bandwidth, title: str) -> int:
    """Write the plot as SVG and tell how many layers are in it: those with operations and known bytes.

    Circles are layers, as large as their share of the time; colours are kernels. Raises UsageError when matplotlib is
    not installed or nothing can be plotted.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UsageError(
            f"a roofline needs matplotlib, which cannot be imported ({error}); try: {_INSTALL}"
        ) from None
    placed = [
        (x, Point(2 * x.macs / x.nbytes, x.flops, x.seconds / found.seconds))
        for x in found.layers
        if x.macs and x.nbytes and x.flops
    ]
    if not placed:
        raise UsageError("no layer of this model has multiply-accumulates, so there is nothing to plot")
    # Text stays text (searchable, small), ids come from a fixed salt: the same data give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "orpheus", "font.size": 9}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.add_subplot()
        low, high = draw_roof(axes, _by_kernel(placed), peak.flops, bandwidth.rate)
        axes.annotate(
            f"{bandwidth.rate / 1e9:.1f} GB/s: {bandwidth.source}", (low, low * bandwidth.rate / 1e9),
            textcoords="offset points", xytext=(4, -12), fontsize=8,
        )  # fmt: skip
        axes.annotate(
            f"{peak.flops / 1e9:.1f} GFLOP/s: {peak.source}", (high, peak.flops / 1e9),
            textcoords="offset points", xytext=(-4, 4), ha="right", fontsize=8,
        )  # fmt: skip
        axes.set_title(title)
        axes.legend(fontsize=7, loc="lower right", markerscale=0.5)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": title})
    return len(placed)


def draw_roof(
    axes: Any,
    groups: Sequence[tuple[str, str | None, Sequence[Point]]],
    peak: float,
    memory: float,
    ink: str = "0.2",
) -> tuple[float, float]:
    """The roof of ``peak`` FLOP/s and ``memory`` bytes/s, and points by label and colour below it; where it ends.

    A point is as large as its share of the time.
    """
    every = [p for _, _, members in groups for p in members]
    ridge = peak / memory
    low = 0.5 * min(ridge, *(p.intensity for p in every))
    high = 2 * max(ridge, *(p.intensity for p in every))
    roof = [(x, min(peak, x * memory) / 1e9) for x in (low, ridge, high)]
    axes.plot([x for x, _ in roof], [y for _, y in roof], color=ink, linewidth=1.2)
    for label, colour, members in groups:
        axes.scatter(
            [p.intensity for p in members],
            [p.flops / 1e9 for p in members],
            s=[12 + 600 * p.share for p in members],
            alpha=0.6,
            color=colour,
            label=label,
            gid=f"group {label}",
        )
    axes.set(
        xscale="log", yscale="log", xlabel="operations for each byte of operands", ylabel="achieved GFLOP/s"
    )
    axes.grid(True, which="both", linewidth=0.3, alpha=0.5)
    return low, high


def _by_kernel(placed: Sequence[tuple[LayerTime, Point]]) -> list[tuple[str, None, list[Point]]]:
    """Points by kernel, the one that takes most time first, with its share in the label."""
    groups: dict[str, list[Point]] = {}
    for layer, point in placed:
        groups.setdefault(layer.kernel, []).append(point)
    spent = {k: math.fsum(p.share for p in members) for k, members in groups.items()}
    total = math.fsum(spent.values())
    ordered = sorted(groups, key=lambda k: -spent[k])
    return [(f"{k} ({100 * spent[k] / total:.0f} %)", None, groups[k]) for k in ordered]
