"""Names and values of a whole model, subgraphs included. A helper, not a pass."""

from __future__ import annotations

from collections.abc import Iterable

from orpheus_core.graph import Graph, Value


class Names:
    """Value names in use anywhere in a graph, so that new ones are unique."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._taken: set[str] | None = None
        self._next: dict[str, int] = {}

    def unique(self, hint: str) -> str:
        """``hint``, or ``hint_1`` and so on when it is taken."""
        if self._taken is None:
            self._taken = {v.name for v in all_values(self._graph)}
        name = hint
        while name in self._taken:
            self._next[hint] = self._next.get(hint, 0) + 1
            name = f"{hint}_{self._next[hint]}"
        self._taken.add(name)
        return name


def all_values(graph: Graph) -> Iterable[Value]:
    """Every value a graph and its subgraphs define, take, read or return (with repeats)."""
    yield from graph.inputs
    yield from graph.outputs
    for node in graph.nodes:
        yield from (v for v in node.inputs if v is not None)
        yield from node.results
        for inner in node.subgraphs:
            yield from all_values(inner)
