"""LinearClassifier, LinearRegressor, SVMClassifier, SVMRegressor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.ml.post import labels_of, logistic, matrix, two_columns
from orpheus_numpy.ml.post import post_transform as transform


def _affine(
    data: Array, coefficients: Sequence[float], intercepts: Sequence[float], rows: int, op: str
) -> Array:
    weights = np.array(coefficients, np.float64)
    if rows < 1 or weights.size != rows * data.shape[1] or len(intercepts) not in (0, rows):
        raise ValueError(
            f"{op}: {weights.size} coefficients and {len(intercepts)} intercepts for {rows} scores "
            f"of {data.shape[1]} features"
        )
    scores = data @ weights.reshape(rows, -1).T
    return scores + np.array(intercepts, np.float64) if intercepts else scores


def linear_classifier(
    data: Array,
    *,
    coefficients: Sequence[float],
    intercepts: Sequence[float] = (),
    classlabels_ints: Sequence[int] | None = None,
    classlabels_strings: Sequence[str] | None = None,
    multi_class: int = 0,
    post_transform: str = "NONE",
) -> tuple[Array, Array]:
    """ai.onnx.ml LinearClassifier: (labels (N,), scores (N, classes) float32).

    With one row of coefficients and two labels the score is that of the second label, which wins above 0; else the
    largest score wins. ``multi_class`` tells how the model was trained, and changes nothing here.
    """
    labels = labels_of(classlabels_ints, classlabels_strings, "LinearClassifier")
    x = matrix(data, "LinearClassifier")
    rows = len(intercepts) or (len(coefficients) // x.shape[1] if x.shape[1] else 0)
    scores = _affine(x, coefficients, intercepts, rows, "LinearClassifier")
    if rows == 1 and len(labels) == 2:
        won = (scores[:, 0] > 0).astype(np.int64)
        return labels[won], two_columns(scores[:, 0], post_transform, True, "LinearClassifier").astype(
            np.float32
        )
    if rows != len(labels):
        raise ValueError(f"LinearClassifier: {rows} scores for {len(labels)} labels")
    won = scores.argmax(axis=1)
    return labels[won], transform(scores, post_transform, "LinearClassifier").astype(np.float32)


def linear_regressor(
    data: Array,
    *,
    coefficients: Sequence[float] = (),
    intercepts: Sequence[float] = (),
    targets: int = 1,
    post_transform: str = "NONE",
) -> Array:
    """ai.onnx.ml LinearRegressor: ``data @ coefficients.T + intercepts``, (N, targets) float32."""
    scores = _affine(matrix(data, "LinearRegressor"), coefficients, intercepts, targets, "LinearRegressor")
    return transform(scores, post_transform, "LinearRegressor").astype(np.float32)


def _kernel(data: Array, vectors: Array, kind: str, params: Sequence[float], op: str) -> Array:
    """The kernel function of each row with each support vector, (N, vectors)."""
    gamma, coef0, degree = (*params, 0.0, 0.0, 0.0)[:3]
    if kind == "RBF":
        squares = (data * data).sum(axis=1)[:, None] + (vectors * vectors).sum(axis=1) - 2 * data @ vectors.T
        return np.asarray(np.exp(-gamma * np.maximum(squares, 0)))
    product = data @ vectors.T
    if kind == "LINEAR":
        return product
    if kind == "POLY":
        return (gamma * product + coef0) ** degree
    if kind == "SIGMOID":
        return np.tanh(gamma * product + coef0)
    raise ValueError(f"{op}: kernel_type {kind!r} is not one of LINEAR, POLY, RBF, SIGMOID")


def _vectors(values: Sequence[float], count: int, features: int, op: str) -> Array:
    if count * features != len(values):
        raise ValueError(f"{op}: {len(values)} numbers for {count} support vectors of {features} features")
    return np.array(values, np.float64).reshape(count, features)


def svm_regressor(
    data: Array,
    *,
    coefficients: Sequence[float] = (),
    support_vectors: Sequence[float] = (),
    n_supports: int = 0,
    rho: Sequence[float] = (0.0,),
    kernel_type: str = "LINEAR",
    kernel_params: Sequence[float] = (),
    one_class: int = 0,
    post_transform: str = "NONE",
) -> Array:
    """ai.onnx.ml SVMRegressor: (N, 1) float32; ``one_class`` gives 1 (above 0) or -1.

    Without support vectors the coefficients are the weights of a linear model.
    """
    op = "SVMRegressor"
    x = matrix(data, op)
    if n_supports > 0:
        vectors = _vectors(support_vectors, n_supports, x.shape[1], op)
        x = _kernel(x, vectors, kernel_type, kernel_params, op)
    scores = _affine(x, coefficients, rho[:1], 1, op)
    if one_class:
        return np.where(scores > 0, 1, -1).astype(np.float32)
    return transform(scores, post_transform, op).astype(np.float32)


def svm_classifier(
    data: Array,
    *,
    coefficients: Sequence[float] = (),
    support_vectors: Sequence[float] = (),
    vectors_per_class: Sequence[int] = (),
    rho: Sequence[float] = (),
    prob_a: Sequence[float] = (),
    prob_b: Sequence[float] = (),
    classlabels_ints: Sequence[int] | None = None,
    classlabels_strings: Sequence[str] | None = None,
    kernel_type: str = "LINEAR",
    kernel_params: Sequence[float] = (),
    post_transform: str = "NONE",
) -> tuple[Array, Array]:
    """ai.onnx.ml SVMClassifier: (labels (N,), scores float32), in the arrangement of LIBSVM.

    One decision for each pair of classes; the class with most votes wins, the first of equals. The scores are the
    probabilities (N, classes) where ``prob_a`` is given, else the decisions (N, pairs), and for two classes the
    decision as two columns. Without support vectors, one linear score for each class. Chang and Lin, LIBSVM, 2011.
    """
    op = "SVMClassifier"
    labels = labels_of(classlabels_ints, classlabels_strings, op)
    x, classes = matrix(data, op), len(labels)
    if not vectors_per_class:
        scores = _affine(x, coefficients, (), classes, op) + (rho[0] if rho else 0.0)
        return labels[scores.argmax(axis=1)], transform(scores, post_transform, op).astype(np.float32)
    pairs = [(i, j) for i in range(classes) for j in range(i + 1, classes)]
    count = sum(vectors_per_class)
    weights = np.array(coefficients, np.float64)
    fits = len(vectors_per_class) == classes and min(vectors_per_class) >= 0 and len(rho) >= len(pairs)
    if not fits or weights.size != (classes - 1) * count:
        raise ValueError(
            f"{op}: {weights.size} coefficients, {len(rho)} rho and vectors {list(vectors_per_class)}"
        )
    weights = weights.reshape(classes - 1, count)
    values = _kernel(x, _vectors(support_vectors, count, x.shape[1], op), kernel_type, kernel_params, op)
    ends = np.cumsum([0, *vectors_per_class])
    parts = [slice(a, b) for a, b in pairwise(ends)]
    decisions = np.stack(
        [
            values[:, parts[i]] @ weights[j - 1, parts[i]]
            + values[:, parts[j]] @ weights[i, parts[j]]
            + rho[p]
            for p, (i, j) in enumerate(pairs)
        ],
        axis=1,
    )
    votes = np.zeros((len(x), classes), np.int64)
    for p, (i, j) in enumerate(pairs):
        votes[:, i] += decisions[:, p] > 0
        votes[:, j] += decisions[:, p] <= 0
    won = labels[votes.argmax(axis=1)]
    if prob_a:
        if len(prob_a) != len(pairs) or len(prob_b) != len(pairs):
            raise ValueError(f"{op}: {len(prob_a)} prob_a and {len(prob_b)} prob_b for {len(pairs)} pairs")
        wins = logistic(-(decisions * np.array(prob_a) + np.array(prob_b))).clip(1e-7, 1 - 1e-7)
        scores = transform(_couple(wins, pairs, classes), post_transform, op)
    elif classes == 2:
        scores = two_columns(decisions[:, 0], post_transform, False, op)
    else:
        scores = transform(decisions, post_transform, op)
    return won, scores.astype(np.float32)


def _couple(wins: Array, pairs: Sequence[tuple[int, int]], classes: int) -> Array:
    """Class probabilities from pairwise ones: the minimum of Wu, Lin and Weng, JMLR 5 (2004), second method.

    It minimises the sum over pairs of ``(r_ji p_i - r_ij p_j)^2`` with the probabilities adding to 1: the
    linear system ``[[Q, 1], [1, 0]] [p, b] = [0, 1]``.
    """
    if classes == 2:
        return np.concatenate([wins, 1 - wins], axis=1)
    r = np.zeros((len(wins), classes, classes))
    for p, (i, j) in enumerate(pairs):
        r[:, i, j], r[:, j, i] = wins[:, p], 1 - wins[:, p]
    system = np.ones((len(wins), classes + 1, classes + 1))
    system[:, :classes, :classes] = -r * r.transpose(0, 2, 1)
    diagonal = np.arange(classes)
    system[:, diagonal, diagonal] = (r * r).sum(axis=1)
    system[:, classes, classes] = 0
    right = np.zeros((len(wins), classes + 1, 1))
    right[:, classes] = 1
    return np.asarray(np.linalg.solve(system, right)[:, :classes, 0])
