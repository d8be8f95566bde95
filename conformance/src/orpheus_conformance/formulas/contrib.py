"""Float operators of com.microsoft in float64. Source: ContribOperators.md of ONNX Runtime."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_conformance.formulas import Compute, formula
from orpheus_conformance.instance import Instance
from orpheus_conformance.standard import standard
from orpheus_core.types import Array

_MS = "com.microsoft"


def _formula(*ops: str) -> Callable[[Compute], Compute]:
    return formula(*ops, domain=_MS, why="it does not know the domain")


def _given(instance: Instance) -> Any:
    return instance.node.attributes


def _inputs(instance: Instance, count: int) -> list[Any]:
    return [*instance.arrays, *(None,) * count][:count]


def _gelu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + np.vectorize(math.erf, otypes=[np.float64])(x / math.sqrt(2))))


@_formula("Gelu", "BiasGelu")
def gelu(instance: Instance) -> tuple[Any, ...]:
    """By the error function, of X or A + B."""
    x, bias = _inputs(instance, 2)
    return (_gelu(x if bias is None else x + bias),)


@_formula("FastGelu")
def fast_gelu(instance: Instance) -> tuple[Any, ...]:
    """By the hyperbolic tangent, of X + bias."""
    x, bias = _inputs(instance, 2)
    x = x if bias is None else x + bias
    return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)


@_formula("QuickGelu")
def quick_gelu(instance: Instance) -> tuple[Any, ...]:
    """X / (1 + exp(-alpha x))."""
    (x,) = instance.arrays
    return (x / (1 + np.exp(-_given(instance)["alpha"] * x)),)


def _activated(y: Array, name: str, params: Any) -> Array:
    if name == "Clip":
        return np.asarray(np.clip(y, *params))
    if name == "LeakyRelu":
        return np.where(y < 0, params[0] * y, y)
    functions: dict[str, Callable[[Array], Array]] = {
        "": np.asarray,
        "Relu": lambda v: np.maximum(v, 0),
        "Sigmoid": lambda v: np.asarray(1 / (1 + np.exp(-v))),
        "Tanh": np.tanh,
    }
    return functions[name](y)


@_formula("FusedConv")
def fused_conv(instance: Instance) -> tuple[Any, ...]:
    """Conv, then Z, then the activation."""
    x, w, b, z = _inputs(instance, 4)
    given = dict(_given(instance))
    name, params = given.pop("activation", ""), given.pop("activation_params", ())
    y = standard("Conv", x, w, b, **given)
    return (_activated(y if z is None else y + z, name, params),)


@_formula("FusedGemm")
def fused_gemm(instance: Instance) -> tuple[Any, ...]:
    """Alpha A B + beta C, then the activation."""
    a, b, c = _inputs(instance, 3)
    given = _given(instance)
    y = given["alpha"] * ((a.T if given["transA"] else a) @ (b.T if given["transB"] else b))
    y = y if c is None else y + given["beta"] * c
    return (_activated(y, given.get("activation", ""), (given.get("activation_alpha"),)),)


@_formula("FusedMatMul")
def fused_matmul(instance: Instance) -> tuple[Any, ...]:
    """Each operand first puts axis 0 behind its batch, then swaps its last two."""
    given = _given(instance)

    def turned(x: Array, letter: str) -> Array:
        if given[f"transBatch{letter}"]:
            x = x.transpose(*range(1, x.ndim - 1), 0, x.ndim - 1)
        return x.swapaxes(-1, -2) if given[f"trans{letter}"] else x

    a, b = instance.arrays
    return (given["alpha"] * (turned(a, "A") @ turned(b, "B")),)


@_formula("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
def skip_normalization(instance: Instance) -> tuple[Any, ...]:
    """The sum, centred unless simplified, over the root of its mean square."""
    simple = instance.node.op == "SkipSimplifiedLayerNormalization"
    x, skip, gamma, *rest = _inputs(instance, 5)
    beta, bias = (None, rest[0]) if simple else rest
    total = x + skip + (0 if bias is None else bias)
    y, mean, inverse = _normalized(total, gamma, beta, _given(instance)["epsilon"], not simple)
    return y, mean, inverse, total


def _normalized(
    total: Array, gamma: Array, beta: Array | None, epsilon: float, centred: bool
) -> tuple[Array, ...]:
    mean = total.mean(-1, keepdims=True) if centred else np.zeros((*total.shape[:-1], 1))
    inverse = 1 / np.sqrt(((total - mean) ** 2).mean(-1, keepdims=True) + epsilon)
    return (total - mean) * inverse * gamma + (0 if beta is None else beta), mean, inverse


@_formula("EmbedLayerNormalization")
def embed_layer_normalization(instance: Instance) -> tuple[Any, ...]:
    """The sum of the embeddings, normalized; and how many words the mask keeps."""
    ids, segments, word, position, segment, gamma, beta, mask, places = _inputs(instance, 9)
    total = word[ids] + position[np.arange(ids.shape[1]) if places is None else places]
    total = total if segments is None else total + segment[segments]
    y, _, _ = _normalized(total, gamma, beta, _given(instance)["epsilon"], True)
    kept = np.zeros(len(ids)) if mask is None else (mask == 1).sum(1)
    return y, kept.astype(np.int32), total


def _attend(q: Array, k: Array, v: Array, mask: Array | None, bias: Array | None, given: Any) -> Array:
    """One head after the other: [batch, heads, length, size] each. Masked keys get -10000, later ones nothing."""
    batch, heads, length, size = q.shape
    total = k.shape[2]
    result = np.zeros((batch, length, heads * v.shape[3]))
    for b, h in np.ndindex(batch, heads):
        scores = q[b, h] @ k[b, h].T * (given.get("scale") or size**-0.5)
        if bias is not None:
            scores = scores + bias[b % len(bias), h % bias.shape[1]]
        if mask is not None:
            valid = np.arange(total) < mask[b] if mask.ndim == 1 else mask[b] != 0
            scores = scores + np.where(valid, 0, -10000.0)
        if given["unidirectional"]:
            scores = np.where(np.arange(total) <= np.arange(total - length, total)[:, None], scores, -np.inf)
        powers = np.exp(scores - scores.max(-1, keepdims=True))
        place = slice(h * v.shape[3], (h + 1) * v.shape[3])
        result[b, :, place] = powers / powers.sum(-1, keepdims=True) @ v[b, h]
    return result


def _split(x: Array, heads: int) -> Array:
    return np.stack(np.split(x, heads, -1), 1)


@_formula("MultiHeadAttention")
def multi_head_attention(instance: Instance) -> tuple[Any, ...]:
    """Attention over projected inputs, with the past before them."""
    q, k, v, bias, mask, extra, past_k, past_v = _inputs(instance, 8)
    given = _given(instance)
    if q.ndim == 5:
        q, k, v = (q[:, :, :, n].reshape(*q.shape[:2], -1) for n in range(3))
    elif k.ndim == 5:
        k, v = (k[:, :, :, n].reshape(*k.shape[:2], -1) for n in range(2))
    heads = given["num_heads"]
    if bias is not None:
        size = q.shape[-1]
        q = q + bias[:size]
        if k.ndim == 3:  # heads apart come projected, bias and all
            k, v = k + bias[size : 2 * size], v + bias[2 * size :]
    q, k, v = (_split(x, heads) if x.ndim == 3 else x for x in (q, k, v))
    if past_k is not None:
        k, v = np.concatenate([past_k, k], 2), np.concatenate([past_v, v], 2)
    return _attend(q, k, v, mask, extra, given), k, v


@_formula("Attention")
def attention(instance: Instance) -> tuple[Any, ...]:
    """Projection by one matrix, then attention."""
    x, weights, bias, mask, past, extra = _inputs(instance, 6)
    given = _given(instance)
    projected = x @ weights + (0 if bias is None else bias)
    q, k, v = (_split(part, given["num_heads"]) for part in np.split(projected, 3, -1))
    if past is not None:
        k, v = np.concatenate([past[0], k], 2), np.concatenate([past[1], v], 2)
    return _attend(q, k, v, mask, extra, given), np.stack([k, v])
