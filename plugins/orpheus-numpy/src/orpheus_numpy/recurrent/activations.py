"""The activation functions that RNN, GRU and LSTM name in their ``activations`` attribute.

Source: the list on https://onnx.ai/onnx/operators/onnx__LSTM.html. Values of ``activation_alpha`` and
``activation_beta`` are taken in order by those functions that have such a parameter; missing ones have the default
of the ONNX operator of that name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array

Activation = Callable[[Array], Array]


def sigmoid(x: Array) -> Array:
    """1 / (1 + e^-x)."""
    return 1 / (1 + np.exp(-x))


# Name -> function of (x, alpha, beta), default alpha, default beta; None: no such parameter.
_FUNCTIONS: dict[str, tuple[Callable[[Array, float, float], Array], float | None, float | None]] = {
    "relu": (lambda x, a, b: np.maximum(x, 0), None, None),
    "tanh": (lambda x, a, b: np.tanh(x), None, None),
    "sigmoid": (lambda x, a, b: sigmoid(x), None, None),
    "affine": (lambda x, a, b: a * x + b, 1.0, 0.0),
    "leakyrelu": (lambda x, a, b: np.where(x >= 0, x, a * x), 0.01, None),
    "thresholdedrelu": (lambda x, a, b: np.where(x >= a, x, np.zeros_like(x)), 1.0, None),
    "scaledtanh": (lambda x, a, b: a * np.tanh(b * x), 1.0, 1.0),
    "hardsigmoid": (lambda x, a, b: np.clip(a * x + b, 0, 1), 0.2, 0.5),
    "elu": (lambda x, a, b: np.where(x >= 0, x, a * np.expm1(np.minimum(x, 0))), 1.0, None),
    "softsign": (lambda x, a, b: x / (1 + np.abs(x)), None, None),
    "softplus": (lambda x, a, b: np.logaddexp(x, 0), None, None),
}


def resolve_activations(
    names: Sequence[str], alphas: Sequence[float] | None, betas: Sequence[float] | None, clip: float | None
) -> list[Activation]:
    """The functions in order, each clipping its input to [-clip, clip] first; ModelError for an unknown name."""
    alpha, beta = iter(alphas or ()), iter(betas or ())
    found: list[Activation] = []
    for name in names:
        entry = _FUNCTIONS.get(name.lower())
        if entry is None:
            raise ModelError(f"unknown activation {name!r}; there are {', '.join(_FUNCTIONS)} (any case)")
        function, a, b = entry
        a = a if a is None else float(next(alpha, a))
        b = b if b is None else float(next(beta, b))
        found.append(_bound(function, a or 0.0, b or 0.0, clip))
    return found


def _bound(
    function: Callable[[Array, float, float], Array], a: float, b: float, clip: float | None
) -> Activation:
    if clip is None or clip <= 0:
        return lambda x: function(x, a, b)
    limit = clip
    return lambda x: function(np.clip(x, -limit, limit), a, b)
