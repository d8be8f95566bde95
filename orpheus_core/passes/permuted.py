"""The same operator on permuted operands: which operators allow it, and what changes. A helper, not a pass.

A value ``v`` is held as ``s`` with ``v = Transpose(s, perm)``: axis ``i`` of ``v`` is axis ``perm[i]`` of ``s``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orpheus_core.graph import Attribute, Node, Value
from orpheus_core.passes.match import const_of, is_given, rank_of, static_shape_of
from orpheus_core.types import Array

Perm = tuple[int, ...]


@dataclass(frozen=True)
class Moved:
    """What an operator needs on permuted operands: changed attributes, and constants for inputs by index."""

    data: tuple[int, ...]
    attributes: dict[str, Attribute] = field(default_factory=dict)
    constants: dict[int, Array] = field(default_factory=dict)


def inverse(perm: Perm) -> Perm:
    """The permutation that undoes ``perm``."""
    result = [0] * len(perm)
    for i, p in enumerate(perm):
        result[p] = i
    return tuple(result)


def compose(first: Perm, second: Perm) -> Perm:
    """The permutation of ``Transpose(Transpose(x, first), second)``."""
    return tuple(first[p] for p in second)


def moved(node: Node, perm: Perm) -> Moved | None:
    """How ``node`` works on operands held by ``perm``; None when it cannot.

    ``Moved.data`` are the inputs to be permuted. All results are permuted alike.
    """
    rule = None if node.domain else _RULES.get(node.op)
    rank = len(perm)
    if rule is None or any(rank_of(v) != rank for v in node.results):
        return None
    found = rule(node, perm)
    if found is None or any(_rank_of_data(node.inputs[i], node, rank) != rank for i in found.data):
        return None
    return found


def _rank_of_data(value: Value | None, node: Node, rank: int) -> int | None:
    found = rank_of(value)
    # Constants of a smaller rank are brought to the full rank before they are permuted.
    if value is not None and value.const is not None and found is not None and node.op in _BROADCASTING:
        return max(rank, found)
    return found


def _first(node: Node, perm: Perm) -> Moved | None:
    return Moved((0,))


def _broadcast(node: Node, perm: Perm) -> Moved | None:
    if node.version < 7 and node.op != "Concat":
        return None
    data = []
    for i, value in enumerate(node.inputs):
        shape = static_shape_of(value)
        if value is None:
            return None
        if shape is not None and len(shape) < len(perm) and all(d == 1 for d in shape):
            continue  # a single element fits anywhere
        data.append(i)
    return Moved(tuple(data))


def _axis(default: int, since: int = 1) -> Callable[[Node, Perm], Moved | None]:
    def rule(node: Node, perm: Perm) -> Moved | None:
        axis: Any = node.attributes.get("axis", default)
        if node.version < since or not node.attributes.get("keepdims", 1):
            return None
        return Moved((0,), {"axis": perm[axis]})

    return rule


def _concat(node: Node, perm: Perm) -> Moved | None:
    axis: Any = node.attributes.get("axis", 1)
    return Moved(tuple(range(len(node.inputs))), {"axis": perm[axis]})


def _reduction(node: Node, perm: Perm) -> Moved | None:
    if not node.attributes.get("keepdims", 1):
        return None
    if "axes" in node.attributes:
        axes: Any = node.attributes["axes"]
        return Moved((0,), {"axes": tuple(perm[a] for a in axes)})
    if not is_given(node, 1, None):
        return Moved((0,))
    given = const_of(node.input(1))
    if given is None:
        return None
    return Moved((0,), constants={1: np.array([perm[a] for a in given.reshape(-1)], dtype=given.dtype)})


def _pad(node: Node, perm: Perm) -> Moved | None:
    pads, rank = const_of(node.input(1)), len(perm)
    if node.version < 11 or pads is None:
        return None
    if node.input(3) is not None:
        axes = const_of(node.input(3))
        if axes is None:
            return None
        return Moved((0,), constants={3: np.array([perm[a] for a in axes.reshape(-1)], dtype=axes.dtype)})
    order = inverse(perm)
    new = [pads[order[j]] for j in range(rank)] + [pads[rank + order[j]] for j in range(rank)]
    return Moved((0,), constants={1: np.array(new, dtype=pads.dtype)})


def _slice(node: Node, perm: Perm) -> Moved | None:
    axes = const_of(node.input(3))
    if node.version < 10 or axes is None:
        return None
    return Moved((0,), constants={3: np.array([perm[a] for a in axes.reshape(-1)], dtype=axes.dtype)})


def _quantize(node: Node, perm: Perm) -> Moved | None:
    """One scale for all, or one for each index of an axis."""
    shape = static_shape_of(node.input(1))
    if shape is None or len(shape) > 1 or node.attributes.get("block_size"):
        return None
    axis: Any = node.attributes.get("axis")
    return Moved((0,), {} if axis is None else {"axis": perm[axis]})


_UNARY = (
    "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "CastLike", "Ceil", "Celu", "Clip",
    "Cos", "Cosh", "Dropout", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf",
    "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid",
    "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu",
)  # fmt: skip
_BROADCASTING = frozenset((
    "Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Sum", "Where", "Xor",
))  # fmt: skip
_REDUCTIONS = ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
               "ReduceProd", "ReduceSum", "ReduceSumSquare")  # fmt: skip

_RULES: dict[str, Callable[[Node, Perm], Moved | None]] = {
    **dict.fromkeys(_UNARY, _first),
    **dict.fromkeys(_BROADCASTING, _broadcast),
    **dict.fromkeys(_REDUCTIONS, _reduction),
    "ArgMax": _axis(0),
    "ArgMin": _axis(0),
    "Concat": _concat,
    "DequantizeLinear": _quantize,
    "Hardmax": _axis(-1, 13),
    "LogSoftmax": _axis(-1, 13),
    "Pad": _pad,
    "QuantizeLinear": _quantize,
    "Slice": _slice,
    "Softmax": _axis(-1, 13),
    "Split": _axis(0, 2),
}


def permuted_constant(array: Array, perm: Perm) -> Array:
    """A constant operand as it is held by ``perm``, with leading axes of size 1 up to the full rank."""
    full = array.reshape((1,) * (len(perm) - array.ndim) + array.shape)
    return np.ascontiguousarray(full.transpose(inverse(perm)))
