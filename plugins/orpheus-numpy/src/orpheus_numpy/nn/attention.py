"""Scaled dot-product attention: Attention with masks, windows, caches and grouped heads, and FlexAttention.

Shapes: B batch, H heads of Q, G heads of K and V (H a multiple of G: head h reads K and V of h // (H / G)), L queries,
S keys, D and E the head sizes of K and V. Everything runs as [B, G, H / G, L, .] so that grouped heads broadcast.

Sources: https://onnx.ai/onnx/operators/onnx__Attention.html and onnx_ai.onnx.preview_FlexAttention.html;
A. Vaswani et al., Attention Is All You Need, 2017; J. Ainslie et al., GQA, 2023.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array, DType
from orpheus_numpy.nn.precision import deliver, widen
from orpheus_numpy.nn.softmax import rounded, softmax

#: A modifier subgraph of FlexAttention.
Modifier = Callable[..., Any]


def attention(
    Q: Array, K: Array, V: Array, attn_mask: Array | None = None, past_key: Array | None = None,
    past_value: Array | None = None, nonpad_kv_seqlen: Array | None = None, *,
    is_causal: int = 0, kv_num_heads: int | None = None, left_window_size: int = -1,
    q_num_heads: int | None = None, qk_matmul_output_mode: int = 0, right_window_size: int = -1,
    scale: float | None = None, softcap: float = 0.0, softmax_precision: int | None = None,
) -> tuple[Array, Array, Array, Array]:  # fmt: skip
    """Attention: returns Y, present_key, present_value and qk_matmul_output.

    Q, K, V are [B, heads, length, size], or [B, length, heads * size] with the head counts as attributes; Y has
    Q's rank. The operator is a function of others, each of which rounds to Q's type, and so does every step here. A
    query that may attend no key gives zeros. Raises ModelError for heads or shapes that do not fit together.
    """
    packed = Q.ndim == 3
    q = _heads(Q, q_num_heads, "Q", "q_num_heads")
    k = _heads(K, kv_num_heads, "K", "kv_num_heads")
    v = _heads(V, kv_num_heads, "V", "kv_num_heads")
    past = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k = np.concatenate((past_key, k), axis=2)
        v = np.concatenate((past_value, v), axis=2)
    elif past_key is not None or past_value is not None:
        raise ModelError("Attention: past_key and past_value come together or not at all")
    batch, heads, queries, size = q.shape
    keys = k.shape[2]
    raw = _scores(q, k, 1 / math.sqrt(size) if scale is None else scale)
    capped = rounded(softcap * np.tanh(raw / softcap), Q.dtype) if softcap else raw
    offset: Array = np.full((1, 1), past)
    if past_key is None and nonpad_kv_seqlen is not None:
        offset = nonpad_kv_seqlen.reshape(-1, 1) - queries
    allowed = _visible(offset, queries, keys, bool(is_causal), left_window_size, right_window_size)
    if nonpad_kv_seqlen is not None:
        allowed = allowed & (np.arange(keys) < nonpad_kv_seqlen.reshape(-1, 1, 1, 1))
    biased = rounded(_masked(capped, allowed, attn_mask), Q.dtype)
    dtype = Q.dtype if softmax_precision is None else DType.from_onnx(softmax_precision).numpy
    weights = rounded(softmax(biased, dtype), Q.dtype)
    y = _weighted(weights, v)
    if packed:
        y = y.transpose(0, 2, 1, 3).reshape(batch, queries, heads * v.shape[3])
    stages = (raw, capped, biased, weights)
    if not 0 <= qk_matmul_output_mode < len(stages):
        raise ModelError(f"Attention: qk_matmul_output_mode must be 0 to 3, got {qk_matmul_output_mode}")
    return deliver(y, Q.dtype), k, v, deliver(stages[qk_matmul_output_mode], Q.dtype)


def flex_attention(
    Q: Array, K: Array, V: Array, *, prob_mod: Modifier | None = None, score_mod: Modifier | None = None,
    scale: float | None = None, softmax_precision: int | None = None,
) -> Array:  # fmt: skip
    """ai.onnx.preview FlexAttention: Q, K, V [B, heads, length, size] -> [B, H, L, E].

    The subgraphs change the scores and the probabilities [B, H, L, S], in the type of ``softmax_precision``
    (default float32, float64 for float64). Raises ModelError when the heads do not fit together.
    """
    for name, x in (("Q", Q), ("K", K), ("V", V)):
        if x.ndim != 4:
            raise ModelError(f"FlexAttention: {name} must have rank 4, has shape {list(x.shape)}")
    scores = _scores(Q, K, 1 / math.sqrt(Q.shape[-1]) if scale is None else scale)
    dtype = scores.dtype if softmax_precision is None else DType.from_onnx(softmax_precision).numpy
    scores = _modified(scores.astype(dtype, copy=False), score_mod)
    probabilities = _modified(softmax(scores, dtype), prob_mod)
    return deliver(_weighted(widen(probabilities).astype(widen(Q).dtype, copy=False), V), Q.dtype)


def _modified(x: Array, modifier: Modifier | None) -> Array:
    if modifier is None:
        return x
    result = modifier(x)
    return np.asarray(result[0] if isinstance(result, (tuple, list)) else result)


def _heads(x: Array, count: int | None, name: str, attribute: str) -> Array:
    """[B, heads, length, size] from that or from [B, length, heads * size]."""
    if x.ndim == 4:
        return x
    if x.ndim != 3 or not count or x.shape[2] % count:
        raise ModelError(
            f"Attention: {name} {list(x.shape)} needs rank 4, or rank 3 and {attribute} (has {count})"
        )
    apart: Array = x.reshape(x.shape[0], x.shape[1], count, x.shape[2] // count)
    return apart.transpose(0, 2, 1, 3)


def _scores(q: Array, k: Array, scale: float) -> Array:
    """(Q * sqrt(scale)) (K * sqrt(scale))^T, [B, H, L, S], rounded to the type of Q."""
    batch, heads, queries, size = q.shape
    groups = k.shape[1]
    if not groups or heads % groups or k.shape[3] != size:
        raise ModelError(
            f"attention: {heads} query heads of size {size} do not fit {groups} key heads of size {k.shape[3]}"
        )
    rows, columns = widen(q), widen(k)
    root = rounded(np.sqrt(np.asarray(scale)), q.dtype).astype(rows.dtype)
    rows = rounded(rows * root, q.dtype).reshape(batch, groups, heads // groups, queries, size)
    columns = rounded(columns * root, q.dtype)[:, :, None].swapaxes(-1, -2)
    return rounded(np.matmul(rows, columns).reshape(batch, heads, queries, k.shape[2]), q.dtype)


def _weighted(weights: Array, v: Array) -> Array:
    """Weights [B, H, L, S] times V [B, G, S, E], [B, H, L, E]."""
    batch, heads, queries, keys = weights.shape
    grouped = weights.reshape(batch, v.shape[1], heads // v.shape[1], queries, keys)
    summed: Array = np.matmul(grouped, widen(v)[:, :, None])
    return summed.reshape(batch, heads, queries, v.shape[3])


def _visible(offset: Array, queries: int, keys: int, causal: bool, left: int, right: int) -> Array:
    """Which keys a query may attend by position, [B or 1, 1, L, S]; ``offset`` [B or 1, 1] is query 0's."""
    at = (offset + np.arange(queries))[:, None, :, None]
    key = np.arange(keys)
    allowed = np.ones((at.shape[0], 1, queries, keys), bool)
    if causal:
        allowed &= key <= at
    if left >= 0:
        allowed &= key >= at - left
    if right >= 0:
        allowed &= key <= at + right
    return allowed


def _masked(scores: Array, allowed: Array, mask: Array | None) -> Array:
    """Scores with -inf where a key is not allowed, and with the model's own mask applied."""
    lowest = scores.dtype.type(-np.inf)
    if mask is not None:
        missing = scores.shape[-1] - mask.shape[-1]
        if missing > 0 and mask.shape[-1] != 1:
            fill: Any = False if mask.dtype == bool else -np.inf
            pads = [(0, 0)] * (mask.ndim - 1) + [(0, missing)]
            mask = np.pad(mask if mask.dtype == bool else widen(mask), pads, constant_values=fill)
        if mask.dtype == bool:
            allowed = allowed & mask
        else:
            scores = scores + widen(mask).astype(scores.dtype, copy=False)
    return scores if allowed.all() else np.where(allowed, scores, lowest)
