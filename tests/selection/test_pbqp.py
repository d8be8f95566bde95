"""The PBQP solver against brute force."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orpheus_core.selection.pbqp import solve

COSTS = st.one_of(st.integers(0, 9).map(float), st.just(float("inf")))


@st.composite
def problems(draw: st.DrawFn, tree: bool = False) -> tuple[list[list[float]], dict[tuple[int, int], Any]]:
    count = draw(st.integers(1, 6))
    sizes = [draw(st.integers(1, 3)) for _ in range(count)]
    costs = [[float(draw(st.integers(0, 9))) for _ in range(s)] for s in sizes]
    if tree:
        pairs = [(draw(st.integers(0, i - 1)), i) for i in range(1, count)]
    else:
        pairs = draw(st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=9))
        pairs = [p for p in dict.fromkeys(pairs) if p[0] != p[1]]
    edges = {
        (i, j): np.array([[draw(COSTS) for _ in range(sizes[j])] for _ in range(sizes[i])]) for i, j in pairs
    }
    return costs, edges


def total(costs: list[list[float]], edges: dict[tuple[int, int], Any], choice: tuple[int, ...]) -> float:
    found = sum(c[k] for c, k in zip(costs, choice))
    return found + sum(m[choice[i], choice[j]] for (i, j), m in edges.items())


def brute_force(costs: list[list[float]], edges: dict[tuple[int, int], Any]) -> float:
    return min(total(costs, edges, c) for c in itertools.product(*(range(len(c)) for c in costs)))


@settings(max_examples=300, deadline=None)
@given(problems())
def test_a_solution_called_optimal_is_the_least(problem: Any) -> None:
    costs, edges = problem
    solution = solve(costs, edges)
    best = brute_force(costs, edges)
    assert solution.cost == total(costs, edges, solution.choice)
    if solution.optimal:
        assert solution.cost == best
    else:
        assert solution.cost >= best


@settings(max_examples=200, deadline=None)
@given(problems(tree=True))
def test_trees_are_always_solved_to_optimality(problem: Any) -> None:
    costs, edges = problem
    solution = solve(costs, edges)
    assert solution.optimal
    assert solution.cost == brute_force(costs, edges)


def test_a_residual_block_is_series_parallel_and_thus_exact() -> None:
    rng = np.random.default_rng(0)
    # split -> two branches -> join, three times over: what residual and Inception networks are made of.
    edges, node = {}, 0
    for _ in range(3):
        for pair in ((0, 1), (1, 3), (0, 2), (2, 3)):
            edges[node + pair[0], node + pair[1]] = rng.integers(0, 9, (2, 2)).astype(float)
        node += 3
    costs = rng.integers(0, 9, (node + 1, 2)).astype(float).tolist()
    solution = solve(costs, edges)
    assert solution.optimal
    assert solution.cost == brute_force(costs, edges)


def test_a_dense_graph_needs_the_heuristic_and_says_so() -> None:
    rng = np.random.default_rng(1)
    edges = {(i, j): rng.random((3, 3)) for i in range(6) for j in range(i)}
    solution = solve(rng.random((6, 3)).tolist(), edges)
    assert not solution.optimal
    assert np.isfinite(solution.cost)


def test_deep_chains_need_no_recursion() -> None:
    count = 5000
    edges = {(i, i + 1): np.array([[0.0, 1.0], [1.0, 0.0]]) for i in range(count - 1)}
    costs = [[1.0, 0.0] if i % 100 else [0.0, 5.0] for i in range(count)]
    assert solve(costs, edges).optimal


def test_malformed_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="no alternatives"):
        solve([[]], {})
    with pytest.raises(ValueError, match="does not fit"):
        solve([[0.0], [0.0]], {(0, 1): np.zeros((2, 1))})
