"""Evaluating single nodes at compile time: the interface, and a table of shape-like operators in numpy.

The table covers what exporters emit around shapes, so that shape arithmetic folds without any backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np

from orpheus_core.geometry.slices import slice_of
from orpheus_core.graph import Node
from orpheus_core.types import Array, DType


class Evaluator(Protocol):
    """Computes one node; the session gives one that runs the kernels of a host backend."""

    def evaluate(self, node: Node, inputs: tuple[Array | None, ...]) -> tuple[Array, ...] | None:
        """The outputs in order, or None when nothing here can compute the node."""


#: Gives the only output of a node, or None when the table does not cover the case.
Function: TypeAlias = Callable[[Node, "tuple[Array | None, ...]"], "Array | None"]


def evaluate_small(node: Node, inputs: tuple[Array | None, ...], limit: int) -> tuple[Array, ...] | None:
    """The outputs of a shape-like node, or None when the table does not cover it.

    Results of more than ``limit`` bytes are not made. Element types outside bool, the integers and float16 to
    float64 are not computed, only moved.
    """
    function = _TABLE.get(node.op)
    if function is None or node.domain or len(node.results) != 1 or any(a is None for a in inputs[:1]):
        return None
    if node.op in _GROWING and not _GROWING[node.op](inputs, limit):
        return None
    try:
        with np.errstate(all="ignore"):
            result = function(node, inputs)
    except (ValueError, IndexError, TypeError):
        return None  # the model is at fault; leave it for the run, which names the node
    return None if result is None else (np.asarray(result),)


def _axes(node: Node, inputs: tuple[Array | None, ...], index: int) -> tuple[int, ...] | None:
    given: Any = node.attributes.get("axes")
    if given is None and index < len(inputs):
        given = inputs[index]
    return None if given is None else tuple(int(a) for a in np.asarray(given).reshape(-1))


def _is_plain(*arrays: Array | None) -> bool:
    return all(a is not None and a.dtype.kind in "biuf" and a.dtype.itemsize <= 8 for a in arrays)


def _constant(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    given: Any = node.attributes
    for name, dtype in (("value", None), ("value_int", np.int64), ("value_ints", np.int64),
                        ("value_float", np.float32), ("value_floats", np.float32),
                        ("value_string", object), ("value_strings", object)):  # fmt: skip
        if name in given:
            return np.asarray(given[name], dtype=dtype)
    return None


def _constant_of_shape(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    (shape,) = inputs
    fill: Any = node.attributes.get("value")
    assert shape is not None
    filler = np.zeros(1, np.float32) if fill is None else np.asarray(fill)
    return np.full(tuple(int(d) for d in shape), filler.reshape(-1)[0], filler.dtype)


def _shape(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    assert inputs[0] is not None
    start: Any = node.attributes.get("start", 0)
    end: Any = node.attributes.get("end")
    return np.array(inputs[0].shape[start:end], dtype=np.int64)


def _cast(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    to: Any = node.attributes["to"]
    (array,) = inputs
    target = DType.from_onnx(int(to)).numpy
    assert array is not None
    if array.dtype == target:
        return array
    if not _is_plain(array) or target.kind not in "biuf":
        return None
    if array.dtype.kind == "f" and target.kind in "iu":
        # Out of range is undefined in ONNX: not for the compiler to decide.
        bounds = np.iinfo(target)
        if not np.isfinite(array).all() or ((array < bounds.min) | (array > bounds.max)).any():
            return None
    return array.astype(target)


def _gather(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    data, indices = inputs
    axis: Any = node.attributes.get("axis", 0)
    assert data is not None and indices is not None
    return np.take(data, indices, axis=axis)


def _slice(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    data = inputs[0]
    assert data is not None
    if node.version < 10:
        starts: Any = node.attributes["starts"]
        ends: Any = node.attributes["ends"]
        axes: Any = node.attributes.get("axes")
        steps: Any = None
    else:
        starts, ends, axes, steps = (*inputs[1:], None, None)[:4]
    starts, ends = np.asarray(starts), np.asarray(ends)
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    index: list[Any] = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps):
        index[int(axis)] = slice_of(int(start), int(end), int(step), data.shape[int(axis)])
    return np.asarray(data[tuple(index)])


def _concat(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    axis: Any = node.attributes.get("axis", 1)
    return np.concatenate([a for a in inputs if a is not None], axis=axis)


def _unsqueeze(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    axes = _axes(node, inputs, 1)
    assert inputs[0] is not None
    return None if axes is None else np.expand_dims(inputs[0], axes)


def _squeeze(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    assert inputs[0] is not None
    return np.squeeze(inputs[0], _axes(node, inputs, 1))


def _reshape(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    data = inputs[0]
    target: Any = node.attributes["shape"] if node.version < 5 else inputs[1]
    assert data is not None
    shape = [int(d) for d in target]
    if not node.attributes.get("allowzero"):
        shape = [data.shape[i] if d == 0 else d for i, d in enumerate(shape)]
    return data.reshape(shape)


def _flatten(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    axis: Any = node.attributes.get("axis", 1)
    assert inputs[0] is not None
    shape = inputs[0].shape
    return np.reshape(inputs[0], (math.prod(shape[:axis]), math.prod(shape[axis:])))


def _transpose(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    perm: Any = node.attributes.get("perm")
    assert inputs[0] is not None
    return np.asarray(np.transpose(inputs[0], perm))


def _expand(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    data, shape = inputs
    assert data is not None and shape is not None
    return np.array(np.broadcast_to(data, np.broadcast_shapes(data.shape, tuple(int(d) for d in shape))))


def _tile(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    data, repeats = inputs
    if node.version < 6 or data is None or repeats is None:
        return None
    return np.tile(data, tuple(int(r) for r in repeats))


def _range(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    start, limit, delta = (np.asarray(a).reshape(()) for a in inputs)
    if start.dtype.kind not in "iu" or delta == 0:
        return None
    return np.arange(int(start), int(limit), int(delta), dtype=start.dtype)


def _where(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
    condition, x, y = inputs
    assert condition is not None and x is not None and y is not None
    return np.where(condition, x, y).astype(x.dtype)


def _binary(function: Callable[[Array, Array], Any]) -> Function:
    def run(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
        a, b = inputs
        # Before version 7 these operators broadcast by an attribute.
        if node.version < 7 or a is None or b is None or not _is_plain(a, b) or a.dtype != b.dtype:
            return None
        result = function(a, b)
        return None if result is None else np.asarray(result)

    return run


def _divide(a: Array, b: Array) -> Any:
    if a.dtype.kind == "f":
        return a / b
    if not b.all():
        return None
    quotient = a // b
    # ONNX rounds integer quotients towards zero, numpy towards minus infinity.
    return (quotient + ((quotient < 0) & (quotient * b != a))).astype(a.dtype)


def _unary(function: Callable[[Array], Any], kinds: str = "iuf") -> Function:
    def run(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
        (a,) = inputs
        return np.asarray(function(a)) if a is not None and _is_plain(a) and a.dtype.kind in kinds else None

    return run


def _reduce(function: Callable[..., Any]) -> Function:
    def run(node: Node, inputs: tuple[Array | None, ...]) -> Array | None:
        data = inputs[0]
        axes = _axes(node, inputs, 1)
        # Float sums are left to a kernel, whose order of summation is the backend's affair.
        if data is None or data.dtype.kind not in "iu":
            return None
        if not axes:
            if node.attributes.get("noop_with_empty_axes"):
                return data
            axes = None
        keep = bool(node.attributes.get("keepdims", 1))
        return np.asarray(function(data, axis=axes, keepdims=keep)).astype(data.dtype)

    return run


_TABLE: dict[str, Function] = {
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Shape": _shape,
    "Size": lambda node, inputs: np.array(np.size(np.asarray(inputs[0])), dtype=np.int64),
    "Identity": lambda node, inputs: inputs[0],
    "Cast": _cast,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": _transpose,
    "Expand": _expand,
    "Tile": _tile,
    "Range": _range,
    "Where": _where,
    "Add": _binary(np.add),
    "Sub": _binary(np.subtract),
    "Mul": _binary(np.multiply),
    "Div": _binary(_divide),
    "Equal": _binary(np.equal),
    "Less": _binary(np.less),
    "LessOrEqual": _binary(np.less_equal),
    "Greater": _binary(np.greater),
    "GreaterOrEqual": _binary(np.greater_equal),
    "And": _binary(np.logical_and),
    "Or": _binary(np.logical_or),
    "Xor": _binary(np.logical_xor),
    "Not": _unary(np.logical_not, "b"),
    "Neg": _unary(np.negative, "if"),
    "Abs": _unary(np.abs),
    "Floor": _unary(np.floor, "f"),
    "Ceil": _unary(np.ceil, "f"),
    "Sqrt": _unary(np.sqrt, "f"),
    "ReduceProd": _reduce(np.prod),
    "ReduceSum": _reduce(np.sum),
    "ReduceMax": _reduce(np.max),
    "ReduceMin": _reduce(np.min),
}


def _fits_shape(inputs: tuple[Array | None, ...], limit: int) -> bool:
    return math.prod(max(int(d), 1) for d in np.asarray(inputs[0])) * 8 <= limit


def _fits_expand(inputs: tuple[Array | None, ...], limit: int) -> bool:
    data, factors = np.asarray(inputs[0]), np.asarray(inputs[1])
    return data.nbytes * math.prod(max(int(d), 1) for d in factors.reshape(-1)) <= limit


def _fits_range(inputs: tuple[Array | None, ...], limit: int) -> bool:
    start, end, delta = (np.asarray(a).reshape(-1)[0] for a in inputs)
    return bool(delta) and abs((float(end) - float(start)) / float(delta)) * 8 <= limit


# Operators whose result can be far larger than what they read, with a bound that is looked at before.
_GROWING: dict[str, Callable[[tuple[Array | None, ...], int], bool]] = {
    "ConstantOfShape": _fits_shape,
    "Expand": _fits_expand,
    "Tile": _fits_expand,
    "Range": _fits_range,
}
