"""What a kernel does to its result before storing it: clamp and activation, as numbers for the native side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

#: Activations that are more than a clamp -> their number in native/kernels/activate.cpp.
NUMBERS = {
    "LeakyRelu": 1, "Sigmoid": 2, "Tanh": 3, "HardSigmoid": 4, "HardSwish": 5, "Swish": 6, "Elu": 7, "Celu": 8,
    "Selu": 9, "Gelu": 10, "Mish": 12, "Softplus": 13, "Softsign": 14, "ThresholdedRelu": 15,
    "Exp": 16, "Abs": 17, "Neg": 18, "Sqrt": 19, "Reciprocal": 20, "Log": 21, "Erf": 22, "Floor": 23, "Ceil": 24,
}  # fmt: skip
_GELU_TANH = 11
#: Those that move zero, whatever their parameters. Neg makes it -0, whose bits are not those of zero.
_MOVES_ZERO = ("Sigmoid", "HardSigmoid", "Softplus", "Exp", "Reciprocal", "Log", "Neg")


def activation(name: str, parameters: Sequence[float] = ()) -> dict[str, Any]:
    """``lo``, ``hi``, ``act``, ``act_a`` and ``act_b`` of an activation, named as in orpheus_core.ops.activations."""
    values: dict[str, Any] = {"lo": -math.inf, "hi": math.inf, "act": 0, "act_a": 0.0, "act_b": 0.0}
    if name == "Relu":
        values["lo"] = 0.0
    elif name == "Clip":
        values["lo"], values["hi"] = clip_bounds(*parameters)
    elif name:
        values["act"] = NUMBERS[name]
        if name == "Gelu":
            values["act"] = _GELU_TANH if parameters and parameters[0] else NUMBERS["Gelu"]
        else:
            values["act_a"], values["act_b"] = (*map(float, parameters), 0.0, 0.0)[:2]
    return values


def clip_bounds(low: float, high: float) -> tuple[float, float]:
    """ONNX lets the upper bound win where the bounds cross."""
    return min(low, high), high


def of_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The activation of a fused operator's attributes; none for an operator that has none."""
    return activation(str(attributes.get("activation", "")), attributes.get("activation_params", ()))


def moves_zero(name: str, parameters: Sequence[float] = ()) -> bool:
    """Whether activation(0) is not 0, so that the padding of a blocked tensor must be zeroed again."""
    if name == "Clip":
        low, high = clip_bounds(*parameters)
        return low > 0 or high < 0
    if name == "ThresholdedRelu":
        return bool(parameters) and parameters[0] < 0
    # Zero times infinity is not a number.
    return name in _MOVES_ZERO or not all(map(math.isfinite, parameters))
