"""The registry of problem spaces: for each operator, what layers there are, and how results are judged.

A space is a function of a :class:`.draw.Draw` that returns a :class:`Layer`. The same function serves a steered run
(what the kernel declares) and an open one (what the operator allows): Draw knows the difference.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Union

from orpheus_conformance.case import Case, Input
from orpheus_conformance.tolerance import Tolerance

if TYPE_CHECKING:
    from orpheus_conformance.draw import Draw


class _Omit:
    def __repr__(self) -> str:
        return "OMIT"


#: The value of an attribute that the layer leaves out.
OMIT = _Omit()


@dataclass(frozen=True)
class Layer:
    """What a space draws: inputs in the operator's order (None where omitted), attributes, outputs wanted."""

    inputs: tuple[Input, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[bool, ...] = (True,)


@dataclass(frozen=True)
class Space:
    """A problem space of one operator.

    ``tolerance`` judges results, by case where it depends on the layer. ``since``: the oldest version it describes.
    ``without`` names tiers that mean nothing for the operator, with the reason. ``batch`` gives the axis of inputs
    and outputs along which a layer may be split: ``({input: axis}, {output: axis})``, or None where there is none.
    """

    op: str
    domain: str
    draw: Callable[[Draw], Layer]
    tolerance: Union[Tolerance, Callable[[Case], Tolerance]]
    since: int = 1
    without: Mapping[str, str] = field(default_factory=dict)
    batch: Callable[[Case], Union[tuple[Mapping[int, int], Mapping[int, int]], None]] | None = None

    def tolerance_of(self, case: Case) -> Tolerance:
        """How the results of a case are judged."""
        return self.tolerance(case) if callable(self.tolerance) else self.tolerance


_SPACES: dict[tuple[str, str], Space] = {}


def space(
    op: str, tolerance: Union[Tolerance, Callable[[Case], Tolerance]], *, domain: str = "", **more: Any
) -> Callable[[Callable[[Draw], Layer]], Callable[[Draw], Layer]]:
    """Register the decorated function as the problem space of ``op``; keywords as the fields of :class:`Space`."""

    def register(draw: Callable[[Draw], Layer]) -> Callable[[Draw], Layer]:
        if (domain, op) in _SPACES:
            raise ValueError(f"operator {op} has two problem spaces")
        _SPACES[domain, op] = Space(op, domain, draw, tolerance, **more)
        return draw

    return register


@cache
def _load() -> None:
    package = importlib.import_module("orpheus_conformance.spaces")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")


def spaces() -> Mapping[tuple[str, str], Space]:
    """Every problem space, by (domain, operator)."""
    _load()
    return _SPACES


def find_space(domain: str, op: str) -> Space | None:
    """The problem space of an operator, or None."""
    return spaces().get((domain, op))
