"""What sequence models use beside softmax attention: RotaryEmbedding, LinearAttention, CausalConvWithState.

Sources: their pages on https://onnx.ai/onnx/operators/; J. Su et al., RoFormer, 2021; S. Yang et al.,
Gated Delta Networks, 2024.
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.epilogue import activation_step
from orpheus_numpy.nn.precision import deliver, widen


def rotary_embedding(
    X: Array, cos_cache: Array, sin_cache: Array, position_ids: Array | None = None, *,
    interleaved: int = 0, num_heads: int | None = None, rotary_embedding_dim: int = 0,
) -> Array:  # fmt: skip
    """RotaryEmbedding: X [B, heads, L, D], or [B, L, heads * D] with ``num_heads``; the result has X's shape.

    The caches are [positions, R / 2] with position_ids [B, L], else [B, L, R / 2]; R is ``rotary_embedding_dim``
    or D. Raises ModelError when the sizes do not fit.
    """
    packed = X.ndim == 3
    if packed and (not num_heads or X.shape[2] % num_heads):
        raise ModelError(f"RotaryEmbedding: X {list(X.shape)} of rank 3 needs num_heads, has {num_heads}")
    # [B, L, heads, D]
    x = (
        X.reshape(*X.shape[:2], num_heads, X.shape[2] // num_heads)
        if packed and num_heads
        else X.transpose(0, 2, 1, 3)
    )
    size = rotary_embedding_dim or x.shape[-1]
    cos, sin = (
        widen(c if position_ids is None else c[position_ids])[:, :, None] for c in (cos_cache, sin_cache)
    )
    if cos.shape[-1] * 2 != size or sin.shape != cos.shape:
        raise ModelError(
            f"RotaryEmbedding: caches of width {cos.shape[-1]} do not fit {size} rotated elements"
        )
    y = widen(x).copy()
    one, two = (
        (slice(0, size, 2), slice(1, size, 2))
        if interleaved
        else (slice(0, size // 2), slice(size // 2, size))
    )
    real, imaginary = widen(x)[..., one], widen(x)[..., two]
    y[..., one] = cos * real - sin * imaginary
    y[..., two] = sin * real + cos * imaginary
    y = y.reshape(X.shape) if packed else y.transpose(0, 2, 1, 3)
    return np.ascontiguousarray(deliver(y, X.dtype))


def linear_attention(
    query: Array, key: Array, value: Array, past_state: Array | None = None, decay: Array | None = None,
    beta: Array | None = None, *,
    q_num_heads: int, kv_num_heads: int, chunk_size: int = 64, scale: float = 0.0, update_rule: str = "gated_delta",
) -> tuple[Array, Array]:  # fmt: skip
    """LinearAttention, token by token: query, key, value [B, T, heads * size] -> output [B, T, H * E], present_state.

    The state [B, G, D, E] is kept in float32. ``chunk_size`` is a hint for chunked algorithms and not used here.
    Raises ModelError for an unknown rule, an operand the rule needs and misses, or heads that do not fit.
    """
    if update_rule not in ("linear", "gated", "delta", "gated_delta"):
        raise ModelError(
            f"LinearAttention: update_rule must be linear, gated, delta or gated_delta, got {update_rule!r}"
        )
    gated, delta = "gated" in update_rule, "delta" in update_rule
    if (gated and decay is None) or (delta and beta is None):
        raise ModelError(
            f"LinearAttention: update_rule {update_rule!r} needs {'decay' if decay is None else 'beta'}"
        )
    if kv_num_heads < 1 or q_num_heads % kv_num_heads or query.shape[2] % q_num_heads:
        raise ModelError(
            f"LinearAttention: {q_num_heads} query heads do not fit {kv_num_heads} or {list(query.shape)}"
        )
    batch, steps = query.shape[:2]
    groups = kv_num_heads
    size = query.shape[2] // q_num_heads
    q = widen(query).reshape(batch, steps, groups, q_num_heads // groups, size)
    k = widen(key).reshape(batch, steps, groups, size)
    v = widen(value).reshape(batch, steps, groups, value.shape[2] // groups)
    state = np.zeros((batch, groups, size, v.shape[-1]), q.dtype)
    if past_state is not None:
        state += widen(past_state)
    # [B, T, G, D or 1, 1]
    keep = (
        np.exp(widen(decay)).reshape(batch, steps, groups, decay.shape[2] // groups, 1)
        if gated and decay is not None
        else None
    )
    rate = widen(beta).reshape(batch, steps, beta.shape[2], 1) if delta and beta is not None else None
    y = np.empty((batch, steps, groups, q_num_heads // groups, v.shape[-1]), q.dtype)
    for t in range(steps):
        if keep is not None:
            state *= keep[:, t]
        update = v[:, t]
        if rate is not None:
            update = rate[:, t] * (update - np.matmul(k[:, t, :, None], state)[:, :, 0])
        state += k[:, t, :, :, None] * update[:, :, None]
        np.matmul(q[:, t], state, out=y[:, t])
    y *= scale or 1 / math.sqrt(size)
    kept = query.dtype if past_state is None else past_state.dtype
    return deliver(y.reshape(batch, steps, q_num_heads * v.shape[3]), query.dtype), deliver(state, kept)


def causal_conv_with_state(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    past_state: Array | None = None,
    *,
    activation: str = "none",
) -> tuple[Array, Array]:
    """CausalConvWithState: input [B, C, L], weight [C, 1, k], bias [C], past_state [B, C, k - 1] -> output and state.

    Raises ModelError for shapes that do not fit or an unknown activation.
    """
    if input.ndim != 3 or weight.ndim != 3 or weight.shape[:2] != (input.shape[1], 1):
        raise ModelError(
            f"CausalConvWithState: weight {list(weight.shape)} does not fit input {list(input.shape)}"
        )
    if activation not in ("none", "silu", "swish"):
        raise ModelError(f"CausalConvWithState: activation must be none, silu or swish, got {activation!r}")
    batch, channels, length = input.shape
    taps = weight.shape[2]
    if past_state is None:
        past_state = np.zeros((batch, channels, taps - 1), input.dtype)
    sequence = np.concatenate((past_state, input), axis=2)
    x, w = widen(sequence), widen(weight)
    y = x[:, :, :length] * w[:, :, 0]
    for tap in range(1, taps):
        y += x[:, :, tap : tap + length] * w[:, :, tap]
    if bias is not None:
        y += widen(bias)[:, None]
    if activation != "none":
        swish = activation_step("Swish", (1.0,))
        if swish is not None:
            swish(y)
    return deliver(y, input.dtype), sequence[:, :, length:].copy()
