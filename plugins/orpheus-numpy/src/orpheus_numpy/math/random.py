"""Random number operators and Dropout.

A seed selects a stream of numpy's RandomState, whose streams are frozen for good; without one, fresh entropy. Values
are drawn in float64 and rounded to the type asked for.
"""

from __future__ import annotations

import numpy as np

from orpheus_core.types import Array, DType
from orpheus_numpy.math.cast import convert
from orpheus_numpy.nn.precision import widen


def _generator(seed: float | None) -> np.random.RandomState:
    if seed is None:
        return np.random.RandomState()
    if float(seed).is_integer():
        return np.random.RandomState(int(seed) % 2**32)
    return np.random.RandomState(np.array([seed], np.float64).view(np.uint32))


def random_normal(
    *,
    shape: tuple[int, ...],
    dtype: int = 1,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Array:
    """Normally distributed numbers of standard deviation ``scale`` (ONNX RandomNormal)."""
    drawn = _generator(seed).normal(mean, scale, shape)
    return convert(np.asarray(drawn), DType.from_onnx(dtype).numpy)


def random_normal_like(
    input: Array,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Array:
    """:func:`random_normal` with the shape, and without ``dtype`` the type, of ``input`` (ONNX RandomNormalLike)."""
    kind = DType.from_numpy(input.dtype).onnx if dtype is None else dtype
    return random_normal(shape=input.shape, dtype=kind, mean=mean, scale=scale, seed=seed)


def random_uniform(
    *, shape: tuple[int, ...], dtype: int = 1, high: float = 1.0, low: float = 0.0, seed: float | None = None
) -> Array:
    """Numbers distributed evenly between low and high (ONNX RandomUniform)."""
    drawn = _generator(seed).uniform(low, high, shape)
    return convert(np.asarray(drawn), DType.from_onnx(dtype).numpy)


def random_uniform_like(
    input: Array, *, dtype: int | None = None, high: float = 1.0, low: float = 0.0, seed: float | None = None
) -> Array:
    """:func:`random_uniform` with the shape, and without ``dtype`` the type, of ``input`` (ONNX RandomUniformLike)."""
    kind = DType.from_numpy(input.dtype).onnx if dtype is None else dtype
    return random_uniform(shape=input.shape, dtype=kind, high=high, low=low, seed=seed)


def bernoulli(input: Array, *, dtype: int | None = None, seed: float | None = None) -> Array:
    """1 with the probability that ``input`` gives, else 0 (ONNX Bernoulli)."""
    target = input.dtype if dtype is None else DType.from_onnx(dtype).numpy
    return convert(_generator(seed).uniform(size=input.shape) < widen(input), target)


def multinomial(input: Array, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None) -> Array:
    """Class numbers [batch, sample_size] drawn by log-probabilities [batch, classes] of any sum (Multinomial)."""
    logits = input.astype(np.float64)
    weights = np.exp(logits - logits.max(1, keepdims=True)).cumsum(1)
    drawn = _generator(seed).uniform(size=(len(logits), sample_size)) * weights[:, -1:]
    classes = [np.searchsorted(row, u, "right") for row, u in zip(weights, drawn)]
    return np.array(classes, DType.from_onnx(dtype).numpy).reshape(len(logits), sample_size)


def dropout(
    data: Array, ratio: Array | None = None, training_mode: Array | None = None, *, seed: float | None = None
) -> tuple[Array, Array]:
    """Data and an all-true mask; in training mode, elements zeroed with probability ``ratio``, the rest scaled up.

    ``ratio`` (0.5 when omitted) and ``training_mode`` are scalars (ONNX Dropout; Srivastava et al. 2014).
    """
    p = 0.5 if ratio is None else float(ratio.item())
    if training_mode is None or not bool(training_mode.item()) or p == 0:
        return data.copy(), np.ones(data.shape, np.bool_)
    keep = _generator(seed).uniform(size=data.shape) >= p
    scaled = np.where(keep, data.astype(np.float64) / (1 - p), 0)
    return convert(scaled, data.dtype), np.asarray(keep)
