"""Pooling and normalization. Sources: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance
from orpheus_core.types import Array, TensorType


def _last(parts: tuple[Any, ...]) -> Any:
    """An index of the last axes."""
    return (Ellipsis, *parts)


def _taps(instance: Instance, x: Array, fill: float, beyond: float) -> tuple[Array, Array]:
    """What each window holds, [taps, N, C, ...], and the same of an image of ones; pads hold ``fill``.

    ``beyond``: what the image of ones has in the pads; past the pads (ceil_mode) it has zero.
    """
    at: Any = instance.node.attributes
    type_ = instance.problem.outputs[0]
    assert isinstance(type_, TensorType) and type_.static_shape is not None
    out = type_.static_shape[2:]
    spatial = x.ndim - 2
    kernel: Any = at["kernel_shape"]
    strides: Any = at.get("strides") or (1,) * spatial
    dilations: Any = at.get("dilations") or (1,) * spatial
    pads: Any = list(at.get("pads") or (0,) * (2 * spatial))
    spans = [(k - 1) * r + 1 for k, r in zip(kernel, dilations)]
    if str(at["auto_pad"]).startswith("SAME"):
        for i in range(spatial):
            total = max(0, (out[i] - 1) * strides[i] + spans[i] - x.shape[2 + i])
            small, large = total // 2, total - total // 2
            pads[i], pads[i + spatial] = (small, large) if at["auto_pad"] == "SAME_UPPER" else (large, small)
    elif at["auto_pad"] == "VALID":
        pads = [0] * (2 * spatial)
    inner = tuple(slice(pads[i], pads[i] + x.shape[2 + i]) for i in range(spatial))
    padded = [x.shape[2 + i] + pads[i] + pads[i + spatial] for i in range(spatial)]
    needed = [max(p, (out[i] - 1) * strides[i] + spans[i]) for i, p in enumerate(padded)]
    field = np.full((*x.shape[:2], *needed), fill, np.result_type(x.dtype, np.float64))
    field[_last(inner)] = x
    ones = np.zeros(needed)
    ones[tuple(slice(0, p) for p in padded)] = beyond
    ones[inner] = 1
    held, counted = [], []
    for tap in itertools.product(*(range(k) for k in kernel)):
        cut = tuple(
            slice(t * r, t * r + (o - 1) * s + 1, s) for t, r, o, s in zip(tap, dilations, out, strides)
        )
        held.append(field[_last(cut)])
        counted.append(ones[cut])
    return np.array(held), np.array(counted)


@formula("MaxPool", why="it misplaces pads of auto_pad when a stride exceeds the window")
def max_pool(instance: Instance) -> tuple[Any, ...]:
    """The greatest element of each window, and where it is in the whole tensor, row or column first."""
    x = instance.arrays[0]
    held, _ = _taps(instance, x, -np.inf, 0.0)
    first = held.argmax(0)
    # The same windows over the numbers of the elements.
    numbers = np.arange(x.size)
    if instance.node.attributes.get("storage_order"):
        images = numbers.reshape(*x.shape[:2], *x.shape[:1:-1])
        numbers = images.transpose(0, 1, *range(x.ndim - 1, 1, -1))
    places, _ = _taps(instance, numbers.reshape(x.shape), -1, 0.0)
    indices = np.take_along_axis(places, first[None], 0)[0]
    return held.max(0).astype(x.dtype), indices.astype(np.int64)


@formula("AveragePool", why="it ignores dilations with auto_pad, and fails for auto_pad with ceil_mode")
def average_pool(instance: Instance) -> tuple[Any, ...]:
    """The sum over the elements that count."""
    held, ones = _taps(
        instance, instance.arrays[0], 0.0, float(bool(instance.node.attributes.get("count_include_pad")))
    )
    return (held.sum(0) / ones.sum(0),)


@formula("LpPool", why="it ignores dilations with auto_pad, and fails for auto_pad with ceil_mode")
def lp_pool(instance: Instance) -> tuple[Any, ...]:
    """The p-th root of the sum of p-th powers of magnitudes."""
    p: Any = instance.node.attributes["p"]
    held, _ = _taps(instance, instance.arrays[0], 0.0, 0.0)
    return ((np.abs(held) ** p).sum(0) ** (1 / p),)


@formula(
    "GlobalAveragePool",
    "GlobalMaxPool",
    "GlobalLpPool",
    why="it has no GlobalLpPool, drops axes, divides by N",
)
def global_pool(instance: Instance) -> tuple[Any, ...]:
    """Over all but the first two axes, which stay as ones."""
    x, op = instance.arrays[0], instance.case.op
    axes = tuple(range(2, x.ndim))
    if op == "GlobalMaxPool":
        return (x.max(axis=axes, keepdims=True),)
    if op == "GlobalAveragePool":
        return (x.mean(axis=axes, keepdims=True),)
    p: Any = instance.node.attributes["p"]
    return ((np.abs(x) ** p).sum(axis=axes, keepdims=True) ** (1 / p),)


@formula("MaxRoiPool", why="it has none")
def max_roi_pool(instance: Instance) -> tuple[Any, ...]:
    """The maximum of each bin of a region, both ends inclusive, bins rounded outwards; zero for an empty bin."""
    x, rois = instance.arrays
    pooled: Any = instance.node.attributes["pooled_shape"]
    rows, columns = pooled
    scale: Any = instance.node.attributes["spatial_scale"]
    y = np.zeros((len(rois), x.shape[1], rows, columns), x.dtype)
    for n, roi in enumerate(np.asarray(rois, np.float64)):
        x1, y1, x2, y2 = (math.floor(v * scale + 0.5) for v in roi[1:])
        tall, wide = max(y2 - y1 + 1, 1) / rows, max(x2 - x1 + 1, 1) / columns
        for i, j in itertools.product(range(rows), range(columns)):
            top, bottom = math.floor(i * tall) + y1, math.ceil((i + 1) * tall) + y1
            left, right = math.floor(j * wide) + x1, math.ceil((j + 1) * wide) + x1
            bin_ = x[int(roi[0]), :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
            if bin_.shape[1] and bin_.shape[2]:
                y[n, :, i, j] = bin_.max(axis=(1, 2))
    return (y,)


def _standardized(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    mean = x.mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(((x - mean) ** 2).mean(axis=axes, keepdims=True) + epsilon)
    return (x - mean) * inverse, mean, inverse


_CANCELS = "it computes the variance in float32 as E[x^2] - E[x]^2, which cancels, whatever the element type"


@formula("LayerNormalization", "RMSNormalization", why=_CANCELS)
def last_axes(instance: Instance) -> tuple[Any, ...]:
    """Over the axes from ``axis`` on."""
    x, scale, *rest = instance.arrays
    axis: Any = instance.node.attributes["axis"]
    epsilon: Any = instance.node.attributes["epsilon"]
    axes = tuple(range(axis % x.ndim, x.ndim))
    if instance.case.op == "RMSNormalization":
        return (x / np.sqrt((x**2).mean(axis=axes, keepdims=True) + epsilon) * scale,)
    y, mean, inverse = _standardized(x, axes, epsilon)
    y = y * scale
    return y + rest[0] if rest and rest[0] is not None else y, mean, inverse


@formula("GroupNormalization", why=_CANCELS)
def group_normalization(instance: Instance) -> tuple[Any, ...]:
    """Each group of channels by its own statistics."""
    x, scale, bias = instance.arrays
    groups: Any = instance.node.attributes["num_groups"]
    epsilon: Any = instance.node.attributes["epsilon"]
    y = _standardized(x.reshape(x.shape[0], groups, -1), (2,), epsilon)[0].reshape(x.shape)
    columns = (1, -1) + (1,) * (x.ndim - 2)
    return (y * scale.reshape(columns) + bias.reshape(columns),)


@formula("MeanVarianceNormalization", why="its function body is float32 only")
def mean_variance_normalization(instance: Instance) -> tuple[Any, ...]:
    """(x - mean) / (deviation + 1e-9), the constant of the operator's function body."""
    x = instance.arrays[0]
    given: Any = instance.node.attributes["axes"]
    axes = tuple(given)
    centred = x - x.mean(axis=axes, keepdims=True)
    return (centred / (np.sqrt((centred**2).mean(axis=axes, keepdims=True)) + 1e-9),)


@formula("LpNormalization", why="for p = 1 it divides by the sum without magnitudes")
def lp_normalization(instance: Instance) -> tuple[Any, ...]:
    """Over the length along an axis; zeros where that is zero."""
    x = instance.arrays[0]
    at: Any = instance.node.attributes
    axis, p = int(at["axis"]), int(at["p"])
    length = (np.abs(x) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
    return (np.where(length == 0, 0.0, x / np.where(length == 0, 1.0, length)),)


@formula("LRN", why="it leaves out the last channel of each neighbourhood, and takes 4-D tensors only")
def lrn(instance: Instance) -> tuple[Any, ...]:
    """X / (bias + alpha / size * sum of squares of neighbours)^beta."""
    x = instance.arrays[0]
    at: Any = instance.node.attributes
    size: Any = at["size"]
    total = np.zeros(x.shape)
    for c in range(x.shape[1]):
        low = max(0, c - (size - 1) // 2)
        high = min(x.shape[1] - 1, c + math.ceil((size - 1) / 2))
        total[:, c] = (x[:, low : high + 1] ** 2).sum(1)
    alpha, beta, bias = (float(at[n]) for n in ("alpha", "beta", "bias"))
    return (x / (bias + alpha / size * total) ** beta,)
