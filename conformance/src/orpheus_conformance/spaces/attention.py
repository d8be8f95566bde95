"""Attention in its forms: softmax, flexible, linear; and rotary position embedding."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.bodies import body
from orpheus_conformance.case import Body, Case, Operand
from orpheus_conformance.conditioned import Conditioned, greatest
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import Evidence, Ulps
from orpheus_core.graph import Graph, Value
from orpheus_core.ops.build import make_node
from orpheus_core.types import DType, TensorType

_NAN = {"special": "a NaN reaches results by way of a softmax, in places that masks and their values decide"}


def _length(case: Case) -> int:
    total = 0
    for operand in case.inputs:
        if isinstance(operand, Operand):
            total += max((1, *operand.shape))
    return total


def _weighted(e: Evidence) -> float:
    """Weights of at most one, rounded, times the greatest value; scores are sums of products."""
    q, k, v = (greatest(x) for x in e.inputs[:3])
    return max(1.0, v) * max(1.0, q * k)


@space("Attention", Conditioned(_length, "two sums of products, each step rounded, and a softmax between; "
                                "the oracle has the root of scale in float32",
                                ulps=32.0, magnitude=_weighted, compute="float32"), without=_NAN)  # fmt: skip
def attention(d: Draw) -> Layer:
    """Rank 4 or packed rank 3; grouped heads, masks, causality, windows, softcap, a cache, and outputs for each.

    Masks, causality and windows together may leave a query no key at all: its row is zero, as the page says.
    """
    key_type, value_type = d.dtype("T1"), d.dtype("T2")
    if d.flag():
        value_type = d.dtype("T2", {key_type}) if key_type in d.dtypes("T2") else value_type
    groups, times = d.choose((1, 2)), d.choose((1, 2, 3))
    heads, batch = groups * times, d.choose((1, 2))
    queries, keys = d.choose((2, 1, 3)), d.choose((3, 1, 2, 5))
    size, wide = d.choose((2, 1, 4)), d.choose((2, 1, 3))
    packed = d.rank("Q", (4, 3)) == 3

    def operand(name: str, dtype: str, count: int, length: int, each: int) -> Operand:
        shape = (batch, length, count * each) if packed else (batch, count, length, each)
        return d.tensor(name, dtype, shape)

    past = d.choose((2, 1)) if d.present("past_key") else None
    total = keys + (past or 0)
    inputs: list[Any] = [
        operand("Q", key_type, heads, queries, size),
        operand("K", key_type, groups, keys, size),
        operand("V", value_type, groups, keys, wide),
        None, None, None, None,
    ]  # fmt: skip
    if d.present("attn_mask"):
        shape = d.choose(
            (
                (queries, total),
                (1, 1, queries, total),
                (batch, heads, queries, total),
                (batch, 1, queries, total),
                (heads, queries, total),
            )
        )
        mask_type = d.choose(("bool", key_type))
        if mask_type == "bool":
            rows = tuple(d.flag() for _ in range(math.prod(shape)))
            inputs[3] = Operand("bool", shape, "normal", rows)
        else:
            inputs[3] = d.tensor("attn_mask", mask_type, shape)
    if past is not None:
        inputs[4] = d.tensor("past_key", key_type, (batch, groups, past, size))
        inputs[5] = d.tensor("past_value", value_type, (batch, groups, past, wide))
    elif d.version >= 24 and d.present("nonpad_kv_seqlen"):
        inputs[6] = d.data("nonpad_kv_seqlen", "int64", [d.integer(1, keys) for _ in range(batch)])
    attributes: dict[str, Any] = {
        "is_causal": d.attribute("is_causal", (OMIT, 0, 1)),
        "scale": d.attribute("scale", (OMIT, 0.5)),
        "softcap": d.attribute("softcap", (OMIT, 2.0)),
    }
    if d.version >= 25:
        attributes["left_window_size"] = d.attribute("left_window_size", (OMIT, 0, 1, -1, 2))
        right = (OMIT, 0, -1) if attributes["is_causal"] == 1 else (OMIT, 0, 1, -1, 2)
        attributes["right_window_size"] = d.attribute("right_window_size", right)
    if packed:
        attributes.update(q_num_heads=heads, kv_num_heads=groups)
    outputs: tuple[bool, ...] = (True,)
    if past is not None:
        outputs = (True, True, True)
    if d.present("qk_matmul_output"):
        attributes["qk_matmul_output_mode"] = d.attribute("qk_matmul_output_mode", (OMIT, 0, 1, 2, 3))
        outputs = (True, past is not None, past is not None, True)
    return Layer(tuple(inputs), attributes, outputs)


@body("halved_scores")
def _halved(batch: int, heads: int, queries: int, keys: int) -> Graph:
    """Scores [B, H, L, S] * 0.5."""
    type_ = TensorType(DType.FLOAT32, (batch, heads, queries, keys))
    scores, result = Value("scores", type_), Value("halved", type_)
    half = Value.constant("half", np.asarray(0.5, np.float32))
    return Graph((scores,), (result,), (make_node("Mul", [scores, half], [result]),), "halved")


@space("FlexAttention", Conditioned(_length, "as Attention, without masks", ulps=32.0, magnitude=_weighted),
       domain="ai.onnx.preview", without=_NAN)  # fmt: skip
def flex_attention(d: Draw) -> Layer:
    """Grouped heads; subgraphs that change scores and probabilities."""
    dtype = d.dtype("T1")
    groups, times, batch = d.choose((1, 2)), d.choose((1, 2)), d.choose((1, 2))
    queries, keys, size, wide = (
        d.choose((2, 1, 3)),
        d.choose((3, 1, 2)),
        d.choose((2, 1, 4)),
        d.choose((2, 1, 3)),
    )
    inputs = (
        d.tensor("Q", dtype, (batch, groups * times, queries, size)),
        d.tensor("K", dtype, (batch, groups, keys, size)),
        d.tensor("V", dtype, (batch, groups, keys, wide)),
    )
    attributes: dict[str, Any] = {"scale": d.attribute("scale", (OMIT, 0.25))}
    if dtype == "float32":
        for name in ("score_mod", "prob_mod"):
            if d.flag():
                attributes[name] = Body("halved_scores", (batch, groups * times, queries, keys))
    return Layer(inputs, attributes)


def _states(e: Evidence) -> float:
    """Products of the greatest elements, step after step."""
    q, k, v = (greatest(x) for x in e.inputs[:3])
    steps = e.inputs[0].shape[1] if np.ndim(e.inputs[0]) == 3 else 1
    return max(1.0, q) * max(1.0, k) * max(1.0, v) * max(1, steps)


@space("LinearAttention", Conditioned(_length, "outer products added, decayed and read, token after token",
                                      ulps=16.0, magnitude=_states), without=_NAN)  # fmt: skip
def linear_attention(d: Draw) -> Layer:
    """Every update rule, with the operands that it needs; decay and rate below one keep the state bounded."""
    dtype = d.dtype("T")
    groups, times, batch = d.choose((1, 2)), d.choose((1, 2)), d.choose((1, 2))
    steps, size, wide = d.choose((3, 1, 2, 5)), d.choose((2, 1, 3)), d.choose((2, 1, 3))
    rule = d.attribute("update_rule", ("linear", "gated", "delta", "gated_delta"))
    inputs: list[Any] = [
        d.tensor("query", dtype, (batch, steps, groups * times * size)),
        d.tensor("key", dtype, (batch, steps, groups * size), low=-0.5, high=0.5),
        d.tensor("value", dtype, (batch, steps, groups * wide)),
        None, None, None,
    ]  # fmt: skip
    if d.present("past_state"):
        inputs[3] = d.tensor("past_state", d.dtype("S"), (batch, groups, size, wide))
    if "gated" in rule:
        inputs[4] = d.tensor("decay", dtype, (batch, steps, groups * d.choose((1, size))), high=0.0)
    if "delta" in rule:
        inputs[5] = d.tensor("beta", dtype, (batch, steps, d.choose((groups, 1))), low=0.0, high=1.0)
    attributes = {
        "q_num_heads": groups * times,
        "kv_num_heads": groups,
        "update_rule": d.maybe("update_rule", rule, "gated_delta"),
        "scale": d.attribute("scale", (OMIT, 0.5)),
        "chunk_size": d.attribute("chunk_size", (OMIT, 2)),
    }
    return Layer(tuple(inputs), attributes, (True, True))


def _turned(e: Evidence) -> float:
    return greatest(e.inputs[0]) * (greatest(e.inputs[1]) + greatest(e.inputs[2]))


@space("RotaryEmbedding", Ulps(2.0, "two products and their sum, which may cancel", magnitude=_turned,
                               exact_integers=True), without=_NAN)  # fmt: skip
def rotary_embedding(d: Draw) -> Layer:
    """Pairs of elements turned by the angle of their position; the rest of a head stays as it is."""
    dtype = d.dtype("T")
    batch, heads, steps = d.choose((1, 2)), d.choose((1, 2, 3)), d.choose((3, 1, 2))
    half = d.choose((2, 1, 3))
    rest = d.choose((0, 2, 4))
    size = 2 * half + rest
    packed = d.rank("X", (4, 3)) == 3
    shape = (batch, steps, heads * size) if packed else (batch, heads, steps, size)
    positions = None
    cache: tuple[int, ...] = (batch, steps, half)
    if d.present("position_ids"):
        count = steps + d.choose((0, 3))
        values = tuple(d.integer(0, count - 1) for _ in range(batch * steps))
        positions, cache = Operand("int64", (batch, steps), "normal", values), (count, half)
    inputs = (
        d.tensor("X", dtype, shape),
        d.tensor("cos_cache", dtype, cache, constant=None),
        d.tensor("sin_cache", dtype, cache, constant=None),
        positions,
    )
    attributes = {
        "interleaved": d.attribute("interleaved", (OMIT, 0, 1)),
        "rotary_embedding_dim": d.maybe("rotary_embedding_dim", 2 * half if rest or d.flag() else 0, 0),
        "num_heads": heads if packed or d.flag() else OMIT,
    }
    return Layer(inputs, attributes)
