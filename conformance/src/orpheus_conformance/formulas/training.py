"""One step of an optimizer. Sources: the pages of Adagrad, Adam and Momentum in ONNX's Operators.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance
from orpheus_core.types import Array

_DOMAIN = "ai.onnx.preview.training"
_WHY = "it computes the rate in float32, whatever the tensors' type"


def _parts(instance: Instance, kinds: int) -> tuple[float, int, list[tuple[Array, ...]]]:
    """The rate, the count of updates, and each tensor with its gradient and states."""
    rate, count, *operands = instance.arrays
    size = len(operands) // kinds
    groups = [tuple(operands[part * size + n] for part in range(kinds)) for n in range(size)]
    return float(rate), int(count), groups


@formula("Adagrad", domain=_DOMAIN, why=_WHY)
def adagrad(instance: Instance) -> tuple[Any, ...]:
    """Duchi, Hazan and Singer, JMLR 12 (2011), with a decaying rate."""
    given: Any = instance.node.attributes
    rate, count, groups = _parts(instance, 3)
    rate /= 1 + count * given["decay_factor"]
    states, tensors = [], []
    for x, gradient, squares in groups:
        slope = given["norm_coefficient"] * x + gradient
        states.append(squares + slope * slope)
        tensors.append(x - rate * slope / (np.sqrt(states[-1]) + given["epsilon"]))
    return (*tensors, *states)


@formula("Adam", domain=_DOMAIN, why=_WHY)
def adam(instance: Instance) -> tuple[Any, ...]:
    """Kingma and Ba, ICLR 2015."""
    given: Any = instance.node.attributes
    alpha, beta = given["alpha"], given["beta"]
    rate, count, groups = _parts(instance, 4)
    if count:
        rate *= np.sqrt(1 - beta**count) / (1 - alpha**count)
    tensors, firsts, seconds = [], [], []
    for x, gradient, first, second in groups:
        slope = given["norm_coefficient"] * x + gradient
        firsts.append(alpha * first + (1 - alpha) * slope)
        seconds.append(beta * second + (1 - beta) * slope * slope)
        moved = x - rate * firsts[-1] / (np.sqrt(seconds[-1]) + given["epsilon"])
        tensors.append((1 - given["norm_coefficient_post"]) * moved)
    return (*tensors, *firsts, *seconds)


@formula("Momentum", domain=_DOMAIN, why=_WHY)
def momentum(instance: Instance) -> tuple[Any, ...]:
    """Gradients with a memory; Nesterov's looks one step ahead."""
    given: Any = instance.node.attributes
    alpha = given["alpha"]
    rate, count, groups = _parts(instance, 3)
    tensors, speeds = [], []
    for x, gradient, speed in groups:
        slope = given["norm_coefficient"] * x + gradient
        speeds.append(alpha * speed + (given["beta"] if count else 1.0) * slope)
        ahead = slope + alpha * speeds[-1] if given["mode"] == "nesterov" else speeds[-1]
        tensors.append(x - rate * ahead)
    return (*tensors, *speeds)
