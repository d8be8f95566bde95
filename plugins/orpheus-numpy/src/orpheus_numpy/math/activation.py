"""Activation functions: each is a formula that fills ``y`` from ``x``; :func:`activation` makes it a kernel."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.math.elementwise import Out
from orpheus_numpy.math.erf import fill_erf
from orpheus_numpy.nn.precision import deliver, widen


def activation(formula: Callable[..., None]) -> Callable[..., Array]:
    """A kernel from ``formula(y, x, *more, **attributes)`` that fills ``y`` (shape and dtype of x) and may find y is x.

    float16 and bfloat16 are computed in float32 and rounded once.
    """

    @functools.wraps(formula)
    def run(x: Array, *more: Array, out: Out = (None,), **attributes: Any) -> Array:
        if (
            x.dtype.itemsize == 2
        ):  # of the types that activations take only float16 and bfloat16 have two bytes
            wide = widen(x)
            formula(wide, wide, *map(widen, more), **attributes)
            return deliver(wide, x.dtype, out[0])
        y: Array = np.empty(x.shape, x.dtype) if out[0] is None else out[0]
        formula(y, x, *more, **attributes)
        return y

    return run


@activation
def sigmoid(y: Array, x: Array, alpha: float = 1.0) -> None:
    """1 / (1 + exp(-alpha x)) (ONNX Sigmoid)."""
    np.multiply(x, -alpha, y)
    np.exp(y, y)
    np.add(y, 1, y)
    np.reciprocal(y, y)


@activation
def hard_sigmoid(y: Array, x: Array, alpha: float = 0.2, beta: float = 0.5) -> None:
    """``alpha`` x + beta between 0 and 1 (ONNX HardSigmoid)."""
    np.multiply(x, alpha, y)
    np.add(y, beta, y)
    np.maximum(y, 0, out=y)
    np.minimum(y, 1, out=y)


@activation
def hard_swish(y: Array, x: Array) -> None:
    """``x`` HardSigmoid(x) with alpha 1/6 (ONNX HardSwish)."""
    np.multiply(x, hard_sigmoid(x, alpha=1 / 6), y)


@activation
def swish(y: Array, x: Array, alpha: float = 1.0) -> None:
    """``x`` Sigmoid(alpha x), also called SiLU (ONNX Swish)."""
    np.multiply(x, sigmoid(x, alpha=alpha), y)


@activation
def swiglu(y: Array, a: Array, b: Array, alpha: float = 1.0) -> None:
    """Swish(a) b; equal shapes (ONNX SwiGLU)."""
    np.multiply(swish(a, alpha=alpha), b, y)


@activation
def elu(y: Array, x: Array, alpha: float = 1.0) -> None:
    """``x`` above 0, alpha (exp(x) - 1) below (ONNX Elu)."""
    positive = np.maximum(x, 0)
    np.minimum(x, 0, out=y)
    np.expm1(y, y)
    np.multiply(y, alpha, y)
    np.add(y, positive, y)


@activation
def celu(y: Array, x: Array, alpha: float = 1.0) -> None:
    """``x`` above 0, alpha (exp(x / alpha) - 1) below (ONNX Celu)."""
    positive = np.maximum(x, 0)
    np.minimum(x, 0, out=y)
    np.divide(y, alpha, y)
    np.expm1(y, y)
    np.multiply(y, alpha, y)
    np.add(y, positive, y)


@activation
def selu(
    y: Array, x: Array, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875
) -> None:
    """``gamma`` Elu(x) (ONNX Selu; Klambauer et al. 2017)."""
    np.multiply(elu(x, alpha=alpha), gamma, y)


@activation
def leaky_relu(y: Array, x: Array, alpha: float = 0.01) -> None:
    """``x`` from 0 up, alpha x below (ONNX LeakyRelu)."""
    np.copyto(y, np.where(x < 0, x * alpha, x))


@activation
def prelu(y: Array, x: Array, slope: Array) -> None:
    """``x`` from 0 up, slope x below; slope broadcasts to x; integers wrap (ONNX PRelu)."""
    np.copyto(y, np.where(x < 0, slope * x, x))


@activation
def thresholded_relu(y: Array, x: Array, alpha: float = 1.0) -> None:
    """``x`` above alpha, else 0 (ONNX ThresholdedRelu)."""
    np.copyto(y, np.where(x > alpha, x, 0))


@activation
def softplus(y: Array, x: Array) -> None:
    """log(exp(x) + 1) (ONNX Softplus)."""
    positive = np.maximum(x, 0)
    np.abs(x, y)
    np.negative(y, y)
    np.exp(y, y)
    np.log1p(y, y)
    np.add(y, positive, y)


@activation
def softsign(y: Array, x: Array) -> None:
    """``x`` / (1 + |x|) (ONNX Softsign)."""
    np.divide(x, 1 + np.abs(x), y)


@activation
def mish(y: Array, x: Array) -> None:
    """``x`` tanh(softplus(x)) (ONNX Mish; Misra 2019)."""
    # tanh(log(1 + e)) = (e e + 2 e) / (e e + 2 e + 2), which is 1 in float64 from x = 20 on.
    e = np.exp(np.minimum(x, 20))
    n = e * (e + 2)
    np.multiply(x, n / (n + 2), y)


@activation
def gelu(y: Array, x: Array, approximate: str = "none") -> None:
    """0.5 x (1 + erf(x / sqrt 2)), or its tanh approximation (ONNX Gelu; Hendrycks & Gimpel 2016)."""
    half = 0.5 * x
    if approximate == "tanh":
        np.multiply(math.sqrt(2 / math.pi) * x, 1 + 0.044715 * (x * x), y)
        np.tanh(y, y)
    else:
        np.multiply(x, math.sqrt(0.5), y)
        fill_erf(y, y)
    np.add(y, 1, y)
    np.multiply(y, half, y)


def shrink(x: Array, *, bias: float = 0.0, lambd: float = 0.5, out: Out = (None,)) -> Array:
    """``x`` + bias below -lambd, x - bias above lambd, else 0; any number type (ONNX Shrink)."""
    wide = widen(x)
    y = np.where(wide < -lambd, wide + bias, np.where(wide > lambd, wide - bias, 0))
    return deliver(y, x.dtype, out[0])


def clip(x: Array, min: Array | None = None, max: Array | None = None, *, out: Out = (None,)) -> Array:
    """``x`` between the scalars min and max; max wins when they are out of order; NaN stays (ONNX Clip)."""
    if min is None and max is None:
        return np.positive(x, out=out)
    if min is not None:
        x = np.maximum(x, min.reshape(()), out=out)
    return x if max is None else np.minimum(x, max.reshape(()), out=out)
