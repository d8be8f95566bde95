"""Minimum cut of a directed network, by blocking flows. A helper, not a pass.

Dinitz, "Algorithm for solution of a problem of maximum flow in a network with power estimation" (Soviet Math.
Doklady 11, 1970). A phase serves all parts of a network at once, so many small parts cost no more than one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

SOURCE, SINK = "source", "sink"
INFINITE = 1 << 62


class Network:
    """Edges with capacities between hashable points; :data:`SOURCE` and :data:`SINK` are two of them."""

    def __init__(self) -> None:
        self._left: dict[Hashable, dict[Hashable, int]] = {SOURCE: {}, SINK: {}}

    def add(self, start: Hashable, end: Hashable, capacity: int) -> None:
        """An edge that costs ``capacity`` when ``start`` is on the source's side and ``end`` on the sink's."""
        if start == end or capacity == 0:
            return
        forward = self._left.setdefault(start, {})
        forward[end] = forward.get(end, 0) + capacity
        self._left.setdefault(end, {}).setdefault(start, 0)

    def cut(self) -> tuple[int, set[Hashable]]:
        """The least cost, and the points on the sink's side, as few as possible."""
        cost = 0
        while True:
            levels = self._levels()
            if SINK not in levels:
                return cost, self._side_of_sink()
            cost += self._block(levels)

    def _levels(self) -> dict[Hashable, int]:
        """Distance of each point from the source along edges with capacity left."""
        levels: dict[Hashable, int] = {SOURCE: 0}
        queue: deque[Hashable] = deque([SOURCE])
        while queue:
            point = queue.popleft()
            for other, left in self._left[point].items():
                if left > 0 and other not in levels:
                    levels[other] = levels[point] + 1
                    queue.append(other)
        return levels

    def _block(self, levels: dict[Hashable, int]) -> int:
        """Send flow along shortest paths until every one of them is full; gives the amount."""
        edges = {p: [o for o in self._left[p] if levels.get(o) == levels[p] + 1] for p in levels}
        path: list[Hashable] = [SOURCE]
        total = 0
        while path:
            point = path[-1]
            if point == SINK:
                steps = [(path[i], path[i + 1]) for i in range(len(path) - 1)]
                amount = min(self._left[a][b] for a, b in steps)
                for a, b in steps:
                    self._left[a][b] -= amount
                    self._left[b][a] += amount
                total += amount
                del path[next(i for i, (a, b) in enumerate(steps) if self._left[a][b] == 0) + 1 :]
                continue
            ahead = edges[point]
            while ahead and self._left[point][ahead[-1]] == 0:
                ahead.pop()
            if ahead:
                path.append(ahead[-1])
            else:
                path.pop()
                if path:
                    edges[path[-1]].pop()  # a dead end
        return total

    def _side_of_sink(self) -> set[Hashable]:
        side: set[Hashable] = {SINK}
        queue: deque[Hashable] = deque(side)
        while queue:
            point = queue.popleft()
            for other in self._left[point]:
                if other not in side and self._left[other].get(point, 0) > 0:
                    side.add(other)
                    queue.append(other)
        return side
