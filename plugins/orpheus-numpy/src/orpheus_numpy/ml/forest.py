"""A forest of decision trees as flat arrays, walked for all rows and trees at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from orpheus_core.types import Array

#: Modes of a node, in the numbering of TreeEnsemble.
MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ", "BRANCH_MEMBER")
_MEMBER = 6
_COMPARE = (np.less_equal, np.less, np.greater_equal, np.greater, np.equal, np.not_equal)
AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")


@dataclass(frozen=True)
class Forest:
    """Inner nodes and leaves. A node is its index when it is an inner one, and -1 - index when it is a leaf.

    For inner node i: ``feature[i]`` and ``split[i]`` are compared as ``mode[i]`` says, ``when_true[i]`` and
    ``when_false[i]`` are the next nodes, ``missing_true[i]`` says where NaN goes; ``members[i]`` is the set of a
    membership test. Leaf i votes with the ``vote_*`` entries ``vote_start[i]`` to ``vote_start[i + 1]``.
    """

    op: str
    roots: Array
    feature: Array
    split: Array
    mode: Array
    when_true: Array
    when_false: Array
    missing_true: Array
    vote_start: Array
    vote_target: Array
    vote_weight: Array
    members: Mapping[int, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        inner, leaves = len(self.feature), len(self.vote_start) - 1
        following = np.concatenate([self.roots, self.when_true, self.when_false])
        if following.size and not -leaves <= following.min() <= following.max() < inner:
            raise ValueError(f"{self.op}: a branch leads to a node that does not exist")
        if self.mode.size and not 0 <= self.mode.min() <= self.mode.max() < len(MODES):
            raise ValueError(f"{self.op}: node modes {np.unique(self.mode).tolist()} are not all known")

    def leaves(self, data: Array) -> Array:
        """The leaf that each row of ``data`` (N, F) reaches in each tree, (N, trees)."""
        if self.feature.size and not 0 <= self.feature.min() <= self.feature.max() < data.shape[1]:
            raise ValueError(f"{self.op}: feature {self.feature.max()} of rows that have {data.shape[1]}")
        nodes = np.tile(self.roots, len(data))
        rows = np.repeat(np.arange(len(data)), len(self.roots))
        active = np.flatnonzero(nodes >= 0)
        steps, power, mark = 0, 1, nodes.copy()
        while active.size:
            at = nodes[active]
            nodes[active] = np.where(
                self._holds(data, rows[active], at), self.when_true[at], self.when_false[at]
            )
            active = active[nodes[active] >= 0]
            # Brent's test: a walk that meets the node it was marked at goes round for ever.
            if np.any(nodes[active] == mark[active]):
                raise ValueError(f"{self.op}: a tree contains a cycle")
            steps += 1
            if steps == power:
                mark, power = nodes.copy(), 2 * power
        return (-1 - nodes).reshape(len(data), len(self.roots))

    def _holds(self, data: Array, rows: Array, at: Array) -> Array:
        values = data[rows, self.feature[at]]
        split, mode = self.split[at], self.mode[at]
        holds = np.zeros(len(at), bool)
        for code in np.unique(mode):
            chosen = np.flatnonzero(mode == code)
            if code == _MEMBER:
                for node in np.unique(at[chosen]):
                    same = chosen[at[chosen] == node]
                    holds[same] = np.isin(values[same], self.members[int(node)])
            else:
                holds[chosen] = _COMPARE[code](values[chosen], split[chosen])
        return np.where(np.isnan(values), self.missing_true[at], holds)

    def scores(self, data: Array, targets: int, aggregate: str) -> Array:
        """The votes of the leaves reached, aggregated over the trees: (N, targets) float64, 0 without a vote."""
        if aggregate not in AGGREGATES:
            raise ValueError(
                f"{self.op}: aggregate_function {aggregate!r} is not one of {', '.join(AGGREGATES)}"
            )
        if self.vote_target.size and not 0 <= self.vote_target.min() <= self.vote_target.max() < targets:
            raise ValueError(f"{self.op}: target {self.vote_target.max()} of {targets}")
        reached = self.leaves(data)
        rows = np.repeat(np.arange(len(data)), len(self.roots))
        start, end = self.vote_start[reached.reshape(-1)], self.vote_start[reached.reshape(-1) + 1]
        extreme = {"MIN": np.minimum, "MAX": np.maximum}.get(aggregate)
        result = np.zeros(len(data) * targets)
        if extreme is not None:
            result += np.inf if aggregate == "MIN" else -np.inf
        while True:
            left = np.flatnonzero(start < end)
            if not left.size:
                break
            rows, start, end = rows[left], start[left], end[left]
            place, weight = rows * targets + self.vote_target[start], self.vote_weight[start]
            if extreme is None:
                result += np.bincount(place, weight, len(result))
            else:
                extreme.at(result, place, weight)
            start = start + 1
        if extreme is not None:
            result[np.isinf(result)] = 0
        if aggregate == "AVERAGE":
            result /= max(len(self.roots), 1)
        return result.reshape(len(data), targets)


def with_base(scores: Array, base: Sequence[float] | Array | None, op: str) -> Array:
    """Scores with the base values added: one for each column, or one for all."""
    if base is None or len(base) == 0:
        return scores
    if len(base) not in (1, scores.shape[1]):
        raise ValueError(f"{op}: {len(base)} base values for {scores.shape[1]} scores")
    return scores + np.array(base, np.float64)
