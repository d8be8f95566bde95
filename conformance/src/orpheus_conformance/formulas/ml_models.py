"""Models of ai.onnx.ml. Sources: the operators' pages in ONNX's Operators-ml.md."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance, assemble, spec_of_case
from orpheus_conformance.oracle import by_reference
from orpheus_core.types import DType

_ML = "ai.onnx.ml"


@formula("LinearRegressor", domain=_ML, why="it gives NaN where intercepts are left out")
def linear_regressor(instance: Instance) -> tuple[Any, ...]:
    """A row of coefficients for each target."""
    given: Any = instance.node.attributes
    x = instance.arrays[0].astype(np.float64)
    weights = np.array(given["coefficients"]).reshape(given["targets"], -1)
    scores = np.array([[sum(a * b for a, b in zip(row, w)) for w in weights] for row in x])
    return (scores + np.array(given.get("intercepts", (0.0,))),)


def _whole(case: Case) -> bool:
    return isinstance(case.inputs[0], Operand) and not DType(case.inputs[0].dtype).is_float


@formula(
    "SVMRegressor", "SVMClassifier", "TreeEnsembleRegressor", "TreeEnsembleClassifier",
    domain=_ML, when=_whole, why="it computes scores in the input's type, which it makes whole numbers",
)  # fmt: skip
def on_floats(instance: Instance) -> tuple[Any, ...]:
    """The same model on the same numbers as float64."""
    case = instance.case
    (data,) = case.inputs
    assert isinstance(data, Operand)
    wide = case.replace(inputs=(replace(data, dtype="float64"),))
    arrays = (instance.arrays[0].astype(np.float64),)
    return by_reference(assemble(wide, spec_of_case(case), arrays, instance.node.attributes))


def _has_members(case: Case) -> bool:
    return "membership_values" in case.attributes


@formula(
    "TreeEnsemble", domain=_ML, when=_has_members, why="it takes the wrong branch at some tests of membership"
)
def tree_ensemble(instance: Instance) -> tuple[Any, ...]:
    """Each row walks each tree; sets stand in the order of their nodes, with a NaN after each."""
    given: Any = instance.node.attributes
    (data,) = instance.arrays
    modes = given["nodes_modes"].tolist()
    sets: list[set[float]] = [set()]
    for value in given["membership_values"].tolist():
        if math.isnan(value):
            sets.append(set())
        else:
            sets[-1].add(value)
    members = dict(zip([n for n, mode in enumerate(modes) if mode == 6], sets))

    def holds(node: int, value: float) -> bool:
        if math.isnan(value):
            return bool(given.get("nodes_missing_value_tracks_true", (0,) * len(modes))[node])
        if modes[node] == 6:
            return value in members[node]
        split = float(given["nodes_splits"][node])
        tests = (value <= split, value < split, value >= split, value > split, value == split, value != split)
        return bool(tests[modes[node]])

    votes: list[list[list[float]]] = [[[] for _ in range(given["n_targets"])] for _ in data]
    for row, numbers in enumerate(data.tolist()):
        for root in given["tree_roots"]:
            node, leaf = root, 0
            while not leaf:
                way = "true" if holds(node, numbers[given["nodes_featureids"][node]]) else "false"
                leaf, node = given[f"nodes_{way}leafs"][node], given[f"nodes_{way}nodeids"][node]
            votes[row][given["leaf_targetids"][node]].append(float(given["leaf_weights"][node]))
    combine = (lambda v: sum(v) / len(given["tree_roots"]), sum, min, max)[given["aggregate_function"]]
    return (np.array([[combine(v) if v else 0.0 for v in row] for row in votes]),)
