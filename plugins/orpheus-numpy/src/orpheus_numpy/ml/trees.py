"""TreeEnsemble, TreeEnsembleClassifier, TreeEnsembleRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.ml.forest import AGGREGATES, MODES, Forest, with_base
from orpheus_numpy.ml.post import TRANSFORMS, labels_of, matrix, two_columns
from orpheus_numpy.ml.post import post_transform as transform

_Numbers = Sequence[float]


def _forest(
    op: str,
    nodes: dict[str, Any],
    votes: tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[float] | Array],
    dtype: np.dtype[Any],
) -> Forest:
    """A forest from the attributes of the two older operators, in which nodes are named by (tree, node) ids.

    ``votes`` are trees, nodes, targets and weights.
    """
    ids, modes = list(zip(nodes["treeids"], nodes["nodeids"])), nodes["modes"]
    columns = [nodes[k] for k in ("nodeids", "modes", "featureids", "truenodeids", "falsenodeids", "values")]
    if len({len(c) for c in columns}) != 1 or len(ids) != len(modes):
        raise ValueError(f"{op}: the nodes_ attributes differ in length: {[len(c) for c in columns]}")
    if len({len(v) for v in votes}) != 1:
        raise ValueError(
            f"{op}: the attributes of the leaves' votes differ in length: {[len(v) for v in votes]}"
        )
    inner = [i for i, mode in enumerate(modes) if mode != "LEAF"]
    unknown = {modes[i] for i in inner} - set(MODES[:-1])
    if unknown:
        raise ValueError(f"{op}: node modes {sorted(unknown)} are not known")
    codes: dict[tuple[int, int], int] = {ids[i]: n for n, i in enumerate(inner)}
    leaves = 0
    for i, mode in enumerate(modes):
        if mode == "LEAF":
            leaves += 1
            codes[ids[i]] = -leaves
    if len(codes) != len(ids):
        raise ValueError(f"{op}: a node id stands twice in a tree")
    try:
        branches = {
            kind: np.array([codes[nodes["treeids"][i], nodes[kind][i]] for i in inner], np.int64)
            for kind in ("truenodeids", "falsenodeids")
        }
        voters = np.array([codes[key] for key in zip(votes[0], votes[1])], np.int64)
    except KeyError as missing:
        raise ValueError(f"{op}: there is no node with (tree, node) ids {missing.args[0]}") from None
    # A vote of an inner node would never be cast.
    at_leaf = np.flatnonzero(voters < 0)
    order = at_leaf[np.argsort(-1 - voters[at_leaf], kind="stable")]
    starts = np.searchsorted(-1 - voters[order], np.arange(leaves + 1))
    missing_true = nodes["missing_true"] or (0,) * len(ids)
    return Forest(
        op=op,
        roots=_roots(op, ids, codes, branches),
        feature=np.array([nodes["featureids"][i] for i in inner], np.int64),
        split=_splits(nodes["values"], dtype)[inner],
        mode=np.array([MODES.index(modes[i]) for i in inner], np.int64),
        when_true=branches["truenodeids"],
        when_false=branches["falsenodeids"],
        missing_true=np.array([missing_true[i] for i in inner], bool),
        vote_start=starts,
        vote_target=np.array(votes[2], np.int64)[order],
        vote_weight=np.array(votes[3], np.float64)[order],
    )


def _roots(
    op: str, ids: list[tuple[int, int]], codes: dict[tuple[int, int], int], branches: dict[str, Array]
) -> Array:
    """Of each tree, the first node that no branch leads to."""
    children = {int(c) for kind in branches.values() for c in kind}
    roots: dict[int, int] = {}
    for key in ids:
        if codes[key] not in children:
            roots.setdefault(key[0], codes[key])
    rootless = {tree for tree, _ in ids} - set(roots)
    if rootless:
        raise ValueError(f"{op}: trees {sorted(rootless)} have no root: every node is a branch's target")
    return np.array(list(roots.values()), np.int64)


def _splits(values: Sequence[float] | Array, dtype: np.dtype[Any]) -> Array:
    """Thresholds in their own precision when they are a tensor, else in that of the input."""
    return values if isinstance(values, np.ndarray) else np.array(values, dtype)


def _input(data: Array, op: str) -> Array:
    return matrix(data, op, np.float64 if data.dtype == np.float64 else np.float32)


def tree_ensemble_regressor(
    data: Array,
    *,
    nodes_treeids: Sequence[int] = (),
    nodes_nodeids: Sequence[int] = (),
    nodes_featureids: Sequence[int] = (),
    nodes_modes: Sequence[str] = (),
    nodes_truenodeids: Sequence[int] = (),
    nodes_falsenodeids: Sequence[int] = (),
    nodes_values: _Numbers = (),
    nodes_values_as_tensor: Array | None = None,
    nodes_missing_value_tracks_true: Sequence[int] = (),
    nodes_hitrates: _Numbers = (),
    nodes_hitrates_as_tensor: Array | None = None,
    target_treeids: Sequence[int] = (),
    target_nodeids: Sequence[int] = (),
    target_ids: Sequence[int] = (),
    target_weights: _Numbers = (),
    target_weights_as_tensor: Array | None = None,
    base_values: _Numbers | None = None,
    base_values_as_tensor: Array | None = None,
    n_targets: int = 1,
    aggregate_function: str = "SUM",
    post_transform: str = "NONE",
) -> Array:
    """ai.onnx.ml TreeEnsembleRegressor: (N, n_targets) float32.

    The votes of the leaves reached are aggregated by target; base values are added to that. Raises ValueError for
    attributes that do not describe trees.
    """
    op = "TreeEnsembleRegressor"
    x = _input(data, op)
    weights = target_weights if target_weights_as_tensor is None else target_weights_as_tensor
    nodes = _nodes(
        nodes_treeids, nodes_nodeids, nodes_featureids, nodes_modes, nodes_truenodeids, nodes_falsenodeids,
        nodes_values if nodes_values_as_tensor is None else nodes_values_as_tensor, nodes_missing_value_tracks_true,
    )  # fmt: skip
    forest = _forest(op, nodes, (target_treeids, target_nodeids, target_ids, weights), x.dtype)
    base = base_values if base_values_as_tensor is None else base_values_as_tensor
    scores = with_base(forest.scores(x, n_targets, aggregate_function), base, op)
    return transform(scores, post_transform, op).astype(np.float32)


def _nodes(*columns: Any) -> dict[str, Any]:
    names = (
        "treeids",
        "nodeids",
        "featureids",
        "modes",
        "truenodeids",
        "falsenodeids",
        "values",
        "missing_true",
    )
    return dict(zip(names, columns))


def tree_ensemble_classifier(
    data: Array,
    *,
    nodes_treeids: Sequence[int] = (),
    nodes_nodeids: Sequence[int] = (),
    nodes_featureids: Sequence[int] = (),
    nodes_modes: Sequence[str] = (),
    nodes_truenodeids: Sequence[int] = (),
    nodes_falsenodeids: Sequence[int] = (),
    nodes_values: _Numbers = (),
    nodes_values_as_tensor: Array | None = None,
    nodes_missing_value_tracks_true: Sequence[int] = (),
    nodes_hitrates: _Numbers = (),
    nodes_hitrates_as_tensor: Array | None = None,
    class_treeids: Sequence[int] = (),
    class_nodeids: Sequence[int] = (),
    class_ids: Sequence[int] = (),
    class_weights: _Numbers = (),
    class_weights_as_tensor: Array | None = None,
    classlabels_int64s: Sequence[int] | None = None,
    classlabels_strings: Sequence[str] | None = None,
    base_values: _Numbers | None = None,
    base_values_as_tensor: Array | None = None,
    post_transform: str = "NONE",
) -> tuple[Array, Array]:
    """ai.onnx.ml TreeEnsembleClassifier: (labels (N,), scores (N, classes) float32).

    Votes are summed by class and the largest sum wins. A model of two classes that votes for one alone computes one
    score: a probability when no vote is negative (the second class wins above 0.5), else a margin (above 0).
    """
    op = "TreeEnsembleClassifier"
    labels = labels_of(classlabels_int64s, classlabels_strings, op)
    x = _input(data, op)
    weights = class_weights if class_weights_as_tensor is None else class_weights_as_tensor
    nodes = _nodes(
        nodes_treeids, nodes_nodeids, nodes_featureids, nodes_modes, nodes_truenodeids, nodes_falsenodeids,
        nodes_values if nodes_values_as_tensor is None else nodes_values_as_tensor, nodes_missing_value_tracks_true,
    )  # fmt: skip
    forest = _forest(op, nodes, (class_treeids, class_nodeids, class_ids, weights), x.dtype)
    base = base_values if base_values_as_tensor is None else base_values_as_tensor
    scores = forest.scores(x, len(labels), "SUM")
    voted = set(class_ids)
    if len(labels) != 2 or len(voted) != 1:
        scores = with_base(scores, base, op)
        return labels[scores.argmax(axis=1)], transform(scores, post_transform, op).astype(np.float32)
    only = voted.pop()
    score = with_base(scores, base, op)[:, only]
    probability = bool(np.all(np.asarray(weights) >= 0))
    won = (score > (0.5 if probability else 0)).astype(np.int64)
    if only == 0:
        return labels[won], two_columns(score, post_transform, probability, op).astype(np.float32)
    pair = np.stack([np.zeros_like(score), score], axis=1)
    return labels[won], transform(pair, post_transform, op).astype(np.float32)


def tree_ensemble(
    data: Array,
    *,
    tree_roots: Sequence[int],
    nodes_featureids: Sequence[int],
    nodes_modes: Array,
    nodes_splits: Array,
    nodes_truenodeids: Sequence[int],
    nodes_trueleafs: Sequence[int],
    nodes_falsenodeids: Sequence[int],
    nodes_falseleafs: Sequence[int],
    leaf_targetids: Sequence[int],
    leaf_weights: Array,
    nodes_missing_value_tracks_true: Sequence[int] | None = None,
    nodes_hitrates: Array | None = None,
    membership_values: Array | None = None,
    n_targets: int | None = None,
    aggregate_function: int = 1,
    post_transform: int = 0,
) -> Array:
    """ai.onnx.ml TreeEnsemble: (N, n_targets) in the type of ``data``.

    Raises ValueError for attributes that do not describe trees.
    """
    op = "TreeEnsemble"
    if not 0 <= aggregate_function < len(AGGREGATES) or not 0 <= post_transform < len(TRANSFORMS):
        raise ValueError(
            f"{op}: aggregate_function {aggregate_function} or post_transform {post_transform} is not known"
        )
    x = matrix(data, op, np.float64 if data.dtype == np.float64 else np.float32)
    count, leaves = len(nodes_featureids), len(leaf_targetids)
    columns = (
        nodes_modes,
        nodes_splits,
        nodes_truenodeids,
        nodes_trueleafs,
        nodes_falsenodeids,
        nodes_falseleafs,
    )
    if any(len(c) != count for c in columns) or len(leaf_weights) != leaves:
        raise ValueError(f"{op}: the nodes_ or leaf_ attributes differ in length")
    modes = np.asarray(nodes_modes).astype(np.int64)
    targets = max(leaf_targetids, default=0) + 1 if n_targets is None else n_targets
    forest = Forest(
        op=op,
        roots=np.array(tree_roots, np.int64),
        feature=np.array(nodes_featureids, np.int64),
        split=nodes_splits,
        mode=modes,
        when_true=_next(op, nodes_truenodeids, nodes_trueleafs),
        when_false=_next(op, nodes_falsenodeids, nodes_falseleafs),
        missing_true=np.array(nodes_missing_value_tracks_true or (0,) * count, bool),
        vote_start=np.arange(leaves + 1),
        vote_target=np.array(leaf_targetids, np.int64),
        vote_weight=np.asarray(leaf_weights).astype(np.float64),
        members=_members(op, modes, membership_values, x.dtype),
    )
    scores = forest.scores(x, targets, AGGREGATES[aggregate_function])
    return transform(scores, TRANSFORMS[post_transform], op).astype(data.dtype)


def _next(op: str, ids: Sequence[int], leaf: Sequence[int]) -> Array:
    following = np.array(ids, np.int64)
    if np.any(following < 0):
        raise ValueError(f"{op}: a branch leads to a negative node id")
    return np.where(np.array(leaf, bool), -1 - following, following)


def _members(op: str, modes: Array, values: Array | None, dtype: np.dtype[Any]) -> dict[int, Array]:
    """The set of each membership node: the NaN-delimited runs of ``values``, in node order."""
    nodes = np.flatnonzero(modes == MODES.index("BRANCH_MEMBER")).tolist()
    given = np.zeros(0, dtype) if values is None else np.asarray(values).astype(dtype)
    sets = [part[~np.isnan(part)] for part in np.split(given, np.flatnonzero(np.isnan(given)) + 1)]
    if len(sets) < len(nodes):
        raise ValueError(f"{op}: {len(nodes)} membership nodes, {len(sets)} sets of members")
    return dict(zip(nodes, sets))
