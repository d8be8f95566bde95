"""The roofline: each layer's operations per byte against the FLOP/s that it achieves, under what the machine can do.

A layer left of the ridge is bound by memory and cannot rise above the slope; one right of it is bound by arithmetic.
Operations and bytes are those of the operator's definition, each byte moved once: an algorithm with fewer
multiplications may lie above the roof, and a layer whose data stay in a cache above the slope.
"""

from __future__ import annotations

import math
from pathlib import Path

from orpheus_core.errors import UsageError
from orpheus_experiments.profile.layers import LayerProfile, LayerTime
from orpheus_experiments.profile.peak import Bandwidth, Peak

__all__ = ["save_roofline"]

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
    points = [(x, 2 * x.macs / x.nbytes, x.flops) for x in found.layers if x.macs and x.nbytes and x.flops]
    if not points:
        raise UsageError("no layer of this model has multiply-accumulates, so there is nothing to plot")
    # Text stays text (searchable, small), ids come from a fixed salt: the same data give the same file.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "orpheus", "font.size": 9}):
        figure = Figure(figsize=(8, 5), layout="constrained")
        axes = figure.add_subplot()
        low = min(0.5 * min(i for _, i, _ in points), 0.5 * peak.flops / bandwidth.rate)
        high = max(2 * max(i for _, i, _ in points), 2 * peak.flops / bandwidth.rate)
        ridge = peak.flops / bandwidth.rate
        roof = [(x, min(peak.flops, x * bandwidth.rate) / 1e9) for x in (low, ridge, high)]
        axes.plot([x for x, _ in roof], [y for _, y in roof], color="0.2", linewidth=1.2)
        axes.annotate(
            f"{bandwidth.rate / 1e9:.1f} GB/s: {bandwidth.source}", (low, low * bandwidth.rate / 1e9),
            textcoords="offset points", xytext=(4, -12), fontsize=8,
        )  # fmt: skip
        axes.annotate(
            f"{peak.flops / 1e9:.1f} GFLOP/s: {peak.source}", (high, peak.flops / 1e9),
            textcoords="offset points", xytext=(-4, 4), ha="right", fontsize=8,
        )  # fmt: skip
        for kernel, members in _by_kernel(points):
            axes.scatter(
                [i for _, i, _ in members],
                [f / 1e9 for _, _, f in members],
                s=[12 + 600 * x.seconds / found.seconds for x, _, _ in members],
                alpha=0.6,
                label=kernel,
                gid=f"kernel {kernel}",
            )
        axes.set(
            xscale="log",
            yscale="log",
            xlabel="operations for each byte of operands",
            ylabel="achieved GFLOP/s",
            title=title,
        )
        axes.grid(True, which="both", linewidth=0.3, alpha=0.5)
        axes.legend(fontsize=7, loc="lower right", markerscale=0.5)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": title})
    return len(points)


def _by_kernel(
    points: list[tuple[LayerTime, float, float]],
) -> list[tuple[str, list[tuple[LayerTime, float, float]]]]:
    """Points by kernel, the one that takes most time first, with its share in the label."""
    groups: dict[str, list[tuple[LayerTime, float, float]]] = {}
    for point in points:
        groups.setdefault(point[0].kernel, []).append(point)
    total = math.fsum(x.seconds for x, _, _ in points)
    spent = {k: math.fsum(x.seconds for x, _, _ in members) for k, members in groups.items()}
    ordered = sorted(groups, key=lambda k: -spent[k])
    return [(f"{k} ({100 * spent[k] / total:.0f} %)", groups[k]) for k in ordered]
