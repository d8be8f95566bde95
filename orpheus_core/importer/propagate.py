"""Small integer values that are known while types are inferred: the arithmetic of shapes.

Exporters compute the target of a Reshape from Shape, Gather, Concat and the like. Where every part is known, so is
the result, and inference needs it to tell the rank and shape of what follows. Each rule here is numpy's own function;
nothing above :data:`LARGEST` elements is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from orpheus_core.geometry.slices import slice_of
from orpheus_core.graph import Node, Value
from orpheus_core.types import Array, DType, TensorType

#: The most elements a propagated value may have.
LARGEST = 256

_INTEGERS = (np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.bool_))


def is_small(array: Array) -> bool:
    """Whether a constant is worth keeping as a known value."""
    return array.size <= LARGEST and array.dtype in _INTEGERS


def evaluate(node: Node, known: Mapping[Value, Array]) -> Array | None:
    """The value of the node's only output, when its inputs are known and the operator is one of shape arithmetic."""
    if node.domain or len(node.outputs) != 1 or node.outputs[0] is None:
        return None
    if node.op in ("Shape", "Size"):
        return _shape(node)
    rule = _RULES.get(node.op)
    if rule is None or "axes" in node.attributes:  # axes as an attribute: a form older than these rules
        return None
    inputs: list[Array | None] = []
    for value in node.inputs:
        found = None if value is None else known.get(value)
        if value is not None and found is None:
            return None
        inputs.append(found)
    try:
        with np.errstate(all="ignore"):
            result = rule(inputs, node.attributes)
    except (ValueError, LookupError, TypeError, ArithmeticError, MemoryError):
        return None  # the operator's own checks will say what is wrong
    if result is None:
        return None
    array = np.asarray(result)
    return array if is_small(array) else None


def _shape(node: Node) -> Array | None:
    source = node.inputs[0]
    shape = source.type.static_shape if source is not None and isinstance(source.type, TensorType) else None
    if shape is None:
        return None
    if node.op == "Size":
        total = math.prod(shape)
        return np.array(total, np.int64) if total < 2**63 else None
    start: Any = node.attributes.get("start", 0)
    end: Any = node.attributes.get("end")
    return np.array(shape[start:end], np.int64)


def _slice(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array | None:
    data, starts, ends = inputs[:3]
    axes = inputs[3] if len(inputs) > 3 and inputs[3] is not None else np.arange(len(starts))
    steps = inputs[4] if len(inputs) > 4 and inputs[4] is not None else np.ones(len(starts), np.int64)
    index = [slice(None)] * data.ndim
    for start, end, axis, step in zip(
        starts.tolist(), ends.tolist(), axes.tolist(), steps.tolist(), strict=True
    ):
        index[axis] = slice_of(start, end, step, data.shape[axis])
    return np.asarray(data[tuple(index)])


def _unsqueeze(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array:
    axes = tuple(inputs[1].reshape(-1).tolist())
    rank = inputs[0].ndim + len(axes)
    return np.expand_dims(inputs[0], tuple(a % rank for a in axes))


def _squeeze(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array:
    axes = inputs[1] if len(inputs) > 1 else None
    return np.asarray(np.squeeze(inputs[0], None if axes is None else tuple(axes.reshape(-1).tolist())))


def _cast(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array | None:
    target = DType.from_onnx(attributes["to"]).numpy
    return np.asarray(inputs[0].astype(target)) if target in _INTEGERS else None


def _reshape(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array:
    target = inputs[1].tolist()
    if not attributes.get("allowzero"):
        target = [inputs[0].shape[i] if d == 0 else d for i, d in enumerate(target)]
    return np.asarray(inputs[0].reshape(target))


def _div(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array | None:
    left, right = inputs
    if (right == 0).any():
        return None
    # ONNX divides integers towards zero.
    quotient = np.abs(left) // np.abs(right)
    return np.asarray(np.where((left < 0) != (right < 0), -quotient, quotient), left.dtype)


def _mod(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array | None:
    if (inputs[1] == 0).any():
        return None
    return np.asarray((np.fmod if attributes.get("fmod") else np.mod)(*inputs))


def _constant_of_shape(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array | None:
    value = attributes.get("value")
    shape = tuple(inputs[0].tolist())
    if value is None or value.dtype not in _INTEGERS or min(shape, default=0) < 0:
        return None
    return np.full(shape, value.reshape(-1)[0], value.dtype) if _count(shape) <= LARGEST else None


def _expand(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array | None:
    shape = np.broadcast_shapes(inputs[0].shape, tuple(inputs[1].tolist()))
    return np.broadcast_to(inputs[0], shape).copy() if _count(shape) <= LARGEST else None


def _range(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array | None:
    start, limit, delta = (i.item() for i in inputs)
    if delta == 0 or (limit - start) / delta > LARGEST:
        return None
    return np.arange(start, limit, delta, dtype=inputs[0].dtype)


def _reduce(function: Callable[..., Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], Any]:
    def rule(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
        axes = inputs[1] if len(inputs) > 1 else None
        if (axes is None or not len(axes)) and attributes.get("noop_with_empty_axes"):
            return inputs[0]
        chosen = None if axes is None or not len(axes) else tuple(axes.tolist())
        result = function(inputs[0], axis=chosen, keepdims=bool(attributes.get("keepdims", 1)))
        return np.asarray(result).astype(inputs[0].dtype)

    return rule


def _count(shape: Sequence[int]) -> int:
    total = 1
    for dim in shape:
        total *= dim
    return total


def _elementwise(function: Callable[..., Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], Any]:
    def rule(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
        return _bounded(function, inputs)

    return rule


def _bounded(function: Callable[..., Any], inputs: Sequence[Any]) -> Any:
    if _count(np.broadcast_shapes(*(i.shape for i in inputs))) > LARGEST:
        return None
    return function(*inputs)


def _gather(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Array | None:
    if inputs[0].size * inputs[1].size > LARGEST * LARGEST:
        return None
    return np.asarray(np.take(inputs[0], inputs[1], axis=attributes.get("axis", 0)))


_RULES: dict[str, Callable[[Sequence[Any], Mapping[str, Any]], Any]] = {
    "Add": _elementwise(np.add),
    "Sub": _elementwise(np.subtract),
    "Mul": _elementwise(np.multiply),
    "Div": _div,
    "Mod": _mod,
    "Neg": _elementwise(np.negative),
    "Abs": _elementwise(np.abs),
    "Min": _elementwise(lambda *arrays: np.minimum.reduce(np.broadcast_arrays(*arrays))),
    "Max": _elementwise(lambda *arrays: np.maximum.reduce(np.broadcast_arrays(*arrays))),
    "Equal": _elementwise(np.equal),
    "Less": _elementwise(np.less),
    "Greater": _elementwise(np.greater),
    "Not": _elementwise(np.logical_not),
    "And": _elementwise(np.logical_and),
    "Or": _elementwise(np.logical_or),
    "Where": _elementwise(np.where),
    "Identity": lambda inputs, attributes: inputs[0],
    "Cast": _cast,
    "Concat": lambda inputs, attributes: np.concatenate(inputs, axis=attributes["axis"]),
    "Gather": _gather,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Reshape": _reshape,
    "ConstantOfShape": _constant_of_shape,
    "Expand": _expand,
    "Range": _range,
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
    "CumSum": lambda inputs, attributes: (
        None
        if attributes.get("exclusive") or attributes.get("reverse")
        else np.cumsum(inputs[0], axis=inputs[1].item()).astype(inputs[0].dtype)
    ),
}
