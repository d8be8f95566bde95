"""ai.onnx.ml: linear models, support vector machines and trees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.ml_features import ML
from orpheus_conformance.tolerance import Evidence, Tolerance, Ulps
from orpheus_core.types import Array

#: Numbers whose sums and products with others are no ties of a comparison.
_WEIGHTS = (0.3125, -0.71875, 1.15625, -1.53125, 0.84375, 0.09375, -0.40625)
_TRANSFORMS = ("NONE", OMIT, "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
_WITHOUT = {
    "special": "no model says what NaN and infinities score",
    "exact": "what models compute is rounded",
}


def _size(e: Evidence) -> Array:
    """An upper bound of the sum of the products' magnitudes, per row."""
    x = np.abs(np.asarray(e.inputs[0], np.float64))
    rows = x.reshape(-1, x.shape[-1]).max(axis=1, initial=0) if x.size else np.zeros(len(x))
    numbers = [
        max(map(abs, e.attributes[n]), default=0)
        for n in ("coefficients", "intercepts", "rho")
        if n in e.attributes
    ]
    bound = (1 + rows) * x.shape[-1] * max(1.0, *numbers)
    return np.asarray(bound[:, None])


_LINEAR = Ulps(
    16.0, "float32 sums of a few products, relative to the largest of them, then a transform", magnitude=_size
)


def _labelled(case: Case) -> Tolerance:
    return _LINEAR


def _labels(d: Draw, count: int, ints: str = "classlabels_ints") -> dict[str, Any]:
    if d.flag():
        return {"classlabels_strings": ("a", "b", "日本", "d")[:count]}
    return {ints: d.shuffled((0, 1, 7, -3))[:count]}


def _numbers(d: Draw, count: int) -> tuple[float, ...]:
    return tuple(d.choose(_WEIGHTS) for _ in range(count))


def _rows(d: Draw, name: str, features: int, constraint: str) -> Operand:
    # Beyond these, transforms saturate, and which of two equal scores wins is not said.
    shape = (d.choose((2, 1, 3, 5)), features)
    return d.tensor(name, d.dtype(constraint), shape, low=-4.0, high=4.0, special=False)


@space("LinearRegressor", _LINEAR, domain=ML, without=_WITHOUT)
def linear_regressor(d: Draw) -> Layer:
    """One target and several, with and without intercepts."""
    features, targets = d.choose((2, 1, 3, 5)), d.choose((1, 2, 3))
    attributes = {
        "coefficients": _numbers(d, features * targets),
        "intercepts": d.choose((OMIT, _numbers(d, targets))),
        "targets": d.maybe("targets", targets, 1),
        "post_transform": d.attribute("post_transform", ("NONE", OMIT)),
    }
    return Layer((_rows(d, "X", features, "T"),), attributes)


@space("LinearClassifier", _labelled, domain=ML, without=_WITHOUT)
def linear_classifier(d: Draw) -> Layer:
    """A row of coefficients for each class; labels by number and by name."""
    features, classes = d.choose((2, 1, 3)), d.choose((3, 2, 4))
    attributes = {
        "coefficients": tuple(c + n / 64 for n, c in enumerate(_numbers(d, features * classes))),
        "intercepts": tuple(c + n / 16 for n, c in enumerate(_numbers(d, classes))),
        "multi_class": d.attribute("multi_class", (OMIT, 0, 1)),
        "post_transform": d.attribute("post_transform", _TRANSFORMS),
    } | _labels(d, classes)
    return Layer((_rows(d, "X", features, "T1"),), attributes, (True, True))


def _kernel(d: Draw) -> dict[str, Any]:
    kind = d.attribute("kernel_type", ("LINEAR", OMIT, "POLY", "RBF", "SIGMOID"))
    degree = d.choose((1.0, 2.0)) if kind == "POLY" else 0.0
    return {"kernel_type": kind, "kernel_params": (d.choose((0.5, 0.25)), d.choose((0.0, 0.5)), degree)}


@space("SVMRegressor", _LINEAR, domain=ML, without=_WITHOUT)
def svm_regressor(d: Draw) -> Layer:
    """Every kernel; the weights of a linear model without support vectors; one class."""
    features = d.choose((2, 1, 3))
    one = d.attribute("one_class", (0, OMIT, 1))
    attributes: dict[str, Any] = {"rho": _numbers(d, 1), "one_class": one}
    if d.flag():
        attributes |= {"coefficients": _numbers(d, features), "kernel_type": "LINEAR"}
    else:
        count = d.choose((2, 1, 3))
        vectors = _numbers(d, count * features)
        attributes |= {
            "support_vectors": vectors,
            "coefficients": _numbers(d, count),
            "n_supports": count,
            **_kernel(d),
        }
    return Layer((_floats(d, "X", features, "T"),), attributes)


def _floats(d: Draw, name: str, features: int, constraint: str) -> Operand:
    # High powers of large numbers say nothing of the kernel.
    return d.tensor(
        name, d.dtype(constraint), (d.choose((2, 1, 3)), features), low=-2.0, high=2.0, special=False
    )


@space("SVMClassifier", _labelled, domain=ML, without=_WITHOUT)
def svm_classifier(d: Draw) -> Layer:
    """Two classes and more, decisions of every pair."""
    features, classes = d.choose((2, 1, 3)), d.choose((3, 2))
    per_class = tuple(d.choose((1, 2)) for _ in range(classes))
    count, pairs = sum(per_class), classes * (classes - 1) // 2
    attributes = (
        {
            "support_vectors": _numbers(d, count * features),
            # Those of a trained machine add to zero, so that some are negative.
            "coefficients": (-0.28125, *_numbers(d, (classes - 1) * count - 1)),
            "vectors_per_class": per_class,
            "rho": _numbers(d, pairs),
            "post_transform": d.attribute("post_transform", ("NONE", OMIT)),
        }
        | _kernel(d)
        | _labels(d, classes)
    )
    return Layer((_floats(d, "X", features, "T1"),), attributes, (True, True))


@dataclass
class _Trees:
    """Trees as they are drawn: nodes and leaves by tree, node 0 the root."""

    features: int
    modes: tuple[str, ...]
    nodes: list[tuple[int, int, int, str, float, int, int, int]] = field(default_factory=list)
    leaves: list[tuple[int, int]] = field(default_factory=list)

    def grow(self, d: Draw, tree: int) -> None:
        """A tree of one to seven nodes."""
        self._node(d, tree, [0], d.choose((1, 2, 0)))

    def _node(self, d: Draw, tree: int, counter: list[int], depth: int) -> int:
        number = counter[0]
        counter[0] += 1
        place = len(self.nodes)
        self.nodes.append((tree, number, 0, "LEAF", 0.0, 0, 0, 0))
        if depth == 0:
            self.leaves.append((tree, number))
            return number
        feature, mode = d.integer(0, self.features - 1), d.choose(self.modes)
        split, missing = d.choose((0.25, -0.625, 1.125, 0.0)), d.choose((0, 1))
        left = self._node(d, tree, counter, depth - 1)
        right = self._node(d, tree, counter, d.choose((depth - 1, 0)))
        self.nodes[place] = (tree, number, feature, mode, split, left, right, missing)
        return number

    def attributes(self) -> dict[str, Any]:
        """The ``nodes_`` attributes of TreeEnsembleRegressor and TreeEnsembleClassifier."""
        names = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
        columns = tuple(zip(*self.nodes))
        found: dict[str, Any] = {f"nodes_{n}": c for n, c in zip(names, columns)}
        return {**found, "nodes_missing_value_tracks_true": columns[7]}


_MODES = ("BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ")
_VOTES = Ulps(8.0, "a sum of a few votes in float32, then a transform", magnitude=lambda e: 8.0)


def _voted(case: Case) -> Tolerance:
    return _VOTES


def _forest(d: Draw) -> _Trees:
    modes = d.subset(_MODES, 1)
    trees = _Trees(d.choose((2, 1, 3)), modes if d.flag() else modes[:1])
    for tree in range(d.choose((1, 2, 3))):
        trees.grow(d, tree)
    return trees


def _inputs(d: Draw, features: int, constraint: str) -> Operand:
    dtype = d.dtype(constraint)
    kind = d.choose(("normal", "special", "small")) if dtype.startswith("float") else "small"
    return d.tensor("X", dtype, (d.choose((2, 1, 3, 5)), features), kind=kind)


@space("TreeEnsembleRegressor", _voted, domain=ML, since=3, without=_WITHOUT)
def tree_ensemble_regressor(d: Draw) -> Layer:
    """Votes for one target and several, aggregated in every way; missing values."""
    trees, targets = _forest(d), d.choose((1, 2))
    # A target without a vote has no least and no greatest one.
    votes = [(t, n, target) for t, n in trees.leaves for target in range(targets)]
    attributes = trees.attributes() | {
        "target_treeids": tuple(t for t, _, _ in votes),
        "target_nodeids": tuple(n for _, n, _ in votes),
        "target_ids": tuple(i for _, _, i in votes),
        "target_weights": _numbers(d, len(votes)),
        "n_targets": targets,
        "aggregate_function": d.attribute("aggregate_function", ("SUM", OMIT, "AVERAGE", "MIN", "MAX")),
        "base_values": d.choose((OMIT, _numbers(d, targets))),
        "post_transform": d.attribute("post_transform", ("NONE", OMIT)),
    }
    return Layer((_inputs(d, trees.features, "T"),), attributes)


@space("TreeEnsembleClassifier", _voted, domain=ML, since=3, without=_WITHOUT)
def tree_ensemble_classifier(d: Draw) -> Layer:
    """Votes for each of the classes."""
    trees, classes = _forest(d), d.choose((3, 2, 4))
    votes = [(t, n, c) for t, n in trees.leaves for c in range(classes)]
    # Votes that differ in their last digits: no sum of a few is the same for two classes.
    weights = tuple(
        w + c / 64 + n / 1024 for n, (w, (_, _, c)) in enumerate(zip(_numbers(d, len(votes)), votes))
    )
    attributes = (
        trees.attributes()
        | {
            "class_treeids": tuple(t for t, _, _ in votes),
            "class_nodeids": tuple(n for _, n, _ in votes),
            "class_ids": tuple(c for _, _, c in votes),
            "class_weights": weights,
            "base_values": d.choose((OMIT, _numbers(d, classes))),
            "post_transform": d.attribute("post_transform", _TRANSFORMS),
        }
        | _labels(d, classes, "classlabels_int64s")
    )
    return Layer((_inputs(d, trees.features, "T1"),), attributes, (True, True))


@space("TreeEnsemble", _voted, domain=ML, since=5, without=_WITHOUT)
def tree_ensemble(d: Draw) -> Layer:
    """Inner nodes and leaves apart, splits of the input's type, membership among the tests."""
    dtype = d.dtype("T")
    trees, targets = _forest(d), d.choose((1, 2))
    inner = [n for n in trees.nodes if n[3] != "LEAF"]
    if len(inner) == 0 or any(trees.nodes[i][3] == "LEAF" for i, n in enumerate(trees.nodes) if n[1] == 0):
        trees = _Trees(trees.features, trees.modes)  # a tree of one leaf cannot be written in this form
        trees._node(d, 0, [0], 1)
        inner = [n for n in trees.nodes if n[3] != "LEAF"]
    place = {n[:2]: i for i, n in enumerate(inner)}
    leaf = {key: i for i, key in enumerate(trees.leaves)}
    members = [d.flag() for _ in inner]
    sets = [v for m in members if m for v in (*d.subset((1.0, 2.0, -1.0, 0.0), 1), float("nan"))]

    def branch(n: Any, side: int) -> tuple[int, int]:
        key = (n[0], n[side])
        return (leaf[key], 1) if key in leaf else (place[key], 0)

    ways = [(branch(n, 5), branch(n, 6)) for n in inner]
    modes = tuple(6 if m else _MODES.index(n[3]) for n, m in zip(inner, members))
    count, ends = len(inner), len(trees.leaves)
    attributes: dict[str, Any] = {
        "tree_roots": tuple(place[t, 0] for t in dict.fromkeys(n[0] for n in inner)),
        "nodes_featureids": tuple(n[2] for n in inner),
        "nodes_modes": Operand("uint8", (count,), "normal", modes, True),
        "nodes_splits": Operand(dtype, (count,), "normal", tuple(n[4] for n in inner), True),
        "nodes_truenodeids": tuple(t[0] for t, _ in ways),
        "nodes_trueleafs": tuple(t[1] for t, _ in ways),
        "nodes_falsenodeids": tuple(f[0] for _, f in ways),
        "nodes_falseleafs": tuple(f[1] for _, f in ways),
        "nodes_missing_value_tracks_true": d.choose((OMIT, tuple(n[7] for n in inner))),
        "leaf_targetids": tuple(d.integer(0, targets - 1) for _ in range(ends)),
        "leaf_weights": Operand(dtype, (ends,), "normal", _numbers(d, ends), True),
        "n_targets": targets,
        "aggregate_function": d.attribute("aggregate_function", (1, OMIT, 0, 2, 3)),
        "membership_values": Operand(dtype, (len(sets),), "normal", tuple(sets), True) if sets else OMIT,
    }
    if targets > 1:
        attributes["aggregate_function"] = 1  # a target without a vote has no least and no greatest one
    return Layer(
        (d.tensor("X", dtype, (d.choose((2, 1, 3, 5)), trees.features), kind=d.choose(("normal", "small"))),),
        attributes,
    )
