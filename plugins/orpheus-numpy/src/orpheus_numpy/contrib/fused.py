"""Products with a fused activation, and GELU variants, of com.microsoft.

Source: ContribOperators.md of ONNX Runtime.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_core.errors import UnsupportedModelError
from orpheus_core.types import Array
from orpheus_numpy.math import activation as act
from orpheus_numpy.math.elementwise import relu
from orpheus_numpy.nn.conv import conv
from orpheus_numpy.nn.precision import deliver, widen

# Activation -> its kernel and the attributes that its parameters set, in their order.
_ACTIVATIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "Celu": (act.celu, ("alpha",)),
    "Elu": (act.elu, ("alpha",)),
    "Gelu": (act.gelu, ()),
    "HardSigmoid": (act.hard_sigmoid, ("alpha", "beta")),
    "HardSwish": (act.hard_swish, ()),
    "LeakyRelu": (act.leaky_relu, ("alpha",)),
    "Relu": (relu, ()),
    "Selu": (act.selu, ("alpha", "gamma")),
    "Sigmoid": (act.sigmoid, ()),
    "Softplus": (act.softplus, ()),
    "Softsign": (act.softsign, ()),
    "Tanh": (np.tanh, ()),
    "ThresholdedRelu": (act.thresholded_relu, ("alpha",)),
}


def _activate(y: Array, name: str | None, parameters: Any = ()) -> Array:
    if not name:
        return y
    if name == "Clip":
        return np.asarray(np.clip(y, *parameters))
    if name not in _ACTIVATIONS:
        known = ", ".join(("Clip", *_ACTIVATIONS))
        raise UnsupportedModelError(f"the fused activation {name!r} is unknown; known are {known}")
    function, names = _ACTIVATIONS[name]
    return np.asarray(function(y, **{k: v for k, v in zip(names, parameters) if v is not None}))


def fused_conv(
    X: Array,
    W: Array,
    B: Array | None = None,
    Z: Array | None = None,
    *,
    activation: str | None = None,
    activation_params: tuple[float, ...] = (),
    **geometry: Any,
) -> Array:
    """Conv, plus Z [N, M, ...], then the activation (FusedConv)."""
    y = conv(X, W, B, **geometry)
    return _activate(y if Z is None else y + Z, activation, activation_params)


def fused_gemm(
    A: Array,
    B: Array,
    C: Array | None = None,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    activation: str | None = None,
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
) -> Array:
    """activation(alpha * A @ B + beta * C) of matrices [M, K] and [K, N] (FusedGemm)."""
    a, b = widen(A), widen(B)
    y = alpha * np.matmul(a.T if transA else a, b.T if transB else b)
    if C is not None:
        y = y + beta * widen(C)
    second = activation_gamma if activation == "Selu" else activation_beta
    return deliver(_activate(y, activation, (activation_alpha, second)), A.dtype)


def fused_matmul(
    A: Array,
    B: Array,
    *,
    alpha: float = 1.0,
    transA: int = 0,
    transB: int = 0,
    transBatchA: int = 0,
    transBatchB: int = 0,
) -> Array:
    """``alpha`` * A @ B as numpy's matmul, after turning operands of two or more axes (FusedMatMul).

    ``transBatch`` moves axis 0 behind the other batch axes; ``trans`` then swaps the last two.
    """
    product = np.matmul(_turned(widen(A), transA, transBatchA), _turned(widen(B), transB, transBatchB))
    return deliver(product if alpha == 1 else alpha * product, A.dtype)


def _turned(x: Array, last: int, batch: int) -> Array:
    if x.ndim < 2:
        return x
    x = np.moveaxis(x, 0, -2) if batch else x
    return x.swapaxes(-1, -2) if last else x


def fast_gelu(X: Array, bias: Array | None = None) -> Array:
    """The tanh approximation of GELU at X + bias (FastGelu)."""
    x = widen(X) if bias is None else widen(X) + widen(bias)
    return deliver(act.gelu(x, approximate="tanh"), X.dtype)


def bias_gelu(A: Array, B: Array) -> Array:
    """GELU at A + B (BiasGelu)."""
    return deliver(act.gelu(np.asarray(widen(A) + widen(B))), A.dtype)


def quick_gelu(X: Array, *, alpha: float = 1.702) -> Array:
    """X Sigmoid(alpha X) (QuickGelu)."""
    return act.swish(X, alpha=alpha)
