"""What a bisection found: every boundary, the sides there, and where they part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from orpheus_core.graph import Graph
from orpheus_experiments.layer.study import plain

__all__ = ["SCHEMA", "Bisection", "Boundary", "Segment", "SideFact"]

#: Of the JSON: raised when a field goes or changes its meaning.
SCHEMA = 1

#: The nodes between boundaries, and what they were given on either side, by name.
Segment: TypeAlias = tuple[Graph, Mapping[str, Any], Mapping[str, Any]]


@dataclass(frozen=True)
class SideFact:
    """One side at one boundary. ``error``: its own, against float64 on its own inputs; ``limit``: what rounding gives.

    None where there is no float64 result.
    """

    kernel: str
    error: float | None
    limit: float | None

    @property
    def is_at_fault(self) -> bool:
        """Whether its own error is above its limit."""
        return self.error is not None and self.limit is not None and self.error > self.limit


@dataclass(frozen=True)
class Boundary:
    """One value: the node that gives it, how far the sides are apart there and at what it is computed from.

    ``difference`` is the largest absolute one, ``relative`` as a share of the largest magnitude, ``carried`` what the
    inputs' difference amounts to in float64. ``nodes`` are the nodes between, the last one first; ``reason`` says why
    there is no float64 result, where there is none.
    """

    value: str
    node: str
    op: str
    nodes: tuple[str, ...]
    type: str
    difference: float
    relative: float
    inputs: Mapping[str, float]
    inputs_relative: float
    carried: float | None
    a: SideFact
    b: SideFact
    parts: bool
    reason: str = ""


@dataclass(frozen=True)
class Bisection:
    """Every boundary in running order; ``first`` is where the sides part, None when they do not.

    ``whole`` tells of each side whose plain run gives other outputs than its observed one, by how much; ``outputs`` is
    the largest difference of the plain runs' outputs.
    """

    sides: tuple[str, str]
    summaries: tuple[str, str]
    boundaries: tuple[Boundary, ...]
    outputs: Mapping[str, float]
    whole: Mapping[str, str]
    bound: float | None
    segments: Mapping[str, Segment]

    @property
    def first(self) -> Boundary | None:
        """The first boundary at which the sides part."""
        return next((b for b in self.boundaries if b.parts), None)

    @property
    def parts(self) -> bool:
        """Whether the sides part anywhere, be it in the plain runs only."""
        return self.first is not None or bool(self.whole)

    def to_json(self) -> dict[str, Any]:
        """Everything but the arrays, as plain data."""
        first = self.first
        return {
            "schema": SCHEMA,
            "sides": list(self.sides),
            "summaries": list(self.summaries),
            "bound": self.bound,
            "first": plain(asdict(first)) if first else None,
            "whole": dict(self.whole),
            "outputs": plain(dict(self.outputs)),
            "boundaries": [plain(asdict(b)) for b in self.boundaries],
        }
