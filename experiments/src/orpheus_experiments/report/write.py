"""From a folder to a report in the form that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from orpheus_core.errors import UsageError
from orpheus_experiments.report import tables
from orpheus_experiments.report.against import Change, changes, regressions
from orpheus_experiments.report.flat import to_csv, write_parquet
from orpheus_experiments.report.markdown import to_markdown
from orpheus_experiments.report.row import Row, rows
from orpheus_experiments.results import Results, atomic

__all__ = ["FORMATS", "Comparison", "held_against", "text_of", "write_report"]

FORMATS = ("html", "md", "csv", "parquet")


class Comparison:
    """What changed since another run; ``str`` says it in a sentence."""

    def __init__(self, changed: list[Change], only_new: int, only_old: int) -> None:
        self.changed = changed
        self.only_new = only_new
        self.only_old = only_old

    @property
    def worse(self) -> list[Change]:
        """The regressions."""
        return regressions(self.changed)

    def __str__(self) -> str:
        alone = [f"{n} only {where}" for n, where in ((self.only_new, "here"), (self.only_old, "there")) if n]
        told = f"{len(self.changed)} trials are in both runs" + (f", {', '.join(alone)}" if alone else "")
        return f"{told}; {len(self.worse)} got worse."


def held_against(folder: Path, other: Path, least: float = 0.0) -> Comparison:
    """The trials of ``folder`` against the same ones in ``other``; UsageError where there is none."""
    found = Comparison(*changes(Results.open(folder).records(), Results.open(other).records(), least))
    if not found.changed:
        raise UsageError(f"{folder} and {other} have no trial in common, so there is nothing to compare")
    return found


def text_of(folder: Path, form: str, compared: Comparison | None = None) -> str:
    """The report as text: ``html``, ``md`` or ``csv``."""
    results = Results.open(folder)
    records = results.records()
    if not records:
        raise UsageError(f"{folder} has no records yet; go on with its sweep")
    if form == "csv":
        return to_csv(records)
    found = rows(records)
    title = str(results.plan.get("name") or folder.resolve().name)
    summary = _summary(found) + (f" {compared}" if compared else "")
    changed = compared.changed if compared else None
    if form == "html":
        from orpheus_experiments.report.page import to_html

        return to_html(title, summary, found, changed)
    optional = (
        tables.failures(found),
        tables.notes(found),
        tables.unmeasured(found),
        tables.noise_table(found),
    )
    parts = [
        *([tables.change_table(changed)] if changed else []),
        *tables.main_tables(found),
        *(replace(t, title=f"{t.title}: layers") for t in tables.layer_tables(found)),
        *(t for t in optional if t),
        *tables.environment(r.record for r in found),
    ]
    return to_markdown(title, summary, parts)


def write_report(
    folder: Path, form: str, target: Path | None = None, compared: Comparison | None = None
) -> Path:
    """Write it to ``target``, by default ``report`` with the form's ending in the folder; gives where it is.

    UsageError for an unknown form, a folder that is none, what is not installed, or a file that cannot be written.
    """
    if form not in FORMATS:
        raise UsageError(f"there is no report of the form {form!r}; there are {', '.join(FORMATS)}")
    place = target or folder / f"report.{form}"
    try:
        if form == "parquet":
            write_parquet(Results.open(folder).records(), place)
        else:
            atomic.write(place, text_of(folder, form, compared))
    except OSError as error:
        raise UsageError(f"cannot write {place}: {error.strerror or error}") from error
    return place


def _summary(found: list[Row]) -> str:
    networks, engines = len({r.network for r in found}), len({r.engine for r in found})
    bad = sum(bool(r.state) for r in found)
    shared = found[0].trial
    told = [f"{len(found)} trials: {networks} networks, {engines} engines"]
    told += [f"{bad} without a result to rely on"] if bad else []
    for name in ("threads", "batch", "scenario"):
        if len({getattr(r.trial, name) for r in found}) == 1:
            value = getattr(shared, name)
            told.append(str(value) if name == "scenario" else f"{name} {value}")
    return ", ".join(told) + "."
