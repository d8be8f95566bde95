"""What classifiers and regressors do with their scores: post transforms, labels, the two columns of a binary model."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from orpheus_core.types import Array

TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


def post_transform(scores: Array, name: str, op: str) -> Array:
    """Scores ``(N, classes)`` transformed along the classes; ValueError for an unknown name.

    SOFTMAX_ZERO leaves zeros at zero and gives the other scores their softmax; PROBIT is the inverse of the normal
    distribution function (NaN outside 0 to 1).
    """
    if name == "NONE":
        return scores
    if name == "LOGISTIC":
        return logistic(scores)
    if name == "PROBIT":
        return np.vectorize(_probit, otypes=[np.float64])(scores) if scores.size else scores
    if name not in TRANSFORMS:
        raise ValueError(f"{op}: post_transform {name!r} is not one of {', '.join(TRANSFORMS)}")
    weights = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
    if name == "SOFTMAX_ZERO":
        weights = np.where(np.abs(scores) > 1e-7, weights, 0)
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / np.where(total == 0, 1, total))


def logistic(scores: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(scores))
    return np.asarray(np.where(scores >= 0, 1, small) / (1 + small))


def _probit(p: float) -> float:
    if 0 < p < 1:
        return NormalDist().inv_cdf(p)
    return {0.0: -np.inf, 1.0: np.inf}.get(float(p), np.nan)


def two_columns(score: Array, name: str, complement: bool, op: str) -> Array:
    """The scores ``(N, 2)`` of a binary model that computes one score ``(N,)``, that of the second class.

    LOGISTIC gives both probabilities. Otherwise the first class has ``1 - score`` (``complement``: the score is a
    probability) or ``-score``; a pair has no softmax beyond that, and every runtime leaves it so.
    """
    if name == "LOGISTIC":
        return np.stack([logistic(-score), logistic(score)], axis=1)
    pair = np.stack([1 - score if complement else -score, score], axis=1)
    return pair if name.startswith("SOFTMAX") else post_transform(pair, name, op)


def labels_of(ints: Sequence[int] | None, strings: Sequence[str] | None, op: str) -> Array:
    """The class labels, int64 or strings; ValueError when neither list is given."""
    if strings:
        return np.array(strings, dtype=object)
    if ints:
        return np.array(ints, np.int64)
    raise ValueError(f"{op}: has no class labels")


def matrix(data: Array, op: str, dtype: type = np.float64) -> Array:
    """The input ``(N, F)`` (or one row ``(F,)``) as a matrix of ``dtype``."""
    if data.ndim not in (1, 2):
        raise ValueError(f"{op}: needs shape [N, F] or [F], has {data.shape}")
    return np.atleast_2d(data).astype(dtype)
