"""Linear models, support vector machines and tree ensembles against ONNX Runtime and a walk of each tree."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from orpheus_numpy.ml import trees

X = np.array([[1, -2, 3], [-0.5, 0.25, 1], [0.1, 0.3, -2], [0, 0, 0]], np.float32)
FLOATS = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 5), st.just(3)), elements=st.integers(-40, 40).map(lambda v: v / 8)
)
FEW = settings(max_examples=25, deadline=None)
EARLIER = "earlier ones complete a single transformed score in another way"
TRANSFORMS = st.sampled_from(["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])


def numbers(count, seed):
    return np.random.default_rng(seed).normal(size=count).round(2).astype(np.float32).tolist()


@FEW
@given(FLOATS, st.integers(1, 3), st.integers(0, 99), TRANSFORMS, st.booleans())
def test_linear_models(ml, x, rows, seed, transform, strings):
    pytest.importorskip("onnxruntime", minversion="1.31", reason=EARLIER)
    count = max(rows, 2)
    labels = (
        {"classlabels_strings": ["a", "b", "c"][:count]}
        if strings
        else {"classlabels_ints": [3, 5, 9][:count]}
    )
    model = {
        "coefficients": numbers(3 * rows, seed),
        "intercepts": numbers(rows, seed + 1),
        "post_transform": transform,
    }
    ml.agree("LinearClassifier", x, outputs=2, **model, **labels)
    if rows == 1:
        # Runtimes leave a single score as it is; the operator page transforms it.
        scores = (x @ np.array(model["coefficients"], np.float32) + model["intercepts"][0])[:, None]
        expected = {"NONE": scores, "LOGISTIC": 1 / (1 + np.exp(-scores)), "SOFTMAX": np.ones_like(scores)}
        expected["SOFTMAX_ZERO"] = (np.abs(scores) > 1e-7).astype(np.float32)
        np.testing.assert_allclose(
            ml.ours("LinearRegressor", x, **model)[0], expected[transform], rtol=1e-4, atol=1e-5
        )
    else:
        ml.agree("LinearRegressor", x, targets=rows, **model)


KERNELS = st.sampled_from(["LINEAR", "POLY", "RBF", "SIGMOID"])


def machine(vectors_per_class, kind, seed, probabilities):
    classes, count = len(vectors_per_class), sum(vectors_per_class)
    pairs = classes * (classes - 1) // 2
    model = {
        "coefficients": numbers((classes - 1) * count, seed),
        "support_vectors": numbers(3 * count, seed + 1),
        "rho": numbers(pairs, seed + 2),
        "vectors_per_class": vectors_per_class,
        "classlabels_ints": list(range(10, 10 + classes)),
        "kernel_type": kind,
        "kernel_params": [0.25, 0.5, 2.0],
    }
    if probabilities:
        model["prob_a"] = [-abs(v) - 0.1 for v in numbers(pairs, seed + 3)]
        model["prob_b"] = numbers(pairs, seed + 4)
    return model


@FEW
@given(
    FLOATS, st.lists(st.integers(1, 3), min_size=2, max_size=4), KERNELS, st.integers(0, 99), st.booleans()
)
def test_support_vector_classifier(ml, x, vectors, kind, seed, probabilities):
    model = machine(vectors, kind, seed, probabilities)
    # The runtime stops the coupling of probabilities after some iterations; here it is solved.
    ml.agree("SVMClassifier", x, outputs=2, rtol=1e-3, atol=5e-3 if probabilities else 1e-4, **model)


@FEW
@given(FLOATS, KERNELS, st.integers(0, 99), st.booleans())
def test_support_vector_regressor(ml, x, kind, seed, one_class):
    model = {"rho": numbers(1, seed), "kernel_params": [0.25, 0.5, 2.0], "one_class": int(one_class)}
    vectors = {
        "coefficients": numbers(4, seed + 1),
        "support_vectors": numbers(12, seed + 2),
        "n_supports": 4,
    }
    ml.agree("SVMRegressor", x, kernel_type=kind, rtol=1e-3, atol=1e-4, **vectors, **model)
    ml.agree("SVMRegressor", x, coefficients=numbers(3, seed), **model)


def test_linear_svm_scores_each_class(ml):
    model = {"coefficients": numbers(9, 2), "rho": [0.5], "kernel_params": [0.0, 0.0, 0.0]}
    ml.agree("SVMClassifier", X, outputs=2, classlabels_strings=["a", "b", "c"], **model)


BRANCHES = ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"]


def grow(draw, count):
    """Random trees as the older operators write them; leaves are listed by (tree, node)."""
    nodes = {
        k: [] for k in ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids")
    }
    nodes["missing_value_tracks_true"] = []
    leaves = []
    for tree in range(count):
        waiting, size = [(0, 0)], 1
        while waiting:
            node, depth = waiting.pop(0)
            inner = depth < 3 and draw(st.booleans())
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(draw(st.integers(0, 2)) if inner else 0)
            nodes["modes"].append(draw(st.sampled_from(BRANCHES)) if inner else "LEAF")
            nodes["values"].append(draw(st.integers(-16, 16)) / 8 if inner else 0.0)
            nodes["truenodeids"].append(size if inner else 0)
            nodes["falsenodeids"].append(size + 1 if inner else 0)
            nodes["missing_value_tracks_true"].append(draw(st.integers(0, 1)))
            if inner:
                waiting += [(size, depth + 1), (size + 1, depth + 1)]
                size += 2
            else:
                leaves.append((tree, node))
    return {f"nodes_{k}": v for k, v in nodes.items()}, leaves


def walk(nodes, tree, row):
    """The leaf that a row reaches, one comparison at a time."""
    places = {k: i for i, k in enumerate(zip(nodes["nodes_treeids"], nodes["nodes_nodeids"]))}
    node = 0
    while True:
        i = places[tree, node]
        mode, split, value = (
            nodes["nodes_modes"][i],
            nodes["nodes_values"][i],
            row[nodes["nodes_featureids"][i]],
        )
        if mode == "LEAF":
            return tree, node
        if math.isnan(value):
            holds = nodes["nodes_missing_value_tracks_true"][i]
        else:
            holds = [
                value <= split,
                value < split,
                value >= split,
                value > split,
                value == split,
                value != split,
            ]
            holds = holds[BRANCHES.index(mode)]
        node = nodes["nodes_truenodeids" if holds else "nodes_falsenodeids"][i]


def votes_of(draw, leaves, targets, prefix, low=-16):
    """One or two votes a leaf."""
    votes = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
    for tree, node in leaves:
        for target in draw(st.lists(st.integers(0, targets - 1), min_size=1, max_size=2, unique=True)):
            votes["treeids"].append(tree)
            votes["nodeids"].append(node)
            votes["ids"].append(target)
            votes["weights"].append(draw(st.integers(low, 16)) / 8)
    return {f"{prefix}_{k}": v for k, v in votes.items()}


def tally(nodes, votes, prefix, x, targets, trees_, aggregate):
    expected = np.zeros((len(x), targets))
    for r, row in enumerate(x):
        reached = {walk(nodes, tree, row) for tree in range(trees_)}
        for t in range(targets):
            found = [
                w
                for tree, node, target, w in zip(
                    *(votes[f"{prefix}_{k}"] for k in ("treeids", "nodeids", "ids", "weights"))
                )
                if (tree, node) in reached and target == t
            ]
            total = {"SUM": sum, "AVERAGE": lambda v: sum(v) / trees_, "MIN": min, "MAX": max}[aggregate]
            expected[r, t] = total(found) if found else 0
    return expected


@FEW
@given(
    FLOATS, st.integers(1, 3), st.integers(1, 3), st.sampled_from(["SUM", "AVERAGE", "MIN", "MAX"]), st.data()
)
def test_tree_regressor_walks_each_tree(ml, x, count, targets, aggregate, data):
    x = np.where(x > 4, np.nan, x).astype(np.float32)
    nodes, leaves = grow(data.draw, count)
    votes = votes_of(data.draw, leaves, targets, "target")
    base = [0.5, -1.0, 2.0][:targets]
    model = {"n_targets": targets, "aggregate_function": aggregate, **nodes, **votes}
    expected = tally(nodes, votes, "target", x, targets, count, aggregate)
    np.testing.assert_allclose(ml.ours("TreeEnsembleRegressor", x, **model)[0], expected, rtol=1e-6)
    based = ml.ours("TreeEnsembleRegressor", x, base_values=base, **model)[0]
    np.testing.assert_allclose(based, expected + base, rtol=1e-6)
    wide = {
        "nodes_values_as_tensor": np.array(model.pop("nodes_values")),
        "target_weights_as_tensor": np.array(model.pop("target_weights")),
    }
    np.testing.assert_allclose(
        ml.ours("TreeEnsembleRegressor", x.astype(float), **wide, **model)[0], expected, rtol=1e-6
    )


@FEW
@given(FLOATS, st.integers(1, 3), TRANSFORMS, st.data())
def test_tree_classifier_of_three_classes(ml, x, count, transform, data):
    nodes, leaves = grow(data.draw, count)
    votes = votes_of(data.draw, leaves, 3, "class")
    labels, scores = ml.ours(
        "TreeEnsembleClassifier", x, classlabels_int64s=[7, 5, 3], post_transform=transform, **nodes, **votes
    )
    raw = tally(nodes, votes, "class", x, 3, count, "SUM")
    assert labels.tolist() == [[7, 5, 3][i] for i in raw.argmax(axis=1)]
    if transform in ("NONE", "LOGISTIC"):
        np.testing.assert_allclose(
            scores, raw if transform == "NONE" else 1 / (1 + np.exp(-raw)), rtol=1e-5, atol=1e-6
        )
    else:
        assert np.all((np.abs(scores.sum(axis=1) - 1) < 1e-5) | (np.abs(raw).sum(axis=1) == 0))


@FEW
@given(FLOATS, st.integers(1, 3), st.booleans(), st.sampled_from(["NONE", "LOGISTIC"]), st.data())
def test_tree_classifier_of_one_score_agrees(ml, x, count, probability, transform, data):
    pytest.importorskip("onnxruntime", minversion="1.31", reason=EARLIER)
    nodes, leaves = grow(data.draw, count)
    votes = votes_of(data.draw, leaves, 1, "class", low=0 if probability else -16)
    model = {"classlabels_strings": ["no", "yes"], "post_transform": transform, **nodes, **votes}
    ml.agree("TreeEnsembleClassifier", x, outputs=2, **model)


def test_tree_regressor_agrees_with_the_runtime(ml):
    nodes = {
        "nodes_treeids": [0, 0, 0, 1],
        "nodes_nodeids": [0, 1, 2, 0],
        "nodes_featureids": [2, 0, 0, 0],
        "nodes_modes": ["BRANCH_LT", "LEAF", "LEAF", "LEAF"],
        "nodes_values": [0.5, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [2, 0, 0, 0],
        "nodes_falsenodeids": [1, 0, 0, 0],
    }
    votes = {"target_treeids": [0, 0, 1], "target_nodeids": [1, 2, 0], "target_ids": [0, 0, 0]}
    ml.agree(
        "TreeEnsembleRegressor",
        X,
        n_targets=1,
        target_weights=[1.5, -2.0, 0.25],
        base_values=[3.0],
        **nodes,
        **votes,
    )


def test_thresholds_in_double_precision_are_not_rounded(ml):
    x = np.full((1, 1), 0.1, np.float32)
    model = {k: v for k, v in ONE.items() if k != "nodes_values"}
    for split, leaf in ((np.float64(0.1), 2.0), (np.float64(np.float32(0.1)), 1.0)):
        tensor = np.array([split, 0, 0])
        assert ml.ours("TreeEnsembleRegressor", x, nodes_values_as_tensor=tensor, **model)[0] == leaf


def test_membership_nodes():
    x = np.array([[1.0], [2.0], [5.0], [np.nan]], np.float32)
    model = {
        "tree_roots": (0,),
        "nodes_featureids": (0, 0),
        "nodes_modes": np.array([6, 6], np.uint8),
        "nodes_splits": np.zeros(2, np.float32),
        "nodes_truenodeids": (0, 1),
        "nodes_trueleafs": (1, 1),
        "nodes_falsenodeids": (1, 2),
        "nodes_falseleafs": (0, 1),
        "leaf_targetids": (0, 0, 0),
        "leaf_weights": np.array([10, 20, 30], np.float32),
        "membership_values": np.array([1, 3, np.nan, 2, np.nan], np.float32),
        "n_targets": 1,
    }
    assert trees.tree_ensemble(x, **model).ravel().tolist() == [10, 20, 30, 30]
    tracked = trees.tree_ensemble(x, nodes_missing_value_tracks_true=(0, 1), **model)
    assert tracked.ravel().tolist() == [10, 20, 30, 20]


ONE = {
    "nodes_treeids": (0, 0, 0),
    "nodes_nodeids": (0, 1, 2),
    "nodes_featureids": (0, 0, 0),
    "nodes_modes": ("BRANCH_LEQ", "LEAF", "LEAF"),
    "nodes_values": (0.0, 0.0, 0.0),
    "nodes_truenodeids": (1, 0, 0),
    "nodes_falsenodeids": (2, 0, 0),
    "target_treeids": (0, 0),
    "target_nodeids": (1, 2),
    "target_ids": (0, 0),
    "target_weights": (1.0, 2.0),
}
BROKEN = {
    "missing node": ({"nodes_truenodeids": (7, 0, 0)}, "no node"),
    "feature": ({"nodes_featureids": (3, 0, 0)}, "feature 3 of rows that have 3"),
    "target": ({"target_ids": (0, 4)}, "target 4 of 1"),
    "mode": ({"nodes_modes": ("BRANCH_XOR", "LEAF", "LEAF")}, "not known"),
    "twice": ({"nodes_nodeids": (0, 1, 1)}, "twice"),
    "lengths": ({"nodes_values": (0.0,)}, "differ in length"),
    "no root": ({"nodes_truenodeids": (0, 0, 0), "nodes_modes": ("BRANCH_LEQ", "LEAF", "LEAF"),
                 "nodes_falsenodeids": (0, 0, 0), "nodes_treeids": (0, 1, 1), "target_treeids": (1, 1)}, "no root"),
    "cycle": ({"nodes_modes": ("BRANCH_LEQ", "BRANCH_LEQ", "BRANCH_LEQ"), "nodes_truenodeids": (1, 2, 1),
               "nodes_falsenodeids": (1, 2, 1), "target_treeids": (), "target_nodeids": (), "target_ids": (),
               "target_weights": ()}, "cycle"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_trees_are_refused(ml, name):
    changes, message = BROKEN[name]
    with pytest.raises(ValueError, match=f"TreeEnsembleRegressor: .*{message}"):
        ml.ours("TreeEnsembleRegressor", X, **{**ONE, **changes})
