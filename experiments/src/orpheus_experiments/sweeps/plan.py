"""A plan: what a plan file declares, and the trials that it amounts to.

All of it is checked before anything is measured; each error names the file and the key.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from orpheus_core import discovery
from orpheus_core.cli.comparison import parse_variant
from orpheus_core.errors import BackendError, UsageError
from orpheus_core.peers import PREFIX, peer
from orpheus_experiments.benchmark.plan import groups, model_refs, processors
from orpheus_experiments.sweeps.keys import known_keys, nearest, several
from orpheus_experiments.trial import METRICS, ModelRef, Trial
from orpheus_experiments.trial.checks import boolean, number, text

__all__ = ["Cell", "Plan", "make_plan", "read_plan"]

_TOP = ("name", "grid", "settings", "include", "exclude")
_AXES = ("model", "engine", "threads", "batch", "scenario")
_GRID = ("models", "engines", "optional", "threads", "batch", "scenario")
_DEFAULTS = {"threads": 1, "batch": 1, "scenario": "single-stream"}
# Of a trial, what rows and the grid give.
_OWN = (*_AXES, "cpus")
_TRIAL = tuple(f.name for f in fields(Trial) if f.name not in _OWN)
_SETTINGS = (*_TRIAL, "pin", "cooldown", "together")


@dataclass(frozen=True)
class Cell:
    """A trial of the grid, and what its engine is called in tables."""

    label: str
    trial: Trial

    @property
    def group(self) -> str:
        """What cells that take turns have in common: everything but the engine."""
        plain = replace(self.trial, engine="-", kernels={}, policy=None, tuned=False)
        return plain.key


@dataclass(frozen=True)
class Plan:
    """Cells in the order of the file. ``together``: those of one group take turns. ``data`` is the file as it was."""

    name: str
    cells: tuple[Cell, ...]
    together: bool = True
    cooldown: float = 0.0
    data: Mapping[str, Any] | None = None

    def groups(self, cells: Sequence[Cell]) -> list[list[Cell]]:
        """``cells`` in groups that are measured in turns: one of each alone unless ``together``."""
        if not self.together:
            return [[cell] for cell in cells]
        found: dict[str, list[Cell]] = {}
        for cell in cells:
            found.setdefault(cell.group, []).append(cell)
        return list(found.values())


def read_plan(path: str | os.PathLike[str], *, elsewhere: bool = False) -> Plan:
    """The plan in a TOML file; UsageError or BackendError names what is at fault. Models are looked for beside it, too.

    ``elsewhere``: engines are those of other machines, so their names are not looked up here.
    """
    place = Path(path)
    toml: Any = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        data = toml.loads(place.read_bytes().decode())
    except OSError as error:
        raise UsageError(f"cannot read the plan {place}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of TOML and of UTF-8
        raise UsageError(f"{place} is not TOML: {error}") from None
    try:
        return make_plan(data, beside=place.parent, name=place.stem, elsewhere=elsewhere)
    except (UsageError, BackendError) as error:
        raise type(error)(f"{place}: {error}") from None


def make_plan(
    data: Mapping[str, Any], *, beside: Path | None = None, name: str = "sweep", elsewhere: bool = False
) -> Plan:
    """The plan in plain data of a plan file's form; relative files are looked for in the folder ``beside``."""
    known_keys(data, "the plan", _TOP)
    grid = known_keys(data.get("grid", {}), "[grid]", _GRID)
    settings = known_keys(data.get("settings", {}), "[settings]", _SETTINGS)
    includes = [
        known_keys(r, f"[[include]] {i + 1}", (*_AXES, *_SETTINGS[:-2])) for i, r in _tables(data, "include")
    ]
    excludes = [known_keys(r, f"[[exclude]] {i + 1}", _AXES) for i, r in _tables(data, "exclude")]
    if not grid and not includes:
        raise UsageError("it has neither a [grid] nor an [[include]], so there is nothing to measure")
    for key in ("models", "engines") if grid else ():
        if key not in grid:
            raise UsageError(f"[grid] lacks {key!r}")
    optional = [text(x, "[grid].optional") for x in several(grid.get("optional", []))]
    rows = [dict(zip(_AXES, row)) for row in product(*_axes(grid, optional))] if grid else []
    rows = [row for row in rows if not any(_matches(row, rule) for rule in excludes)]
    _demand_used(grid, optional, excludes)
    for number_, row in enumerate(includes):
        for key in ("model", "engine"):
            if key not in row:
                raise UsageError(f"[[include]] {number_ + 1} lacks {key!r}")
        rows.append({**_DEFAULTS, **row})
    maker = _Maker(settings, beside or Path(), elsewhere, set(optional))
    cells: dict[str, Cell] = {}
    for row in rows:
        for cell in maker.cells(row):
            cells.setdefault(cell.trial.key, cell)
    if not cells:
        raise UsageError("[[exclude]] leaves nothing of the grid")
    return Plan(
        name=text(data.get("name", name), "name"),
        cells=tuple(cells.values()),
        together=boolean(settings.get("together", True), "[settings].together"),
        cooldown=number(0)(settings.get("cooldown", 0), "[settings].cooldown"),
        data=dict(data),
    )


class _Maker:
    """Makes cells from rows; each file is read once for its digest."""

    def __init__(
        self, settings: Mapping[str, Any], beside: Path, elsewhere: bool, optional: set[str]
    ) -> None:
        self._settings = settings
        self._beside = beside
        self._elsewhere = elsewhere
        self._optional = optional
        self._refs: dict[str, list[ModelRef]] = {}

    def cells(self, row: Mapping[str, Any]) -> list[Cell]:
        """Of one row: a cell, or several where the model is a folder."""
        given = {**self._settings, **{k: v for k, v in row.items() if k not in _AXES}}
        pin = _pin(given.pop("pin", False))
        for key in ("cooldown", "together"):
            given.pop(key, None)
        if row["scenario"] != "offline":
            given.pop("streams", None)
        metrics = given.get("metrics")
        for metric in several(metrics) if metrics is not None else ():
            if metric not in METRICS:
                raise UsageError(f"[settings].metrics has no {metric!r}{nearest(str(metric), METRICS)}")
        base = Trial(model=ModelRef(path="-"), engine="-", **{**given, "scenario": row["scenario"]})
        label = text(row["engine"], "an engine")
        found = []
        for ref in self._models(row["model"]):
            threads, batch = row["threads"], row["batch"]
            trial = replace(base, threads=threads, batch=batch)  # which checks them
            found.append(Cell(label, self._trial(ref, label, trial, pin)))
        return found

    def _trial(self, ref: ModelRef, label: str, base: Trial, pin: bool | Sequence[int]) -> Trial:
        if not self._elsewhere and (label not in self._optional or _is_here(label)):
            return groups([ref], [label], [base.threads], [base.batch], base, pin=pin)[0].trials[0]
        if self._elsewhere and pin is True:
            raise UsageError(
                "[settings].pin: a fleet's processors are not known here; name them, or leave it out"
            )
        trial = replace(base, model=ref, cpus=processors(base.threads * base.streams, pin))
        if label.startswith(PREFIX):
            return replace(trial, engine=label, kernels={}, policy=None, tuned=False)
        if "/" not in label:
            return replace(trial, engine=label.replace("+", ","))
        variant = parse_variant(label)
        return replace(trial, engine=variant.backend, kernels={**trial.kernels, **variant.pins})

    def _models(self, asked: Any) -> list[ModelRef]:
        name = text(asked, "a model")
        if name not in self._refs:
            near = self._beside / name
            self._refs[name] = model_refs([near if near.exists() else name])
        return self._refs[name]


def _is_here(label: str) -> bool:
    """Whether a plugin offers what ``label`` names."""
    try:
        if label.startswith(PREFIX):
            peer(label[len(PREFIX) :])
        else:
            for name in [discovery.split(label)[0]] if "/" in label else label.split("+"):
                discovery.row(name)
    except BackendError:
        return False
    return True


def _tables(data: Mapping[str, Any], key: str) -> list[tuple[int, Any]]:
    found = data.get(key, [])
    if not isinstance(found, list):
        raise UsageError(f"{key} must be tables, each under [[{key}]]")
    return list(enumerate(found))


def _axes(grid: Mapping[str, Any], optional: Sequence[str]) -> list[list[Any]]:
    """Values of each axis; UsageError for one that is empty or has a value twice."""
    found = []
    for axis, key in zip(_AXES, ("models", "engines", *_AXES[2:])):
        values = several(grid.get(key, _DEFAULTS.get(axis)))
        if axis == "engine":
            values += [x for x in optional if x not in values]
        if not values:
            raise UsageError(f"[grid].{key} is empty")
        twice = [v for i, v in enumerate(values) if v in values[:i]]
        if twice:
            raise UsageError(f"[grid].{key} has {twice[0]!r} twice")
        found.append(values)
    return found


def _matches(row: Mapping[str, Any], rule: Mapping[str, Any]) -> bool:
    return all(row[axis] in several(wanted) for axis, wanted in rule.items())


def _demand_used(
    grid: Mapping[str, Any], optional: Sequence[str], rules: Sequence[Mapping[str, Any]]
) -> None:
    """UsageError for a rule of exclusion with a value that the grid lacks: a slip of the pen, most likely."""
    axes = dict(zip(_AXES, _axes(grid, optional))) if grid else {axis: [] for axis in _AXES}
    for i, rule in enumerate(rules):
        if not rule:
            raise UsageError(f"[[exclude]] {i + 1} is empty, so it would leave nothing")
        for axis, wanted in rule.items():
            for value in several(wanted):
                if value not in axes[axis]:
                    hint = nearest(str(value), [str(v) for v in axes[axis]])
                    raise UsageError(f"[[exclude]] {i + 1}: the grid's {axis} has no {value!r}{hint}")


def _pin(value: Any) -> bool | Sequence[int]:
    if isinstance(value, bool):
        return value
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, int) and not isinstance(v, bool) for v in value)
    ):
        return value
    raise UsageError(f"[settings].pin must be true, false or a list of processors, is {value!r}")
