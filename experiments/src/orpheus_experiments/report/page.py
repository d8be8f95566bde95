"""The page: one HTML file with everything in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, resources
from typing import Any, NamedTuple

from orpheus_core.errors import UsageError
from orpheus_experiments.report import figures, layered, tables
from orpheus_experiments.report.against import Change
from orpheus_experiments.report.row import Row, groups

__all__ = ["to_html"]

_INSTALL = "pip install 'orpheus-experiments[report]'"


class Plot(NamedTuple):
    """A plot and its caption: of what, the unit and what is better, on which machine."""

    title: str
    svg: Any
    text: str
    machine: str


@dataclass
class Section:
    """A heading with plots and tables."""

    id: str
    title: str
    text: str = ""
    plots: list[Plot] = field(default_factory=list)
    tables: Sequence[tables.Table] = ()


def to_html(title: str, summary: str, found: Sequence[Row], changed: Sequence[Change] | None = None) -> str:
    """The page as text; UsageError where Jinja2 or matplotlib is not installed."""
    try:
        from jinja2 import Environment, StrictUndefined
        from markupsafe import Markup
    except ImportError as error:
        raise UsageError(
            f"a page needs Jinja2, which cannot be imported ({error}); try: {_INSTALL}"
        ) from None
    paint = figures.colours(found)
    sections = [s for s in _sections(found, changed, paint, Markup) if s.plots or s.tables]
    source = resources.files("orpheus_experiments.report") / "templates" / "report.html.j2"
    template = Environment(autoescape=True, undefined=StrictUndefined).from_string(source.read_text("utf-8"))
    return str(template.render(title=title, summary=summary, sections=sections, version=_version()))


def _sections(
    found: Sequence[Row],
    changed: Sequence[Change] | None,
    paint: Mapping[str, str],
    safe: Callable[[str], Any],
) -> list[Section]:
    def plots(
        text: str,
        draw: Callable[[str, Sequence[Row], Mapping[str, str]], str | None],
        paint: Mapping[str, str] = paint,
    ) -> list[Plot]:
        return [
            Plot(title, safe(svg), text, _machine(members))  # made here, its texts escaped
            for title, members in groups(found).items()
            if (svg := draw(title, members, paint)) is not None
        ]

    doubts = [t for t in (tables.failures(found), tables.notes(found), tables.unmeasured(found)) if t]
    noise = tables.noise_table(found)
    about = tables.environment(r.record for r in found)
    return [
        Section("change", "Against the other run", tables=[tables.change_table(changed)] if changed else ()),
        Section("latency", "Latency", "The median of each engine, with its 95 % interval.",
                plots("median latency in ms; shorter is better", figures.latency)),
        Section("tables", "Figures", tables=tables.main_tables(found)),
        Section("spread", "Spread of latency", "Every sample over its engine's median: quartiles, 1 % and 99 % points.",
                plots("time of each inference over the median; narrower is steadier", figures.distribution)),
        Section("error", "Error against time", "The largest error against the reference, as a share of the range.",
                plots("share of the range over ms; lower and further left is better",
                      figures.error_against_time)),
        Section("layers", "Layers", "What each layer takes, from runs that were profiled after all that was timed. "
                "Each layer is timed by itself, so their sum is above the latency. A pointer that rests on a piece "
                "is told the layer and its kernel.",
                plots("time of each layer in order; shorter is better", layered.stacked, layered.kinds(found)),
                tables.layer_tables(found)),
        Section("roofline", "Roofline", "Layers by operations per byte, by the operators' definitions with each byte "
                "moved once, under the measured peak and the measured bandwidth of the memory. A layer whose data stay "
                "in a cache may lie above the slope, one with fewer multiplications above the roof. Large circles take "
                "more of the time.",
                plots("GFLOP/s over operations per byte; higher is better", layered.roofline)),
        Section("load", "Load", "From the model in the engine's own format to a session that can run, the file being "
                "in the page cache.", plots("load in ms; shorter is better", figures.load)),
        Section("memory", "Memory", "The most that the process held, Python and the engine's library included.",
                plots("peak resident memory in MiB; shorter is better", figures.memory)),
        Section("roof", "Under the roof", "What the whole network achieves under the dashed peak, which was "
                "measured. By the operators' definitions, so that an algorithm with fewer multiplications may pass it.",
                plots("achieved GFLOP/s; longer is better", figures.flops)),
        Section("doubts", "Failures and doubts", tables=doubts),
        Section("machine", "Machine and noise", tables=[*([noise] if noise else []), *about]),
    ]  # fmt: skip


def _machine(members: Sequence[Row]) -> str:
    """What the plot was measured on: each machine once."""
    names = dict.fromkeys(str(r.record.environment.get("processor") or "") for r in members)
    return " and ".join(filter(None, names))


def _version() -> str:
    try:
        return metadata.version("orpheus-experiments")
    except metadata.PackageNotFoundError:
        return "(not installed)"
