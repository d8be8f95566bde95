"""What fused operators do to a finished sum: residual, scale and shift, activation, all in place.

The activations are those of :mod:`orpheus_core.ops.activations`, with their parameters in its order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.ops.activations import ACTIVATIONS
from orpheus_core.types import Array
from orpheus_numpy.math import activation as formulas

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
    if name not in _KERNELS:
        raise ModelError(f"{name!r} is not an activation; there are {', '.join(ACTIVATIONS)}")
    names, kernel = ACTIVATIONS[name], _KERNELS[name]
    if len(parameters) != len(names):
        raise ModelError(f"{name} takes {len(names)} parameters {names}, got {tuple(parameters)}")
    if name == "Clip":
        low, high = map(float, parameters)
        return lambda y: np.clip(y, low, high, out=y)
    attributes: dict[str, Any] = dict(zip(names, map(float, parameters)))
    if name == "Gelu":
        attributes["approximate"] = ("none", "tanh")[int(parameters[0])]
    return lambda y: kernel(y, out=(y,), **attributes)


def _ufunc(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda y, out: function(y, out=out[0])


# The kernels of the operators themselves, so that fusing one changes no formula.
_KERNELS: dict[str, Callable[..., Any]] = {
    "Relu": _ufunc(lambda y, out: np.maximum(y, 0, out=out)),
    "Clip": np.clip,
    "LeakyRelu": formulas.leaky_relu,
    "Sigmoid": formulas.sigmoid,
    "Tanh": _ufunc(np.tanh),
    "HardSigmoid": formulas.hard_sigmoid,
    "HardSwish": formulas.hard_swish,
    "Swish": formulas.swish,
    "Elu": formulas.elu,
    "Celu": formulas.celu,
    "Selu": formulas.selu,
    "Gelu": formulas.gelu,
    "Mish": formulas.mish,
    "Softplus": formulas.softplus,
    "Softsign": formulas.softsign,
    "ThresholdedRelu": formulas.thresholded_relu,
}
