"""Per-channel affine maps ``y = x * scale + shift`` with constant scale and shift, and folding them into weights.

Everything is computed in float64 and rounded once, to the type of the constant it replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.ops import ORPHEUS_DOMAIN
from orpheus_core.passes.match import const_of, dtype_of, is_op, rank_of, shape_of
from orpheus_core.types import Array


@dataclass(frozen=True)
class Affine:
    """``x * scale + shift``; both float64, of shape () or [C] along ``axis`` of x (None: both are ())."""

    x: Value
    axis: int | None
    scale: Array
    shift: Array

    @property
    def keeps_scale(self) -> bool:
        """Whether the scale is 1 everywhere."""
        return bool((self.scale == 1).all())

    @property
    def keeps_zero(self) -> bool:
        """Whether the shift is 0 everywhere."""
        return bool((self.shift == 0).all())

    def along(self, axis: int, size: int) -> tuple[Array, Array] | None:
        """Scale and shift as [size] when they run along ``axis`` or are single numbers, else None."""
        if (
            self.axis not in (None, axis)
            or self.scale.size not in (1, size)
            or self.shift.size not in (1, size)
        ):
            return None
        scale, shift = np.broadcast_arrays(self.scale, self.shift, np.empty(size))[:2]
        return scale, shift


#: Reads a node as an affine map of one of its inputs, or gives None.
Reader = Callable[[Node], "Affine | None"]


def remembered(read: Reader) -> Reader:
    """A reader for one pass, which looks at a node from several sides: each is read once."""
    known: dict[Node, Affine | None] = {}

    def again(node: Node) -> Affine | None:
        if node not in known:
            known[node] = read(node)
        return known[node]

    return again


def read_normalization(node: Node) -> Affine | None:
    """A BatchNormalization in inference with constant parameters, or a ScaleShift without activation."""
    if is_op(node, "BatchNormalization"):
        return _read_batch_norm(node)
    if node.domain == ORPHEUS_DOMAIN and node.op == "ScaleShift" and not node.attributes["activation"]:
        x, scale, shift = node.inputs
        axis, rank = node.attributes["axis"], rank_of(x)
        if x is None or scale is None or shift is None or scale.const is None or shift.const is None:
            return None
        if not isinstance(axis, int) or (axis < 0 and rank is None):
            return None
        axis = axis if axis >= 0 else axis + (rank or 0)
        return Affine(x, axis, _wide(scale.const), _wide(shift.const))
    return None


def _read_batch_norm(node: Node) -> Affine | None:
    trains = node.attributes.get("training_mode", 0) or len(node.results) > 1
    if trains or node.version < 7 or node.attributes.get("spatial", 1) != 1:
        return None
    x, *parameters = node.inputs
    arrays = [const_of(v) for v in parameters]
    if x is None or x.const is not None or len(arrays) != 4:
        return None
    if len({None if a is None else a.shape for a in arrays}) != 1:
        return None
    gamma, beta, mean, variance = (None if a is None else _wide(a) for a in arrays)
    epsilon = node.attributes["epsilon"]
    if (
        gamma is None
        or beta is None
        or mean is None
        or variance is None
        or gamma.ndim != 1
        or not isinstance(epsilon, (int, float))
    ):
        return None
    with np.errstate(all="ignore"):
        scale = gamma / np.sqrt(variance + epsilon)
        shift = beta - mean * scale
    return Affine(x, 1, scale, shift) if _finite(scale, shift) else None


def read_arithmetic(node: Node) -> Affine | None:
    """Add, Sub, Mul or Div with a constant that is one number or runs along one axis; Neg."""
    if is_op(node, "Neg"):
        x = node.input(0)
        ok = x is not None and x.const is None and _is_float(x)
        return Affine(x, None, np.full((), -1.0), np.zeros(())) if ok and x is not None else None
    if not is_op(node, "Add", "Sub", "Mul", "Div"):
        return None
    left, right = node.input(0), node.input(1)
    if left is None or right is None or (left.const is None) == (right.const is None):
        return None
    x, constant = (left, right) if left.const is None else (right, left)
    found = _channel_constant(constant, x) if _is_float(x) else None
    if found is None:
        return None
    array, axis = found
    one: Array = np.ones(())
    zero: Array = np.zeros(())
    if node.op == "Add":
        scale, shift = one, array
    elif node.op == "Sub":
        scale, shift = (one, -array) if x is left else (-one, array)
    elif node.op == "Mul":
        scale, shift = array, zero
    elif x is left and (array != 0).all():
        with np.errstate(all="ignore"):
            scale, shift = 1 / array, zero
    else:
        return None
    return Affine(x, axis, np.asarray(scale), np.asarray(shift)) if _finite(scale, shift) else None


def _channel_constant(constant: Value, x: Value) -> tuple[Array, int | None] | None:
    """The constant as () or [C] with the axis of x it runs along, if broadcasting leaves x's shape alone."""
    array, shape = constant.const, shape_of(x)
    if array is None or (shape is None and array.ndim) or (shape is not None and array.ndim > len(shape)):
        return None
    wide = [axis for axis, size in enumerate(array.shape) if size != 1]
    if not wide:
        return _wide(array).reshape(()), None
    if len(wide) > 1 or shape is None:
        return None
    axis = wide[0] - array.ndim + len(shape)
    return (_wide(array).reshape(-1), axis) if shape[axis] == array.size else None


def compose(first: Affine, second: Affine) -> Affine | None:
    """``second`` after ``first`` as one map of first's x, or None when they run along different axes or sizes."""
    if first.axis is not None and second.axis is not None and first.axis != second.axis:
        return None
    if len({a.size for a in (first.scale, first.shift, second.scale, second.shift)} - {1}) > 1:
        return None
    axis = second.axis if first.axis is None else first.axis
    scale, shift = first.scale * second.scale, first.shift * second.scale + second.shift
    return Affine(first.x, axis, scale, shift) if _finite(scale, shift) else None


def rounded(array: Array, like: Array) -> Array | None:
    """``array`` in the type of ``like``, or None when that overflows."""
    with np.errstate(all="ignore"):
        result = np.ascontiguousarray(array).astype(like.dtype)
    return result if _finite(result) else None


def _wide(array: Array) -> Array:
    return array.astype(np.float64)


def _is_float(value: Value) -> bool:
    dtype = dtype_of(value)
    return dtype is not None and dtype.is_float


def _finite(*arrays: Array) -> bool:
    return all(bool(np.isfinite(np.asarray(a).astype(np.float64)).all()) for a in arrays)
