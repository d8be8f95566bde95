"""Minimum cut of a small directed network, by shortest augmenting paths. A helper, not a pass.

Edmonds and Karp, "Theoretical improvements in algorithmic efficiency for network flow problems" (JACM 19(2), 1972).
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
            parents = self._reach(SOURCE)
            if SINK not in parents:
                break
            steps: list[tuple[Hashable, Hashable]] = []
            point: Hashable = SINK
            while point != SOURCE:
                steps.append((parents[point], point))
                point = parents[point]
            amount = min(self._left[a][b] for a, b in steps)
            for a, b in steps:
                self._left[a][b] -= amount
                self._left[b][a] += amount
            cost += amount
        return cost, self._side_of_sink()

    def _reach(self, start: Hashable) -> dict[Hashable, Hashable]:
        parents: dict[Hashable, Hashable] = {start: start}
        queue: deque[Hashable] = deque([start])
        while queue and SINK not in parents:
            point = queue.popleft()
            for other, left in self._left[point].items():
                if left > 0 and other not in parents:
                    parents[other] = point
                    queue.append(other)
        return parents

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
