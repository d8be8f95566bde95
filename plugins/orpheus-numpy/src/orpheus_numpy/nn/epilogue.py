"""What fused operators do to a finished sum: residual, scale and shift, activation, all in place.

The activations are those of :mod:`orpheus_core.ops.activations`, with their parameters in its order; each
function here takes an array to change and a scratch array is allocated only where the formula needs one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.ops.activations import ACTIVATIONS
from orpheus_core.types import Array

#: Changes its array in place.
Activation = Callable[[Array], object]


def per_channel(vector: Array, rank: int) -> Array:
    """A vector [C] shaped to broadcast along axis 1 of an array of ``rank`` axes."""
    return vector.reshape(-1, *(1,) * (rank - 2))


def finish(
    y: Array,
    bias: Array | None = None,
    residual: Array | None = None,
    scale: Array | None = None,
    shift: Array | None = None,
    activation: Activation | None = None,
    total: Array | None = None,
) -> None:
    """``y`` [N, C, ...] += bias + residual; the sum is kept in ``total``; then y = activation(y * scale + shift).

    Everything happens in ``y``; bias, scale and shift are vectors [C]; operands that are None are left out.
    """
    if bias is not None:
        y += per_channel(bias, y.ndim)
    if residual is not None:
        y += residual
    if total is not None:
        np.copyto(total, y, casting="unsafe")
    if scale is not None:
        y *= per_channel(scale, y.ndim)
    if shift is not None:
        y += per_channel(shift, y.ndim)
    if activation is not None:
        activation(y)


def activation_step(name: str, parameters: Sequence[float] = ()) -> Activation | None:
    """The in-place form of an activation, None for the empty name; ModelError for an unknown one."""
    if not name:
        return None
    if name not in _FORMULAS:
        raise ModelError(f"{name!r} is not an activation; there are {', '.join(ACTIVATIONS)}")
    names, formula = ACTIVATIONS[name], _FORMULAS[name]
    if len(parameters) != len(names):
        raise ModelError(f"{name} takes {len(names)} parameters {names}, got {tuple(parameters)}")
    values = tuple(float(p) for p in parameters)
    return lambda y: formula(y, *values)


def _relu(y: Array) -> None:
    np.maximum(y, 0, out=y)


def _clip(y: Array, low: float, high: float) -> None:
    np.clip(y, low, high, out=y)


def _leaky_relu(y: Array, alpha: float) -> None:
    np.multiply(y, alpha, out=y, where=y < 0)


def _sigmoid(y: Array) -> None:
    np.negative(y, out=y)
    np.exp(y, out=y)
    y += 1
    np.reciprocal(y, out=y)


def _hard_sigmoid(y: Array, alpha: float, beta: float) -> None:
    y *= alpha
    y += beta
    np.clip(y, 0, 1, out=y)


def _hard_swish(y: Array) -> None:
    gate = y.copy()
    _hard_sigmoid(gate, 1 / 6, 0.5)
    y *= gate


def _swish(y: Array, alpha: float) -> None:
    gate = y * y.dtype.type(alpha)
    _sigmoid(gate)
    y *= gate


def _elu(y: Array, alpha: float) -> None:
    low = np.expm1(np.minimum(y, 0))
    low *= alpha
    np.copyto(y, low, where=y < 0)


def _celu(y: Array, alpha: float) -> None:
    low = np.minimum(y, 0)
    low /= alpha
    np.expm1(low, out=low)
    low *= alpha
    np.copyto(y, low, where=y < 0)


def _selu(y: Array, alpha: float, gamma: float) -> None:
    _elu(y, alpha)
    y *= gamma


def _gelu(y: Array, approximate: float) -> None:
    if approximate:
        gate = y * y
        gate *= 0.044715
        gate += 1
        gate *= y
        gate *= math.sqrt(2 / math.pi)
        np.tanh(gate, out=gate)
    else:
        gate = erf(y * y.dtype.type(math.sqrt(0.5)))
    gate += 1
    gate *= 0.5
    y *= gate


def erf(x: Array) -> Array:
    """The error function, element by element in double precision; numpy has none of its own."""
    values = np.fromiter(map(math.erf, x.ravel().tolist()), np.float64, x.size)
    return values.reshape(x.shape).astype(x.dtype)


def _softplus(y: Array) -> None:
    np.logaddexp(y, 0, out=y)


def _mish(y: Array) -> None:
    gate = np.logaddexp(y, 0)
    np.tanh(gate, out=gate)
    y *= gate


def _softsign(y: Array) -> None:
    y /= np.abs(y) + 1


def _tanh(y: Array) -> None:
    np.tanh(y, out=y)


def _thresholded_relu(y: Array, alpha: float) -> None:
    np.copyto(y, 0, where=y <= alpha)


_FORMULAS: dict[str, Callable[..., None]] = {
    "Relu": _relu,
    "Clip": _clip,
    "LeakyRelu": _leaky_relu,
    "Sigmoid": _sigmoid,
    "Tanh": _tanh,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "Swish": _swish,
    "Elu": _elu,
    "Celu": _celu,
    "Selu": _selu,
    "Gelu": _gelu,
    "Mish": _mish,
    "Softplus": _softplus,
    "Softsign": _softsign,
    "ThresholdedRelu": _thresholded_relu,
}
