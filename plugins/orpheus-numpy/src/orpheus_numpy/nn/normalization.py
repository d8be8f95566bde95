"""Normalizations: subtract a mean, divide by a deviation, scale and shift, over the axes the operator names.

float16 and bfloat16 are computed in float32 and rounded once, also where the pages allow more roundings.

Sources: the operators' pages on https://onnx.ai/onnx/operators/, and the papers they cite.
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array, DType
from orpheus_numpy.nn.epilogue import activation_step, per_channel
from orpheus_numpy.nn.precision import deliver, first, widen
from orpheus_numpy.nn.window import Ints

Outputs = tuple["Array | None", ...]


def batch_normalization(
    X: Array, scale: Array, B: Array, input_mean: Array, input_var: Array, *,
    epsilon: float = 1e-5, momentum: float = 0.9, training_mode: int = 0, out: Outputs | None = None,
) -> Array | tuple[Array, Array, Array]:  # fmt: skip
    """BatchNormalization: X [N, C, ...] with vectors [C] -> Y; in training mode also the running mean and variance."""
    x = widen(X)
    if not training_mode:
        return _affine(x, input_mean, input_var, scale, B, epsilon, X, first(out))
    axes = tuple(axis for axis in range(X.ndim) if axis != 1)
    mean, var = x.mean(axis=axes).reshape(-1), x.var(axis=axes).reshape(-1)
    y = _affine(x, mean, var, scale, B, epsilon, X, first(out))
    running = [
        deliver(widen(old) * momentum + new * (1 - momentum), old.dtype, target)
        for old, new, target in zip((input_mean, input_var), (mean, var), ((out or ()) + (None,) * 3)[1:])
    ]
    return y, running[0], running[1]


def scale_shift(
    X: Array, scale: Array, shift: Array, *,
    axis: int = 1, activation: str = "", activation_params: tuple[float, ...] = (), out: Outputs | None = None,
) -> Array:  # fmt: skip
    """ai.orpheus ScaleShift: activation(X * scale + shift), scale and shift [C] along ``axis``."""
    x = widen(X)
    along = (-1, *(1,) * (X.ndim - 1 - axis if axis >= 0 else -1 - axis))
    y = np.multiply(x, widen(scale).reshape(along), out=_usable(first(out), x))
    y += shift.reshape(along)
    step = activation_step(activation, activation_params)
    if step is not None:
        step(y)
    return deliver(y, X.dtype, first(out))


def _usable(out: Array | None, x: Array) -> Array | None:
    return out if out is not None and out.dtype == x.dtype else None


def _affine(
    x: Array,
    mean: Array,
    var: Array,
    scale: Array,
    shift: Array,
    epsilon: float,
    like: Array,
    out: Array | None,
) -> Array:
    rank = max(x.ndim, 2)
    spread = widen(var).astype(np.result_type(x.dtype, widen(var).dtype), copy=False)
    factor = widen(scale) / np.sqrt(spread + spread.dtype.type(epsilon))
    # Parameters may be of a wider type than X; the result is not.
    y = np.subtract(x, per_channel(mean.astype(x.dtype), rank), out=_usable(out, x))
    y *= per_channel(factor.astype(x.dtype), rank)
    y += per_channel(shift.astype(x.dtype), rank)
    return deliver(y, like.dtype, out)


def instance_normalization(input: Array, scale: Array, B: Array, *, epsilon: float = 1e-5) -> Array:
    """InstanceNormalization: input [N, C, ...], scale and B [C]; statistics per instance and channel."""
    x = widen(input)
    y = _standardize(x, tuple(range(2, x.ndim)), epsilon)[0]
    y = y * per_channel(widen(scale), x.ndim) + per_channel(widen(B), x.ndim)
    return deliver(y, input.dtype)


def layer_normalization(
    X: Array,
    Scale: Array,
    B: Array | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-5,
    stash_type: int = 1,
) -> tuple[Array, Array, Array]:
    """LayerNormalization over the axes from ``axis`` on; Scale and B broadcast to X.

    Returns Y, and Mean and InvStdDev in the element type that ``stash_type`` numbers.
    """
    x = widen(X)
    normalized, mean, inverse = _standardize(x, _last_axes(x, axis), epsilon)
    y = normalized * widen(Scale)
    if B is not None:
        y = y + widen(B)
    stash = DType.from_onnx(stash_type).numpy
    return deliver(y, X.dtype), deliver(mean, stash), deliver(inverse, stash)


def rms_normalization(
    X: Array, scale: Array, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Array:
    """RMSNormalization: X / sqrt(mean(X^2) + epsilon) over the axes from ``axis`` on, times scale, in scale's type."""
    x = widen(X)
    square = np.mean(np.square(x), axis=_last_axes(x, axis), keepdims=True)
    y = x / np.sqrt(square + x.dtype.type(epsilon)) * widen(scale)
    return deliver(y, scale.dtype)


def group_normalization(
    X: Array, scale: Array, bias: Array, *, num_groups: int, epsilon: float = 1e-5, stash_type: int = 1
) -> Array:
    """GroupNormalization: X [N, C, ...] in groups of channels; scale and bias [C], or [num_groups] as in opset 18.

    Raises ModelError when the channels do not divide into the groups.
    """
    channels = X.shape[1]
    if num_groups < 1 or channels % num_groups:
        raise ModelError(f"GroupNormalization: {channels} channels do not divide into {num_groups} groups")
    x = widen(X).reshape(X.shape[0], num_groups, math.prod(X.shape[1:]) // num_groups)
    y = _standardize(x, (2,), epsilon)[0].reshape(X.shape)
    repeats = channels // num_groups if scale.shape[0] != channels else 1
    factor, shift = (np.repeat(widen(v), repeats) for v in (scale, bias))
    return deliver(y * per_channel(factor, X.ndim) + per_channel(shift, X.ndim), X.dtype)


def mean_variance_normalization(X: Array, *, axes: Ints = (0, 2, 3)) -> Array:
    """MeanVarianceNormalization: (X - mean) / (deviation + 1e-9) over ``axes``, as the function's body has it."""
    x = widen(X)
    centred = x - x.mean(axis=tuple(axes), keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(axis=tuple(axes), keepdims=True))
    return deliver(centred / (deviation + x.dtype.type(1e-9)), X.dtype)


def lp_normalization(input: Array, *, axis: int = -1, p: int = 2) -> Array:
    """LpNormalization: input / its p-norm (p 1 or 2) along ``axis``; 0 where the norm is 0."""
    if p not in (1, 2):
        raise ModelError(f"LpNormalization: p must be 1 or 2, got {p}")
    x = widen(input)
    if p == 1:
        norm = np.abs(x).sum(axis=axis, keepdims=True)
    else:
        norm = np.sqrt(np.square(x).sum(axis=axis, keepdims=True))
    return deliver(x / np.where(norm == 0, 1, norm), input.dtype)


def lrn(X: Array, *, size: int, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0) -> Array:
    """LRN: X [N, C, ...] / (bias + alpha / size * sum of squares over ``size`` neighbouring channels) ** beta."""
    x = widen(X)
    below, above = (size - 1) // 2, math.ceil((size - 1) / 2)
    squares = np.square(x)
    sums = np.zeros_like(x)
    channels = X.shape[1]
    for shift in range(-below, above + 1):
        low, high = max(0, -shift), min(channels, channels - shift)
        if low < high:
            sums[:, low:high] += squares[:, low + shift : high + shift]
    return deliver(x / (sums * (alpha / size) + bias) ** beta, X.dtype)


def _last_axes(x: Array, axis: int) -> tuple[int, ...]:
    if not -x.ndim <= axis < max(x.ndim, 1):
        raise ModelError(f"axis {axis} is outside a tensor of rank {x.ndim}")
    return tuple(range(axis % max(x.ndim, 1), x.ndim))


def _standardize(x: Array, axes: tuple[int, ...], epsilon: float) -> tuple[Array, Array, Array]:
    """(x - mean) * inverse deviation, the mean, and the inverse deviation, both with axes kept."""
    mean = x.mean(axis=axes, keepdims=True)
    centred = x - mean
    variance = np.square(centred).mean(axis=axes, keepdims=True)
    inverse = 1 / np.sqrt(variance + x.dtype.type(epsilon))
    centred *= inverse
    return centred, mean, inverse
