"""Remove nodes that return their input unchanged.

Unchanged means bit for bit: ``x - 0.0`` and ``x + -0.0`` go, ``x + 0.0`` stays, because it turns -0.0 into 0.0.
Dropout without ``training_mode`` is inference, also in the opsets that had ``is_test``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.passes.match import (
    are_known_same,
    const_of,
    dtype_of,
    ints_of,
    is_given,
    is_known_same,
    rank_of,
    shape_of,
    static_shape_of,
    uniform_of,
)
from orpheus_core.passes.rewriting import Context, Replacement, rewrite


def run(graph: Graph) -> Graph:
    """Readers of such a node's output read its input instead."""
    return rewrite(graph, _remove, starts=frozenset(_TESTS))


def _remove(node: Node, context: Context) -> Replacement | None:
    test = _TESTS.get(node.op)
    if test is None or node.domain or not node.outputs or node.outputs[0] is None:
        return None
    if any(context.is_read(v) for v in node.results if v is not node.outputs[0]):
        return None
    index = test(node)
    source = None if index is None else node.input(index)
    return None if source is None else Replacement(values={node.outputs[0]: source})


# Each test gives the index of the input that the node returns, or None.


def _keeps_shape(node: Node) -> int | None:
    return 0 if are_known_same(shape_of(node.input(0)), shape_of(node.outputs[0])) else None


def _dropout(node: Node) -> int | None:
    if node.version < 12 or node.input(2) is None:
        return 0
    training = uniform_of(node.input(2))
    return None if training is None or training else 0


def _keeps_dtype(node: Node) -> int | None:
    dtype = dtype_of(node.input(0))
    return 0 if dtype is not None and dtype is dtype_of(node.outputs[0]) else None


def _transpose(node: Node) -> int | None:
    perm: Any = node.attributes.get("perm")
    rank = rank_of(node.input(0))
    if perm is None:
        return 0 if rank is not None and rank < 2 else None
    return 0 if tuple(perm) == tuple(range(len(perm))) else None


def _axes_empty(node: Node) -> int | None:
    if not is_given(node, 1, "axes"):
        return _keeps_shape(node)
    return 0 if ints_of(node, 1, "axes") == () else _keeps_shape(node)


def _pad(node: Node) -> int | None:
    pads = ints_of(node, 1, "paddings" if node.version < 2 else "pads")
    return 0 if pads is not None and not any(pads) else None


def _slice(node: Node) -> int | None:
    """A slice keeps everything when each axis starts at 0, steps by 1 and ends at or behind the size."""
    starts, ends = ints_of(node, 1, "starts"), ints_of(node, 2, "ends")
    shape = shape_of(node.input(0))
    if starts is None or ends is None or shape is None or any(starts) or len(starts) != len(ends):
        return None
    axes: tuple[int, ...] | None = tuple(range(len(starts)))
    if is_given(node, 3, "axes"):
        axes = ints_of(node, 3, "axes")
    steps = ints_of(node, 4, None) if is_given(node, 4, None) else (1,) * len(starts)
    if axes is None or steps is None or any(s != 1 for s in steps):
        return None
    for axis, end in zip(axes, ends):
        size = shape[axis]
        if end < 2**31 - 1 and not (isinstance(size, int) and end >= size):
            return None
    return 0


def _repeats(node: Node) -> int | None:
    repeats = ints_of(node, 1, None)
    return 0 if node.version >= 6 and repeats is not None and all(r == 1 for r in repeats) else None


def _alone(node: Node) -> int | None:
    return 0 if len(node.inputs) == 1 else None


def _only_part(node: Node) -> int | None:
    return _keeps_shape(node) if len(node.outputs) == 1 else None


def _neutral(value: Value | None, number: float, node: Node, other: Value | None) -> bool:
    """Whether ``value`` is all ``number`` and leaves shape and type of ``other`` alone."""
    found = uniform_of(value)
    if found is None or found != number or node.version < 7 or isinstance(found, bool):
        return False
    if dtype_of(value) is not dtype_of(other):
        return False
    small, large = shape_of(value), shape_of(other)
    if small is None or large is None or len(small) > len(large):
        return False
    return all(a == 1 or is_known_same(a, b) for a, b in zip(reversed(small), reversed(large)))


def _has_sign_bit(value: Value | None) -> bool:
    array = const_of(value)
    return array is not None and bool(np.signbit(array.astype(np.float64)).all())


def _add(node: Node) -> int | None:
    for index, other in ((0, 1), (1, 0)):
        zero = node.input(other)
        if _neutral(zero, 0, node, node.input(index)):
            dtype = dtype_of(zero)
            if dtype is not None and (dtype.numpy.kind in "iu" or _has_sign_bit(zero)):
                return index
    return None


def _subtract(node: Node) -> int | None:
    zero = node.input(1)
    if not _neutral(zero, 0, node, node.input(0)):
        return None
    array = const_of(zero)
    return 0 if array is not None and not np.signbit(array.astype(np.float64)).any() else None


def _multiply(node: Node) -> int | None:
    for index, other in ((0, 1), (1, 0)):
        if _neutral(node.input(other), 1, node, node.input(index)):
            return index
    return None


def _by_one(node: Node) -> int | None:
    return 0 if _neutral(node.input(1), 1, node, node.input(0)) else None


def _power(node: Node) -> int | None:
    exponent, base = node.input(1), node.input(0)
    if uniform_of(exponent) != 1 or node.version < 7:
        return None
    return 0 if are_known_same(shape_of(base), shape_of(node.outputs[0])) else None


def _clip(node: Node) -> int | None:
    bounds = [
        (node.attributes.get("min") if node.version < 11 else node.input(1), -np.inf, np.less_equal),
        (node.attributes.get("max") if node.version < 11 else node.input(2), np.inf, np.greater_equal),
    ]
    dtype = dtype_of(node.input(0))
    for given, limit, beyond in bounds:
        bound: Any = const_of(given) if isinstance(given, Value) else given
        if given is None:
            continue
        if bound is None or dtype is None:
            return None
        if dtype.numpy.kind in "iu":
            info = np.iinfo(dtype.numpy)
            limit = info.min if limit < 0 else info.max
        if not np.all(beyond(np.asarray(bound), limit)):
            return None
    return 0


def _pool(node: Node) -> int | None:
    names = ("kernel_shape", "strides")
    given: list[Any] = [node.attributes.get(name, ()) for name in names]
    pads: Any = node.attributes.get("pads", ())
    return 0 if all(d == 1 for values in given for d in values) and not any(pads) else None


def _resize(node: Node) -> int | None:
    """To the same size, by scales of exactly 1, in a mode whose coordinates then are the pixels' own."""
    place = node.attributes.get("coordinate_transformation_mode", "asymmetric")
    if place in ("tf_crop_and_resize", "tf_half_pixel_for_nn"):
        return None
    if node.op == "Upsample" and node.version < 9:
        given: Any = node.attributes.get("scales", ())
        return 0 if given and all(s == 1 for s in given) else None
    scales = const_of(node.input(1 if node.version < 11 else 2))
    if scales is not None and scales.size:
        return 0 if bool((scales == 1).all()) else None
    same = static_shape_of(node.input(0)) is not None and _keeps_shape(node) == 0
    return 0 if same and is_given(node, 3, None) else None


_TESTS: dict[str, Callable[[Node], int | None]] = {
    "Identity": lambda node: 0,
    "Dropout": _dropout,
    "Cast": _keeps_dtype,
    "CastLike": _keeps_dtype,
    "Transpose": _transpose,
    "Reshape": _keeps_shape,
    "Flatten": _keeps_shape,
    "Squeeze": _axes_empty,
    "Unsqueeze": _axes_empty,
    "Expand": _keeps_shape,
    "Pad": _pad,
    "Slice": _slice,
    "Tile": _repeats,
    "Concat": _alone,
    "Sum": _alone,
    "Max": _alone,
    "Min": _alone,
    "Mean": _alone,
    "Split": _only_part,
    "Add": _add,
    "Sub": _subtract,
    "Mul": _multiply,
    "Div": _by_one,
    "Pow": _power,
    "Clip": _clip,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "Resize": _resize,
    "Upsample": _resize,
}
