"""Names in force while a graph or a function's body is read."""

from __future__ import annotations

from orpheus_core.errors import ModelError
from orpheus_core.graph import Value
from orpheus_core.importer.survey import shorten


class Scope:
    """Names defined in one graph or function; None stands for an input that the caller left out."""

    def __init__(self, parent: Scope | None = None) -> None:
        self._names: dict[str, Value | None] = {}
        self._parent = parent

    def find(self, name: str, place: str) -> Value | None:
        """The value of a name, here or in an enclosing graph; ModelError when there is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope._names:
                return scope._names[name]
            scope = scope._parent
        raise ModelError(
            f"{place}: reads {shorten(name)!r}, which nothing before it defines (nodes must be in order)"
        )

    def define(self, name: str, value: Value | None, place: str) -> None:
        """Bind a name here; ModelError when it is bound already."""
        if name in self._names:
            raise ModelError(f"{place}: {shorten(name)!r} is already defined; every value is assigned once")
        self._names[name] = value

    def shadows(self, name: str) -> bool:
        """Whether an enclosing graph has defined the name."""
        scope = self._parent
        while scope is not None:
            if name in scope._names:
                return True
            scope = scope._parent
        return False
