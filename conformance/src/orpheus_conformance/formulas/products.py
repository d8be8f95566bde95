"""Sums of products where ``onnx.reference`` errs. Sources: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Body, Case
from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance
from orpheus_core.types import TensorType


def _last(parts: tuple[Any, ...]) -> Any:
    """An index of the last axes."""
    return (Ellipsis, *parts)


@formula(
    "ConvTranspose", why="it misplaces the bias of groups, and fails for dilations, batches and output_shape"
)
def conv_transpose(instance: Instance) -> tuple[Any, ...]:
    """Each element of X adds the window, multiplied by it, to the output; then pads are cut off."""
    x, w, *rest = instance.arrays
    at: Any = instance.node.attributes
    spatial = x.ndim - 2
    type_ = instance.problem.outputs[0]
    assert isinstance(type_, TensorType) and type_.static_shape is not None
    out = type_.static_shape[2:]
    strides: Any = at.get("strides") or (1,) * spatial
    dilations: Any = at.get("dilations") or (1,) * spatial
    extra: Any = at.get("output_padding") or (0,) * spatial
    begin: list[int] = list(at.get("pads") or (0,) * spatial)[:spatial]
    auto, group = str(at["auto_pad"]), int(at["group"])
    full = [
        (n - 1) * s + (k - 1) * d + 1 + e
        for n, s, k, d, e in zip(x.shape[2:], strides, w.shape[2:], dilations, extra)
    ]
    if at.get("output_shape") or auto.startswith("SAME"):
        total = [max(0, f - o) for f, o in zip(full, out)]
        begin = [t // 2 if auto == "SAME_UPPER" else t - t // 2 for t in total]
    elif auto == "VALID":
        begin = [0] * spatial
    inner, filters = w.shape[0] // group, w.shape[1]
    space = [max(f, b + o) for f, b, o in zip(full, begin, out)]
    y = np.zeros((x.shape[0], group * filters, *space))
    for g in range(group):
        part, window = x[:, g * inner : (g + 1) * inner], w[g * inner : (g + 1) * inner]
        target = y[:, g * filters : (g + 1) * filters]
        for tap in itertools.product(*map(range, w.shape[2:])):
            cut = tuple(
                slice(t * d, t * d + (n - 1) * s + 1, s)
                for t, d, n, s in zip(tap, dilations, x.shape[2:], strides)
            )
            target[_last(cut)] += np.einsum("nc...,cm->nm...", part, window[_last(tap)])
    y = y[_last(tuple(slice(b, b + o) for b, o in zip(begin, out)))]
    if rest and rest[0] is not None:
        y = y + rest[0].reshape(-1, *(1,) * spatial)
    return (y,)


#: What the subgraphs of the problem space do.
_MODIFIERS: dict[str, Any] = {"halved_scores": lambda x: x / 2}


def _modified(case: Case, name: str, x: Any) -> Any:
    body = case.attributes.get(name)
    return _MODIFIERS[body.name](x) if isinstance(body, Body) else x


@formula("FlexAttention", domain="ai.onnx.preview", why="its function body is float32 only")
def flex_attention(instance: Instance) -> tuple[Any, ...]:
    """softmax(scale Q K^T) V, heads of K and V shared by neighbours."""
    q, k, v = instance.arrays
    scale: Any = instance.node.attributes.get("scale")
    times = q.shape[1] // k.shape[1]
    k, v = np.repeat(k, times, 1), np.repeat(v, times, 1)
    scores = q @ k.swapaxes(2, 3) * (1 / math.sqrt(q.shape[3]) if scale is None else scale)
    scores = _modified(instance.case, "score_mod", scores)
    weights = np.exp(scores - scores.max(3, keepdims=True))
    return (_modified(instance.case, "prob_mod", weights / weights.sum(3, keepdims=True)) @ v,)


def _integers(case: Case) -> bool:
    return all(getattr(case.inputs[n], "dtype", "") in ("int8", "uint8") for n in (0, 3, 7))


@formula("QLinearMatMul", when=_integers, why="it adds the zero point before it rounds, which moves ties")
def qlinear_matmul(instance: Instance) -> tuple[Any, ...]:
    """Round(sum * a_scale b_scale / y_scale) + y_zero_point, saturated; parameters of the whole tensor."""
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = instance.arrays
    total = np.matmul(a.astype(np.float64) - int(a_zero), b.astype(np.float64) - int(b_zero))
    scale = float(a_scale) * float(b_scale) / float(y_scale)
    limits = np.iinfo(y_zero.dtype)
    return (np.clip(np.rint(total * scale) + int(y_zero), limits.min, limits.max).astype(y_zero.dtype),)
