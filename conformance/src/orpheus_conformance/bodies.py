"""Subgraphs by name, for cases of control-flow operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from orpheus_conformance.case import Body, CaseError
from orpheus_core.graph import Graph

_BUILDERS: dict[str, Callable[..., Graph]] = {}


def body(name: str) -> Callable[[Callable[..., Graph]], Callable[..., Graph]]:
    """Register a function that builds a subgraph from plain arguments; a case names it as ``Body(name, arguments)``."""

    def register(builder: Callable[..., Graph]) -> Callable[..., Graph]:
        _BUILDERS[name] = builder
        return builder

    return register


def build(wanted: Body) -> Any:
    """The subgraph that a case names; CaseError when there is none of that name, or its arguments do not fit."""
    if wanted.name not in _BUILDERS:
        raise CaseError(f"no subgraph is called {wanted.name!r}; there are {', '.join(sorted(_BUILDERS)) or 'none'}")
    try:
        return _BUILDERS[wanted.name](*wanted.arguments)
    except TypeError as error:
        raise CaseError(f"subgraph {wanted.name!r} does not take {wanted.arguments!r}: {error}") from error
