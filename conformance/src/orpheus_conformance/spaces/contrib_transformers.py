"""com.microsoft: normalization and attention of transformers. Source: ContribOperators.md of ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Input, Operand
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.contrib_quantized import MICROSOFT
from orpheus_conformance.tolerance import Evidence, Ulps
from orpheus_core.types import Array

_WITHOUT = {"special": "one NaN or infinity reaches a whole row, or not", "exact": "results are rounded"}
_EPSILONS = (1e-3, 1e-5)


def _normalized(e: Evidence, total: Array, gamma: Array, beta: Array | None) -> Array:
    """Rows are centred with an error of their greatest element, and the deviation has that error once more."""
    greatest = np.abs(total).max(-1, keepdims=True, initial=0)
    spread = np.maximum(total.var(-1, keepdims=True) if total.shape[-1] else greatest, 0)
    inverse = 1 / np.sqrt(spread + float(e.attributes["epsilon"]))
    ratio = greatest * inverse
    if e.output == 2:
        return np.asarray(inverse * (1 + ratio**2))
    if e.output in (1, 3):
        return np.asarray(greatest + 1e-3)
    shift = 0.0 if beta is None else np.abs(beta).max(initial=0)
    scaled = (ratio + np.sqrt(total.shape[-1]) * ratio**2 + ratio**3) * np.abs(gamma).max(initial=0)
    return np.asarray(scaled + shift)


def _skip_magnitude(e: Evidence) -> Array:
    names = e.case.op == "SkipLayerNormalization"
    operands = [*e.inputs, None, None][:5] if names else [*e.inputs[:3], None, *e.inputs[3:], None][:5]
    skip, gamma, beta, bias = operands[1:5]
    total = np.asarray(e.inputs[0] + skip + (0 if bias is None else bias), np.float64)
    return _normalized(e, total, gamma, beta)


_SKIP = Ulps(16.0, "a mean, a deviation, a quotient", half=4.0, magnitude=_skip_magnitude)


def _skip(op: str) -> None:
    @space(op, _SKIP, domain=MICROSOFT, without=_WITHOUT)
    def draw(d: Draw) -> Layer:
        dtype = d.dtype("T")
        hidden = d.choose((4, 2, 3, 5, 8))
        shape = (d.choose((2, 1)), d.choose((3, 1)), hidden)
        inputs: list[Input] = [d.tensor("input", dtype, shape), d.tensor("skip", dtype, shape)]
        for name in d.spec.input_names[2:]:
            present = name == "gamma" or d.present(name)
            inputs.append(d.tensor(name, dtype, (hidden,), constant=None) if present else None)
        outputs = d.choose(((True,), (True, False, False, True), (True, True, True, True)))
        return Layer(tuple(inputs), {"epsilon": d.attribute("epsilon", _EPSILONS)}, outputs)


_skip("SkipLayerNormalization")
_skip("SkipSimplifiedLayerNormalization")


def _embed_magnitude(e: Evidence) -> Array:
    if e.output:
        return np.asarray(8.0)
    ids, segments, word, position, segment, gamma, beta, _, places = [*e.inputs, None, None, None][:9]
    total = word[ids] + position[np.arange(ids.shape[1]) if places is None else places]
    if segments is not None and segment is not None:
        total = total + segment[segments]
    return _normalized(e, np.asarray(total, np.float64), gamma, beta)


_EMBED = Ulps(16.0, "a mean, a deviation, a quotient", half=4.0, magnitude=_embed_magnitude)


@space("EmbedLayerNormalization", _EMBED, domain=MICROSOFT, without=_WITHOUT)
def embed_layer_normalization(d: Draw) -> Layer:
    """With segments, a mask and given positions, and without."""
    dtype = d.dtype("T")
    batch, length, hidden, words = (
        d.choose((2, 1)),
        d.choose((3, 1, 4)),
        d.choose((4, 2, 5)),
        d.choose((5, 3)),
    )

    def ids(name: str, most: int) -> Operand:
        values = tuple(d.integer(0, most - 1) for _ in range(batch * length))
        return Operand("int32", (batch, length), "normal", values, d.constant(name, (False, True)))

    segmented = d.flag()
    inputs: list[Input] = [
        ids("input_ids", words),
        ids("segment_ids", 2) if segmented else None,
        d.tensor("word_embedding", dtype, (words, hidden), constant=None),
        d.tensor("position_embedding", dtype, (6, hidden), constant=None),
        d.tensor("segment_embedding", dtype, (2, hidden), constant=None) if segmented else None,
        d.tensor("gamma", dtype, (hidden,), constant=None),
        d.tensor("beta", dtype, (hidden,), constant=None),
        ids("mask", 2) if d.present("mask") else None,
        ids("position_ids", 6) if d.present("position_ids") else None,
    ]
    outputs = d.choose(((True,), (True, True), (True, True, True)))
    return Layer(tuple(inputs), {"epsilon": d.attribute("epsilon", _EPSILONS)}, outputs)


def _attention_magnitude(e: Evidence) -> Array:
    """The greatest value, times one plus the greatest score: an error of the score is one of its exponential."""
    floats = [
        float(np.abs(x).max(initial=0)) for x in e.inputs if x is not None and np.asarray(x).dtype.kind == "f"
    ]
    most = max(floats)
    width = max(np.shape(e.inputs[0])[-1], 1)
    if e.case.op == "Attention":
        most = width * most * most + most
    return np.asarray((1 + most) * (1 + width * most * most))


_ATTENTION = Ulps(
    8.0,
    "two products and a softmax, relative to the greatest score and value",
    half=4.0,
    magnitude=_attention_magnitude,
)


def _mask(d: Draw, batch: int, total: int) -> Operand | None:
    """The number of valid keys of each row, or 1 for each valid key."""
    form = d.choose(("none", "lengths", "keys"))
    if form == "none":
        return None
    if form == "lengths":
        return d.data("mask", "int32", [d.integer(1, total) for _ in range(batch)])
    values = tuple(v for _ in range(batch) for v in (1, *(d.integer(0, 1) for _ in range(total - 1))))
    return Operand("int32", (batch, total), "normal", values, d.constant("mask"))


def _settings(d: Draw, heads: int) -> dict[str, Any]:
    causal = d.attribute("unidirectional", (0, OMIT, 1))
    return {"num_heads": heads, "scale": d.attribute("scale", (OMIT, 0.5)), "unidirectional": causal}


@space("MultiHeadAttention", _ATTENTION, domain=MICROSOFT, without=_WITHOUT)
def multi_head_attention(d: Draw) -> Layer:
    """Keys of another length than queries, values of another size, bias, masks, a past; packed forms; heads apart."""
    dtype, heads, size = d.dtype("T"), d.choose((2, 1, 3)), d.choose((2, 4, 1))
    batch, length = d.choose((2, 1)), d.choose((3, 1, 2))
    causal = _settings(d, heads)
    past = d.choose((0, 2))
    # Where no query may see any key, or keys come before queries, runtimes differ.
    keys = length if causal["unidirectional"] == 1 or past else d.choose((3, 1, 5))
    wide = size if past else d.choose((size, 3))
    total = past + keys
    form = d.choose(("three", "three", "heads", "key and value", "all"))
    if form == "all" and keys != length:
        form = "key and value"
    if form in ("key and value", "all"):
        wide = size
    operands = {
        "three": ((batch, length, heads * size), (batch, keys, heads * size), (batch, keys, heads * wide)),
        # Keys and values of cross attention, each head apart.
        "heads": ((batch, length, heads * size), (batch, heads, keys, size), (batch, heads, keys, wide)),
        "key and value": ((batch, length, heads * size), (batch, keys, heads, 2, size), None),
        "all": ((batch, length, heads, 3, size), None, None),
    }[form]
    names = ("query", "key", "value")
    biased = d.present("bias") and form != "all"  # the page has no bias for it
    inputs: list[Input] = [
        *(None if s is None else d.tensor(n, dtype, s) for n, s in zip(names, operands)),
        d.tensor("bias", dtype, (heads * (2 * size + wide),), constant=None) if biased else None,
        _mask(d, batch, total) if causal["unidirectional"] != 1 else None,
        d.tensor("attention_bias", dtype, (d.choose((batch, 1)), d.choose((heads, 1)), length, total))
        if d.present("attention_bias")
        else None,
    ]
    if past:
        inputs += [d.tensor(n, dtype, (batch, heads, past, size)) for n in ("past_key", "past_value")]
    outputs = (True, True, True) if past else (True,)
    return Layer(tuple(inputs), causal, outputs)


@space("Attention", _ATTENTION, domain=MICROSOFT, without=_WITHOUT)
def attention(d: Draw) -> Layer:
    """Projections in one matrix, masks, a past."""
    dtype, heads, size = d.dtype("T"), d.choose((2, 1)), d.choose((2, 1, 4))
    batch, length, width = d.choose((2, 1)), d.choose((3, 1, 2)), d.choose((3, 2, 5))
    hidden = heads * size
    causal = _settings(d, heads)
    past = d.choose((0, 2))
    inputs: list[Input] = [
        d.tensor("input", dtype, (batch, length, width)),
        d.tensor("weights", dtype, (width, 3 * hidden), constant=None),
        d.tensor("bias", dtype, (3 * hidden,), constant=None) if d.present("bias") else None,
        _mask(d, batch, past + length) if causal["unidirectional"] != 1 else None,
        d.tensor("past", dtype, (2, batch, heads, past, size)) if past else None,
    ]
    if d.present("attention_bias"):
        inputs.append(d.tensor("attention_bias", dtype, (d.choose((batch, 1)), heads, length, past + length)))
    return Layer(tuple(inputs), causal, (True, True) if past else (True,))
