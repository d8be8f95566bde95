"""Recipe: a failure that is not of one layer, as one line of JSON.

A random graph, a network of the zoo, one of ONNX's own cases: named by what it is made from, so that a replay makes the
same one again. A graph carries a checksum: a suite that would make another graph of the line says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from typing import Any, ClassVar, TypeAlias, Union

from orpheus_conformance.case import Case, CaseError


@dataclass(frozen=True)
class Recipe:
    """What all have: the backend, and the ids of the kernels that took part (empty: all that it has)."""

    tag: ClassVar[str] = ""
    tier: ClassVar[str] = "plan"

    backend: str
    kernels: tuple[str, ...] = ()

    @property
    def kernel(self) -> str:
        """The name of the row that it belongs to."""
        return self.backend

    def line(self) -> str:
        """One line of JSON; fields that have their default are left out."""
        defaults = {f.name: f.default for f in fields(self)}
        kept = {name: value for name, value in asdict(self).items() if value != defaults[name]}
        return json.dumps({self.tag: kept}, separators=(",", ":"))

    def quoted(self) -> str:
        """The line without an apostrophe, so that it can stand between two."""
        return self.line().replace("'", "\\u0027")


@dataclass(frozen=True)
class GraphRecipe(Recipe):
    """A random graph (:func:`.plan.graphs.make_graph`) with ``passes`` (:data:`.plan.trial.PASSES`).

    ``outputs``: the places of the outputs that are kept, all when empty. ``threads``: the session's setting.
    ``together``: also called from several threads at once.
    ``mark`` is :func:`.plan.graphs.mark_of` of the graph.
    """

    tag: ClassVar[str] = "graph"

    seed: int = 0
    steps: int = 1
    ops: tuple[str, ...] = ()
    dtype: str = "float32"
    passes: str = "every pass"
    outputs: tuple[int, ...] = ()
    together: bool = False
    threads: int = 1
    mark: int = 0


@dataclass(frozen=True)
class NetworkRecipe(Recipe):
    """A network of the zoo, its weights and input from ``seed``."""

    tag: ClassVar[str] = "network"

    name: str = ""
    seed: int = 0
    passes: str = "every pass"

    @property
    def kernel(self) -> str:
        """See :class:`Recipe`."""
        return f"{self.backend}:zoo/{self.name}"


@dataclass(frozen=True)
class CorpusRecipe(Recipe):
    """The case ``name`` of ONNX's own; ``alone``: of one kernel, which is the only one then."""

    tag: ClassVar[str] = "corpus"
    tier: ClassVar[str] = "corpus"

    name: str = ""
    alone: bool = False

    @property
    def kernel(self) -> str:
        """See :class:`Recipe`."""
        return self.kernels[0] if self.alone and self.kernels else self.backend


#: What a failure prints and replay accepts.
Replayable: TypeAlias = Union[Case, Recipe]

_KINDS: dict[str, type[Recipe]] = {kind.tag: kind for kind in (GraphRecipe, NetworkRecipe, CorpusRecipe)}


def read_line(line: str) -> Replayable:
    """The case or recipe of a line; CaseError says what is wrong with it."""
    try:
        found = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return Case.parse(line)  # says what is wrong
    if isinstance(found, dict) and len(found) == 1 and (tag := next(iter(found))) in _KINDS:
        return _recipe(_KINDS[tag], found[tag])
    return Case.parse(line)


def _recipe(kind: type[Recipe], found: Any) -> Recipe:
    if not isinstance(found, Mapping):
        raise CaseError(f"not a case: {kind.tag} cannot be {found!r}")
    known = {f.name: f for f in fields(kind)}
    unknown = sorted(set(found) - set(known))
    if unknown:
        raise CaseError(
            f"not a case: {kind.tag} has no field {', '.join(unknown)}; it has {', '.join(known)}"
        )
    if "backend" not in found:
        raise CaseError(f"not a case: {kind.tag} names no backend")
    given = {}
    for name, value in found.items():
        default = known[name].default
        given[name] = _like("" if default is MISSING else default, value, f"{kind.tag}.{name}")
    return kind(**given)


def _like(default: Any, value: Any, what: str) -> Any:
    """A value of the type that a field's default has."""
    if isinstance(default, tuple):
        item = int if what.endswith(".outputs") else str
        if isinstance(value, list) and all(type(v) is item for v in value):
            return tuple(value)
    elif type(value) is type(default):
        return value
    raise CaseError(f"not a case: {what} cannot be {value!r}")
