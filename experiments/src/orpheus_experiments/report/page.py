"""The page: one HTML file with everything in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata, resources
from typing import Any, NamedTuple

from orpheus_core.errors import UsageError
from orpheus_experiments.report import figures, tables
from orpheus_experiments.report.against import Change
from orpheus_experiments.report.row import Row, groups

__all__ = ["to_html"]

_INSTALL = "pip install 'orpheus-experiments[report]'"


class Plot(NamedTuple):
    """A plot and its caption."""

    title: str
    svg: Any


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
        draw: Callable[[str, Sequence[Row], Mapping[str, str]], str | Sequence[str] | None],
    ) -> list[Plot]:
        result = []
        for title, members in groups(found).items():
            drawn = draw(title, members, paint)
            pieces = [drawn] if isinstance(drawn, str) else drawn or []
            result += [Plot(title, safe(piece)) for piece in pieces]  # made here, its texts escaped
        return result

    doubts = [t for t in (tables.failures(found), tables.notes(found), tables.unmeasured(found)) if t]
    noise = tables.noise_table(found)
    about = tables.environment(r.record for r in found)
    return [
        Section("change", "Against the other run", tables=[tables.change_table(changed)] if changed else ()),
        Section("latency", "Latency", "The median of each engine, with its 95 % interval; shorter is faster.",
                plots(figures.latency)),
        Section("tables", "Figures", tables=tables.main_tables(found)),
        Section("spread", "Spread of latency", "Every sample over its engine's median: quartiles, 1 % and 99 % points.",
                plots(figures.distribution)),
        Section("error", "Error against time", "The largest error against the reference, as a share of the range.",
                plots(figures.error_against_time)),
        Section("cost", "Load and memory", plots=plots(figures.load_and_memory)),
        Section("roof", "Under the roof", "By the operators' definitions, so that an algorithm with fewer "
                "multiplications may pass the dashed peak.", plots(figures.flops)),
        Section("doubts", "Failures and doubts", tables=doubts),
        Section("machine", "Machine and noise", tables=[*([noise] if noise else []), *about]),
    ]  # fmt: skip


def _version() -> str:
    try:
        return metadata.version("orpheus-experiments")
    except metadata.PackageNotFoundError:
        return "(not installed)"
