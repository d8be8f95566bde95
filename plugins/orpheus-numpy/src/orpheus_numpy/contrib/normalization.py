"""Normalization of a sum or of embeddings, of com.microsoft. Source: ContribOperators.md of ONNX Runtime."""

from __future__ import annotations

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver, widen


def _normalized(
    total: Array, gamma: Array, beta: Array | None, epsilon: float, center: bool = True
) -> tuple[Array, Array, Array]:
    """Rows of ``total`` at mean 0 (when centred) and deviation 1, scaled and shifted; the mean; 1 / deviation."""
    mean = np.mean(total, -1, keepdims=True) if center else np.zeros((*total.shape[:-1], 1), total.dtype)
    centred = total - mean
    inverse = 1 / np.sqrt(np.mean(np.square(centred), -1, keepdims=True) + epsilon)
    y = centred * inverse * widen(gamma)
    return y if beta is None else y + widen(beta), mean, inverse


def _sum(input: Array, skip: Array, bias: Array | None) -> Array:
    total = widen(input) + widen(skip)
    return total if bias is None else total + widen(bias)


def _single(x: Array) -> Array:
    return x.astype(np.float32, copy=False)


def skip_layer_normalization(
    input: Array,
    skip: Array,
    gamma: Array,
    beta: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float = 1e-12,
) -> tuple[Array, Array, Array, Array]:
    """LayerNormalization over the last axis of input + skip + bias [hidden] (SkipLayerNormalization).

    Gives the result, the mean, 1 / deviation (both float32), and the sum.
    """
    total = _sum(input, skip, bias)
    y, mean, inverse = _normalized(total, gamma, beta, epsilon)
    return deliver(y, input.dtype), _single(mean), _single(inverse), deliver(total, input.dtype)


def skip_simplified_layer_normalization(
    input: Array, skip: Array, gamma: Array, bias: Array | None = None, *, epsilon: float = 1e-12
) -> tuple[Array, Array, Array, Array]:
    """As :func:`skip_layer_normalization`, without centring or shift (SkipSimplifiedLayerNormalization)."""
    total = _sum(input, skip, bias)
    y, mean, inverse = _normalized(total, gamma, None, epsilon, center=False)
    return deliver(y, input.dtype), _single(mean), _single(inverse), deliver(total, input.dtype)


def embed_layer_normalization(
    input_ids: Array,
    segment_ids: Array | None,
    word_embedding: Array,
    position_embedding: Array,
    segment_embedding: Array | None,
    gamma: Array,
    beta: Array,
    mask: Array | None = None,
    position_ids: Array | None = None,
    *,
    epsilon: float = 1e-12,
    mask_index_type: int | None = None,
) -> tuple[Array, Array, Array]:
    """LayerNormalization of the sum of word, position and segment embeddings (EmbedLayerNormalization).

    Ids are [batch, sequence], tables [entries, hidden]. Gives [batch, sequence, hidden], the number of words that the
    mask keeps in each row (0 without a mask), and the sum.
    """
    batch, length = input_ids.shape
    positions = np.arange(length) if position_ids is None else position_ids
    total = widen(word_embedding[input_ids]) + widen(position_embedding[positions])
    if segment_ids is not None and segment_embedding is not None:
        total = total + widen(segment_embedding[segment_ids])
    y = _normalized(total, gamma, beta, epsilon)[0]
    kept = np.zeros(batch, np.int32) if mask is None else (mask == 1).sum(1, dtype=np.int32)
    dtype = word_embedding.dtype
    return deliver(y, dtype), kept, deliver(total, dtype)
