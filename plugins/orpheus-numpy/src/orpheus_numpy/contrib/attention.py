"""Multi-head attention of com.microsoft. Source: ContribOperators.md of ONNX Runtime; Vaswani et al. 2017.

Inside, queries, keys and values are [batch, heads, length, size]. Masked positions get ``mask_filter_value`` added, so
a row that is masked whole still gives an average; causal masking leaves nothing of later positions.
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.errors import ModelError, UnsupportedModelError
from orpheus_core.types import Array
from orpheus_numpy.math.softmax import softmax
from orpheus_numpy.nn.precision import deliver, widen

_FILTER = -10000.0


def _heads(x: Array, heads: int) -> Array:
    """[batch, length, hidden] as [batch, heads, length, size]."""
    if x.shape[-1] % heads:
        raise ModelError(f"a hidden size of {x.shape[-1]} does not divide into {heads} heads")
    return x.reshape(*x.shape[:2], heads, -1).swapaxes(1, 2)


def _attend(
    q: Array, k: Array, v: Array, bias: Array | None, scale: float | None, causal: int, past: int
) -> tuple[Array, Array]:
    """softmax(scale q k^T + bias) v as [batch, length, heads * size], and the scores before the softmax.

    ``past`` is the position of the first query among the keys.
    """
    scores = np.matmul(q, k.swapaxes(-1, -2)) * (scale or 1 / math.sqrt(q.shape[-1]))
    if bias is not None:
        scores = scores + bias
    if causal:
        length, total = scores.shape[-2:]
        later = np.arange(total) > np.arange(past, past + length)[:, None]
        scores = np.where(later, -np.inf, scores)
    y = np.matmul(softmax(scores), v).swapaxes(1, 2)
    return y.reshape(*y.shape[:2], -1), scores


def _mask_bias(mask: Array, batch: int, length: int, total: int, value: float) -> Array:
    """A mask in any of its forms as something to add to scores [batch, heads, length, total].

    [batch]: number of valid keys; [2 batch]: their ends, then their starts; [3 batch + 2]: their numbers first;
    [batch, total], [batch, length, total], [batch, 1, most, most]: 1 where valid.
    """
    if mask.ndim == 1:
        keys = np.arange(total)
        valid = keys < mask[:batch, None]
        if mask.size == 2 * batch:
            valid &= keys >= mask[batch:, None]
        elif mask.size not in (batch, 3 * batch + 2):
            raise ModelError(f"a mask of {mask.size} numbers does not fit batch size {batch}")
        valid = valid[:, None, None]
    elif mask.ndim == 2:
        valid = (mask != 0)[:, None, None]
    elif mask.ndim == 3:
        valid = (mask != 0)[:, None]
    else:
        valid = mask[..., total - length : total, :total] != 0
    return np.where(valid, np.float32(0), np.float32(value))


def _added(a: Array | None, b: Array | None) -> Array | None:
    if a is None or b is None:
        return b if a is None else a
    return np.asarray(a + b)


def multi_head_attention(
    query: Array,
    key: Array | None = None,
    value: Array | None = None,
    bias: Array | None = None,
    key_padding_mask: Array | None = None,
    attention_bias: Array | None = None,
    past_key: Array | None = None,
    past_value: Array | None = None,
    past_sequence_length: Array | None = None,
    cache_indirection: Array | None = None,
    *,
    num_heads: int,
    mask_filter_value: float = _FILTER,
    scale: float | None = None,
    unidirectional: int = 0,
) -> tuple[Array, Array, Array, Array]:
    """Attention over projected inputs (MultiHeadAttention).

    query [batch, length, hidden] with key and value of the same rank, or as [batch, heads, length, size], or key
    packed with value as [batch, length, heads, 2, size], or all packed as [batch, length, heads, 3, size]. Gives the
    output [batch, length, hidden], present key and value, and the scores. Raises UnsupportedModelError for the
    decoder's shared buffers.
    """
    if past_sequence_length is not None or cache_indirection is not None:
        raise UnsupportedModelError(
            "MultiHeadAttention with past_sequence_length or cache_indirection (shared decoder buffers) is not"
            " implemented; export the model without past_present_share_buffer"
        )
    dtype = query.dtype
    if query.ndim == 5:
        query, key, value = (np.moveaxis(query, 3, 0)[i].reshape(*query.shape[:2], -1) for i in range(3))
    elif key is not None and key.ndim == 5:
        key, value = (np.moveaxis(key, 3, 0)[i].reshape(*key.shape[:2], -1) for i in range(2))
    if key is None or value is None:
        raise ModelError("MultiHeadAttention needs key and value unless query holds all three in 5 axes")
    parts = [widen(query), widen(key), widen(value)]
    if bias is not None:
        q_size = query.shape[-1]
        k_size = q_size if key.ndim == 3 else key.shape[1] * key.shape[3]
        pieces = np.split(widen(bias), (q_size, q_size + k_size))
        parts = [x + b if x.ndim == 3 else x for x, b in zip(parts, pieces)]
    q, k, v = (_heads(x, num_heads) if x.ndim == 3 else x for x in parts)
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k = np.concatenate([widen(past_key), k], 2)
        v = np.concatenate([widen(past_value), v], 2)
    extra = None if attention_bias is None else widen(attention_bias)
    if key_padding_mask is not None:
        mask = _mask_bias(key_padding_mask, len(q), q.shape[2], k.shape[2], mask_filter_value)
        extra = _added(extra, mask)
    y, scores = _attend(q, k, v, extra, scale, unidirectional, past)
    return deliver(y, dtype), deliver(k, dtype), deliver(v, dtype), deliver(scores, dtype)


def attention(
    input: Array,
    weights: Array,
    bias: Array | None = None,
    mask_index: Array | None = None,
    past: Array | None = None,
    attention_bias: Array | None = None,
    past_sequence_length: Array | None = None,
    *,
    num_heads: int,
    qkv_hidden_sizes: tuple[int, ...] | None = None,
    mask_filter_value: float = _FILTER,
    scale: float | None = None,
    unidirectional: int = 0,
    do_rotary: int = 0,
    rotary_embedding_dim: int = 0,
    past_present_share_buffer: int = 0,
) -> tuple[Array, ...]:
    """Projection by one packed matrix, then attention (Attention).

    input [batch, length, size], weights [size, hidden of q, k and v], bias likewise, past and the second result
    [2, batch, heads, length, size]. Raises UnsupportedModelError for rotary embedding and shared buffers.
    """
    if do_rotary or past_present_share_buffer or past_sequence_length is not None:
        raise UnsupportedModelError(
            "com.microsoft.Attention with do_rotary or past_present_share_buffer is not implemented;"
            " export the model with the standard Attention and RotaryEmbedding"
        )
    projected = np.matmul(widen(input), widen(weights))
    if bias is not None:
        projected = projected + widen(bias)
    sizes = qkv_hidden_sizes or (weights.shape[1] // 3,) * 3
    parts = np.split(projected, (sizes[0], sizes[0] + sizes[1]), -1)
    q, k, v = (_heads(x, num_heads) for x in parts)
    if past is not None:
        k = np.concatenate([widen(past[0]), k], 2)
        v = np.concatenate([widen(past[1]), v], 2)
    extra = None if attention_bias is None else widen(attention_bias)
    if mask_index is not None:
        extra = _added(extra, _mask_bias(mask_index, len(q), q.shape[2], k.shape[2], mask_filter_value))
    y, _ = _attend(q, k, v, extra, scale, unidirectional, 0 if past is None else past.shape[3])
    if k.shape != v.shape:  # then there is no present: one array holds keys and values
        return (deliver(y, input.dtype),)
    return deliver(y, input.dtype), deliver(np.stack([k, v]), input.dtype)
