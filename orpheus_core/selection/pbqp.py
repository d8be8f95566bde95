"""Partitioned boolean quadratic problems: choose one alternative per node at the least total cost.

Each node has a vector of costs, one per alternative; each edge a matrix of costs, one per pair of
alternatives. Solved by graph reduction (Anderson & Gregg, "Optimal DNN primitive selection with partitioned
boolean quadratic programming", CGO 2018; Scholz & Eckstein, LCTES 2002): a node of degree 0 is decided at once
(R0), one of degree 1 is folded into its neighbour (RI), one of degree 2 into an edge between its two
neighbours (RII). These are exact, and suffice for every series-parallel graph: chains, residuals,
Inception modules. What is left is decided by RN, the cheapest local choice at the node of highest degree, after
which the result is no longer proved optimal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.types import Array


@dataclass(frozen=True)
class Solution:
    """``choice[i]`` is the alternative of node i; ``optimal`` whether that is proved to be the least cost."""

    choice: tuple[int, ...]
    cost: float
    optimal: bool


def solve(costs: Sequence[Sequence[float]], edges: Mapping[tuple[int, int], Any]) -> Solution:
    """Solve a problem of len(costs) nodes.

    ``costs[i]`` are node i's costs; ``edges[i, j]`` (i != j) is a matrix of shape
    (len(costs[i]), len(costs[j])). Parallel edges (j, i) and (i, j) add up. Infinity forbids a choice; a total of
    infinity means that no assignment is feasible. Raises ValueError when a node has no alternative or a matrix does
    not fit.
    """
    problem = _Problem(costs, edges)
    choice, optimal = problem.reduce()
    total = sum(float(np.asarray(c, float)[k]) for c, k in zip(costs, choice))
    total += sum(float(np.asarray(m, float)[choice[i], choice[j]]) for (i, j), m in edges.items())
    return Solution(tuple(choice), total, optimal)


class _Problem:
    def __init__(self, costs: Sequence[Sequence[float]], edges: Mapping[tuple[int, int], Any]) -> None:
        self.costs: list[Array] = [np.array(c, dtype=float) for c in costs]
        for index, cost in enumerate(self.costs):
            if cost.ndim != 1 or cost.size == 0:
                raise ValueError(f"node {index} has no alternatives")
        # adjacent[i][j] is the matrix of edge i-j with rows for i; both directions are kept.
        self.adjacent: list[dict[int, Array]] = [{} for _ in self.costs]
        for (i, j), matrix in edges.items():
            matrix = np.array(matrix, dtype=float)
            if i == j or matrix.shape != (self.costs[i].size, self.costs[j].size):
                raise ValueError(f"edge {i}-{j}: matrix of shape {matrix.shape} does not fit")
            self.connect(i, j, matrix)
        self.undo: list[Callable[[list[int]], None]] = []
        self.optimal = True

    def connect(self, i: int, j: int, matrix: Array) -> None:
        """Add an edge; merge it with one that is there, drop it when it constrains nothing."""
        if j in self.adjacent[i]:
            matrix = matrix + self.adjacent[i][j]
        if matrix.size and np.isfinite(matrix.flat[0]) and (matrix == matrix.flat[0]).all():
            self.costs[i] = self.costs[i] + matrix.flat[0]
            self.adjacent[i].pop(j, None)
            self.adjacent[j].pop(i, None)
        else:
            self.adjacent[i][j] = matrix
            self.adjacent[j][i] = matrix.T

    def reduce(self) -> tuple[list[int], bool]:
        """Eliminate every node, cheapest exact rule first, then read the choices back in reverse."""
        alive = set(range(len(self.costs)))
        # A worklist of nodes whose degree may have dropped to two or less keeps the sweep near linear.
        work = sorted(alive, key=lambda n: len(self.adjacent[n]), reverse=True)
        while alive:
            node = None
            while work:
                candidate = work.pop()
                if candidate in alive and len(self.adjacent[candidate]) <= 2:
                    node = candidate
                    break
            if node is None:
                node = max(alive, key=lambda n: (len(self.adjacent[n]), -n))
            neighbours = tuple(self.adjacent[node])
            alive.remove(node)
            if len(neighbours) == 0:
                self._decide(node)
            elif len(neighbours) == 1:
                self._reduce_one(node, *neighbours)
            elif len(neighbours) == 2:
                self._reduce_two(node, *neighbours)
            else:
                self._reduce_many(node, neighbours)
            work.extend(n for n in neighbours if len(self.adjacent[n]) <= 2)
        choice = [0] * len(self.costs)
        for decide in reversed(self.undo):
            decide(choice)
        return choice, self.optimal

    def _decide(self, node: int) -> None:
        best = int(np.argmin(self.costs[node]))
        self.undo.append(lambda choice: choice.__setitem__(node, best))

    def _detach(self, node: int) -> dict[int, Array]:
        edges, self.adjacent[node] = self.adjacent[node], {}
        for other in edges:
            del self.adjacent[other][node]
        return edges

    def _reduce_one(self, node: int, other: int) -> None:
        total = self.costs[node][:, None] + self._detach(node)[other]
        best = total.argmin(axis=0)
        self.costs[other] = self.costs[other] + total.min(axis=0)
        self.undo.append(lambda choice: choice.__setitem__(node, int(best[choice[other]])))

    def _reduce_two(self, node: int, left: int, right: int) -> None:
        edges = self._detach(node)
        total = self.costs[node][:, None, None] + edges[left][:, :, None] + edges[right][:, None, :]
        best = total.argmin(axis=0)
        self.connect(left, right, total.min(axis=0))
        self.undo.append(lambda choice: choice.__setitem__(node, int(best[choice[left], choice[right]])))

    def _reduce_many(self, node: int, neighbours: Sequence[int]) -> None:
        edges = self._detach(node)
        # RN: the alternative that is cheapest when every neighbour answers with its own best.
        total = self.costs[node].copy()
        for other in neighbours:
            total = total + (edges[other] + self.costs[other][None, :]).min(axis=1)
        best = int(total.argmin())
        for other in neighbours:
            self.costs[other] = self.costs[other] + edges[other][best]
        self.optimal = False
        self.undo.append(lambda choice: choice.__setitem__(node, best))
