"""ai.onnx.preview.training: one step of an optimizer."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Operand
from orpheus_conformance.draw import DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import Ulps

_DOMAIN = "ai.onnx.preview.training"
_STEP = Ulps(
    16.0, "a few products, sums, a root and a quotient; relative to the largest term", magnitude=lambda e: 8.0
)
_WITHOUT = {"special": "what NaN and infinities train is not said"}


def _draw(d: Draw, states: int, attributes: dict[str, Any]) -> Layer:
    """One to three tensors, each with its gradient and its states; all tensors come first, then all gradients."""
    dtype = d.dtype("T3")
    shapes = [tuple(d.choose(DIMS) for _ in range(d.choose((1, 0, 2)))) for _ in range(d.choose((1, 2, 3)))]
    rate = Operand(d.dtype("T1"), (), "normal", (d.choose((0.5, 0.125, 0.0)),), d.constant("R"))
    count = d.data("T", "int64", d.choose((1, 0, 7)))
    inputs = [
        # Squared gradients, and their sums, are not negative.
        d.tensor("inputs", dtype, s, low=0.0 if part >= 2 else -4.0, high=4.0, special=False)
        for part in range(2 + states)
        for s in shapes
    ]
    return Layer((rate, count, *inputs), attributes, (True,) * (len(shapes) * (1 + states)))


@space("Adagrad", _STEP, domain=_DOMAIN, without=_WITHOUT)
def adagrad(d: Draw) -> Layer:
    """With and without decay and regularization."""
    options = {
        "decay_factor": (OMIT, 0.25),
        "epsilon": (0.125, 0.0078125),
        "norm_coefficient": (OMIT, 0.0, 0.25),
    }
    return _draw(d, 1, {k: d.attribute(k, v) for k, v in options.items()})


@space("Adam", _STEP, domain=_DOMAIN, without=_WITHOUT)
def adam(d: Draw) -> Layer:
    """Regularization before and after; the first step's correction of bias."""
    options = {
        "alpha": (0.75, 0.5), "beta": (0.875, 0.5), "epsilon": (0.125, 0.0078125),
        "norm_coefficient": (OMIT, 0.0, 0.25), "norm_coefficient_post": (OMIT, 0.25),
    }  # fmt: skip
    return _draw(d, 2, {k: d.attribute(k, v) for k, v in options.items()})


@space("Momentum", _STEP, domain=_DOMAIN, without=_WITHOUT)
def momentum(d: Draw) -> Layer:
    """Standard and Nesterov's; the first update takes the gradient whole."""
    options = {
        "alpha": (0.75, 0.5),
        "beta": (0.5, 1.0),
        "norm_coefficient": (0.0, 0.25),
        "mode": ("standard", "nesterov"),
    }
    return _draw(d, 1, {k: d.attribute(k, v) for k, v in options.items()})
