"""Activations that fused operators carry: how an ONNX node and (name, parameters) turn into each other.

The name is the ONNX operator's own (https://onnx.ai/onnx/operators/); the parameters are floats in the order
that :data:`ACTIVATIONS` lists, always all of them. ``Gelu``'s only parameter is 1 for the tanh approximation
and 0 for the exact form; a side of ``Clip`` that is open is infinite.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.ops.build import make_node
from orpheus_core.types import DType, TensorType

#: Operator name -> names of its parameters, in the order of ``activation_params``.
ACTIVATIONS: dict[str, tuple[str, ...]] = {
    "Relu": (),
    "Clip": ("min", "max"),
    "LeakyRelu": ("alpha",),
    "Sigmoid": (),
    "Tanh": (),
    "HardSigmoid": ("alpha", "beta"),
    "HardSwish": (),
    "Swish": ("alpha",),
    "Elu": ("alpha",),
    "Celu": ("alpha",),
    "Selu": ("alpha", "gamma"),
    "Gelu": ("approximate",),
    "Mish": (),
    "Softplus": (),
    "Softsign": (),
    "ThresholdedRelu": ("alpha",),
}

_GELU_FORMS = ("none", "tanh")


def activation_of(node: Node) -> tuple[str, tuple[float, ...]] | None:
    """Name and parameters of a node that is an activation of input 0, or None.

    None also when a parameter is not constant, or would change when kept as a float32 attribute.
    """
    if node.domain or node.op not in ACTIVATIONS or node.input(0) is None:
        return None
    if node.op == "Clip":
        bounds = _clip_bounds(node)
        return None if bounds is None else (node.op, bounds)
    if node.op == "Gelu":
        return node.op, (float(_GELU_FORMS.index(str(node.attributes["approximate"]))),)
    return node.op, tuple(_number(node.attributes[name]) for name in ACTIVATIONS[node.op])


def activation_node(
    name: str, parameters: Sequence[float], x: Value, y: Value, dtype: DType | None = None
) -> Node:
    """The ONNX node ``y = name(x)``. ``dtype`` is x's element type, needed by Clip when x's type is unknown.

    Raises ValueError for an unknown activation, a wrong number of parameters, or a Clip of unknown type.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"{name!r} is not an activation; there are {', '.join(ACTIVATIONS)}")
    names = ACTIVATIONS[name]
    if len(parameters) != len(names):
        raise ValueError(f"{name} takes {len(names)} parameters {names}, got {tuple(parameters)}")
    if name == "Clip":
        bounds = [
            None if math.isinf(value) else _bound(f"{y.name}_{side}", value, x, dtype)
            for side, value in zip(names, parameters)
        ]
        return make_node("Clip", [x, *bounds], [y])
    if name == "Gelu":
        return make_node("Gelu", [x], [y], {"approximate": _GELU_FORMS[int(parameters[0])]})
    return make_node(name, [x], [y], dict(zip(names, map(float, parameters))))


def _clip_bounds(node: Node) -> tuple[float, float] | None:
    bounds = []
    for index, missing in ((1, -math.inf), (2, math.inf)):
        value = node.input(index)
        if value is None:
            bounds.append(missing)
        elif value.const is None or value.const.size != 1:
            return None
        else:
            bound = float(value.const.reshape(()).astype(np.float64))
            if math.isnan(bound) or float(np.float32(bound)) != bound:
                return None
            bounds.append(bound)
    low, high = bounds
    # An infinite bound on the wrong side is legal but cannot be told from an open one.
    return None if low == math.inf or high == -math.inf else (low, high)


def _bound(name: str, value: float, x: Value, dtype: DType | None) -> Value:
    if dtype is None and isinstance(x.type, TensorType):
        dtype = x.type.dtype
    if dtype is None:
        raise ValueError(f"Clip of %{x.name} needs an element type for its bounds")
    return Value.constant(name, np.asarray(value, dtype=dtype.numpy))


def _number(value: object) -> float:
    if not isinstance(value, (int, float)):
        raise TypeError(f"an activation's parameter must be a number, got {value!r}")
    return float(value)
