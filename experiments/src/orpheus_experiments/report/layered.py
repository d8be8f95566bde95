"""The plots of layers: what each takes of its network's time, and where it stands under the machine's roof."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orpheus_core.cli.table import quantity
from orpheus_experiments.profile.roofline import Point, draw_roof
from orpheus_experiments.report.canvas import INK, PALETTE, figure, name_bars, plain_ticks, short
from orpheus_experiments.report.row import Row
from orpheus_experiments.trial import Layer

__all__ = ["REST", "kind", "kinds", "roofline", "stacked"]

#: Kinds that have no colour of their own.
REST = "other"
# What engines call the same operator.
_SAME = {"Convolution": "Conv", "GroupConvolution": "Conv", "FullyConnected": "Gemm"}
# From this ratio of sums on, bars are shares: the shorter ones would show nothing.
_FAR = 12.0
# Of the longest bar; narrower neighbours of one kind are drawn as one.
_NARROW = 0.004
# A kind that takes less of any engine's time has no colour.
_SMALL = 0.01
# Of the peak: where a roofline ends below.
_LOWEST = 1e-3


def kind(layer: Layer) -> str:
    """The operator, by one name for all engines, and Orpheus's kernel: ``Conv/winograd``.

    Without domain, layout and what is fused into it.
    """
    plain = layer.op.rpartition(":")[2].removeprefix("Fused")
    _, slash, kernel = layer.kernel.partition("[")[0].rpartition("/")
    return (_SAME.get(plain, plain) or REST) + slash + kernel * bool(slash)


def kinds(found: Sequence[Row]) -> dict[str, str]:
    """A colour for each kind, those of the largest share of any engine's time first; small and later ones are grey."""
    largest: dict[str, float] = {}
    for row in found:
        whole = sum(x.seconds for x in row.record.layers) or 1.0
        spent: dict[str, float] = {}
        for layer in row.record.layers:
            spent[kind(layer)] = spent.get(kind(layer), 0.0) + layer.seconds / whole
        largest.update({name: max(share, largest.get(name, 0.0)) for name, share in spent.items()})
    colours = iter([c for c in PALETTE if c != _GREY])
    ordered = sorted(largest, key=lambda k: -largest[k])
    return {name: next(colours, _GREY) if largest[name] >= _SMALL else _GREY for name in ordered}


def stacked(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> str | None:
    """A bar for each engine that tells its layers: a piece for each layer, from the first to the last."""
    shown = [r for r in members if r.is_right and r.record.layers]
    if not shown:
        return None
    sums = [1e3 * sum(x.seconds for x in r.record.layers) for r in shown]
    far = max(sums) > _FAR * min(sums)
    used = dict.fromkeys(k for k in paint if any(kind(x) == k for r in shown for x in r.record.layers))
    told: dict[str, str] = {}
    with figure(f"{title}: time by layer", len(shown) + 0.8 * (1 + len(used) // 3), told) as (axes, svg):
        longest = 100.0 if far else max(sums)
        for i, (row, whole) in enumerate(zip(shown, sums)):
            left = 0.0
            scale = 100 / whole if far else 1.0
            for n, (pieces, ms) in enumerate(_pieces(row.record.layers, _NARROW * longest / scale)):
                (bar,) = axes.barh(
                    i, scale * ms, left=left, height=0.7, color=paint[kind(pieces[0])], edgecolor=INK,
                    linewidth=0.3 if scale * ms > 2 * _NARROW * longest else 0.0, clip_on=False,
                )  # fmt: skip
                bar.set_gid(f"piece-{i}-{n}")
                told[f"piece-{i}-{n}"] = _words(pieces, ms, whole)
                left += scale * ms
            axes.annotate(
                f"{quantity(whole)} ms" if far else quantity(whole), (left, i), textcoords="offset points",
                xytext=(5, 0), fontsize=9, color=INK, va="center",
            )  # fmt: skip
        axes.set_xlim(0, 1.28 * longest)
        if far:
            axes.set_xticks(range(0, 101, 25))
        name_bars(axes, [row.engine for row in shown])
        axes.set_xlabel("% of the sum of layers" if far else "ms")
        _legend(axes, used, paint)
    return str(svg[0])


def roofline(title: str, members: Sequence[Row], paint: Mapping[str, str]) -> str | None:
    """Layers by operations per byte and achieved GFLOP/s under what the machine can do; colours are engines."""
    found: list[tuple[str, str | None, Sequence[Point]]] = []
    roofs = []
    for row in members:
        peak, memory = (row.record.value("layers", name) for name in ("peak", "bandwidth"))
        whole = sum(x.seconds for x in row.record.layers)
        points = [
            Point(2 * x.macs / x.nbytes, 2 * x.macs / x.seconds, x.seconds / whole)
            for x in row.record.layers
            if x.macs and x.nbytes and x.seconds > 0
        ]
        if row.is_right and points and peak and memory:
            found.append((short(row.engine), paint[row.engine], points))
            roofs.append((peak, memory))
    if not found:
        return None
    with figure(f"{title}: roofline", 6 + 0.4 * len(found)) as (axes, svg):
        # What was measured most is nearest to what can be had.
        peak, memory = max(p for p, _ in roofs), max(m for _, m in roofs)
        draw_roof(axes, found, peak, memory, ink=INK)
        # Layers that take next to nothing would stretch the axis.
        axes.set_ylim(bottom=max(axes.get_ylim()[0], _LOWEST * peak / 1e9))
        plain_ticks(axes.xaxis)
        plain_ticks(axes.yaxis)
        axes.annotate(
            f"peak {peak / 1e9:.4g} GFLOP/s\nmemory {memory / 1e9:.3g} GB/s", (0.98, 0.03), xycoords="axes fraction",
            ha="right", va="bottom", fontsize=9, color=INK,
        )  # fmt: skip
        axes.figure.legend(loc="outside lower center", ncols=2, fontsize=9, frameon=False, markerscale=0.7)
    return str(svg[0])


_GREY = "#7f7f7f"


def _pieces(layers: Sequence[Layer], narrow: float) -> list[tuple[list[Layer], float]]:
    """Layers in order with their ms, narrow neighbours of one kind together."""
    found: list[tuple[list[Layer], float]] = []
    for layer in layers:
        ms = 1e3 * layer.seconds
        if found and ms < narrow and found[-1][1] < narrow and kind(found[-1][0][-1]) == kind(layer):
            found[-1] = ([*found[-1][0], layer], found[-1][1] + ms)
        else:
            found.append(([layer], ms))
    return found


def _words(layers: Sequence[Layer], ms: float, whole: float) -> str:
    first = layers[0]
    name = first.name if len(layers) == 1 else f"{first.name} and {len(layers) - 1} more"
    return f"{name}: {first.kernel or first.op}, {quantity(ms)} ms, {100 * ms / whole:.1f} %"


def _legend(axes: object, used: Mapping[str, None], paint: Mapping[str, str]) -> None:
    from matplotlib.patches import Patch

    named = [k for k in used if paint[k] != _GREY]
    handles = [Patch(facecolor=paint[k], label=short(k)) for k in named]
    if len(named) < len(used):
        handles.append(Patch(facecolor=_GREY, label=REST))
    whole = axes.figure  # type: ignore[attr-defined]
    whole.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9, frameon=False)
