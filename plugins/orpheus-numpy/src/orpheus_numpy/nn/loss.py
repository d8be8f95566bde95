"""NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.

Sources: https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html, onnx__SoftmaxCrossEntropyLoss.html
"""

from __future__ import annotations

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver, widen


def negative_log_likelihood_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    *,
    ignore_index: int | None = None,
    reduction: str = "mean",
) -> Array:
    """NegativeLogLikelihoodLoss: input [N, C, ...] of log-probabilities, target [N, ...] -> [N, ...] or a scalar.

    Raises ModelError for a target outside [0, C) that is not ``ignore_index``, or an unknown reduction.
    """
    return deliver(_pick(widen(input), target, weight, ignore_index, reduction), input.dtype)


def softmax_cross_entropy_loss(
    scores: Array, labels: Array, weights: Array | None = None, *,
    ignore_index: int | None = None, reduction: str = "mean",
) -> tuple[Array, Array]:  # fmt: skip
    """SoftmaxCrossEntropyLoss: scores [N, C, ...], labels [N, ...] -> the loss and log_prob, of the shape of scores."""
    x = widen(scores)
    shifted = x - x.max(axis=1, keepdims=True)
    logs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    loss = _pick(logs, labels, weights, ignore_index, reduction)
    return deliver(loss, scores.dtype), deliver(logs, scores.dtype)


def _pick(
    logs: Array, target: Array, weight: Array | None, ignore_index: int | None, reduction: str
) -> Array:
    classes = logs.shape[1]
    counted = np.ones(target.shape, bool) if ignore_index is None else target != ignore_index
    index = np.where(counted, target, 0)
    if index.size and not 0 <= int(index.min()) <= int(index.max()) < classes:
        raise ModelError(
            f"a class index lies outside [0, {classes}) and is not ignore_index ({ignore_index})"
        )
    share = counted.astype(logs.dtype) if weight is None else np.where(counted, widen(weight)[index], 0)
    loss = -np.take_along_axis(logs, index[:, None], axis=1)[:, 0] * share
    if reduction == "none":
        return loss
    if reduction == "sum":
        return np.asarray(loss.sum())
    if reduction != "mean":
        raise ModelError(f"reduction must be none, sum or mean, got {reduction!r}")
    return np.asarray(loss.sum() / share.sum())
