"""Let convolutions and poolings do the padding of the Pad before them.

The padded value has to be the one that the operator itself pads with: 0 for Conv, the zero point for integer
convolutions, 0 for an AveragePool that counts its padding, minus infinity for MaxPool (or anything not above the
least of its input: 0 after Relu).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.passes.match import const_of, dtype_of, ints_of, is_given, is_op, rank_of, uniform_of
from orpheus_core.passes.rewriting import Context, Replacement, rewrite

_NONNEGATIVE = ("Relu", "Sigmoid", "Softmax", "Abs", "HardSigmoid", "Exp", "Sqrt", "Softplus")
_KEEPS_SIGN = ("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "Reshape", "Transpose", "Flatten",
               "Squeeze", "Unsqueeze", "Identity", "Slice")  # fmt: skip
_WINDOWS = frozenset(("Conv", "ConvInteger", "QLinearConv", "AveragePool", "MaxPool"))


def run(graph: Graph) -> Graph:
    """Fold every Pad that only lengthens spatial axes by constant amounts."""
    return rewrite(graph, _fold, starts=_WINDOWS) if "Pad" in graph.ops else graph


def _fold(node: Node, context: Context) -> Replacement | None:
    if not is_op(node, *_WINDOWS):
        return None
    pad = context.producer(node.input(0))
    if pad is None or not is_op(pad, "Pad") or node.attributes.get("auto_pad", "NOTSET") != "NOTSET":
        return None
    amounts = _spatial(pad)
    value = _padded_value(pad)
    if amounts is None or value is None:
        return None
    own: Any = node.attributes.get("pads", (0,) * len(amounts))
    pads = tuple(a + b for a, b in zip(own, amounts))
    if not _pads_alike(node, value, own, pads, pad.inputs[0], context):
        return None
    attributes = {**node.attributes, "pads": pads}
    if node.op == "AveragePool":
        attributes["count_include_pad"] = 1
    return Replacement([node.replace(inputs=(pad.inputs[0], *node.inputs[1:]), attributes=attributes)])


def _spatial(pad: Node) -> tuple[int, ...] | None:
    """Begin and end amounts of the spatial axes, or None when others are padded or an amount is negative."""
    rank = rank_of(pad.input(0))
    given = ints_of(pad, 1, "paddings" if pad.version < 2 else "pads")
    if pad.attributes.get("mode", "constant") != "constant" or rank is None or given is None:
        return None
    axes: Sequence[int] = range(rank)
    if pad.version >= 18 and is_given(pad, 3, None):
        known = ints_of(pad, 3, None)
        if known is None:
            return None
        axes = [a + rank if a < 0 else a for a in known]
    if len(given) != 2 * len(axes) or min(given, default=0) < 0:
        return None
    begins, ends = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        begins[axis], ends[axis] = given[i], given[i + len(axes)]
    if any(begins[:2]) or any(ends[:2]):
        return None
    return (*begins[2:], *ends[2:])


def _padded_value(pad: Node) -> float | None:
    if pad.version < 11:
        value: Any = pad.attributes.get("value", 0.0)
        return float(value)
    if pad.input(2) is None:
        return 0.0
    found = uniform_of(pad.input(2))
    return None if found is None else float(found)


def _pads_alike(
    node: Node, value: float, own: Sequence[int], pads: Sequence[int], source: Value | None, context: Context
) -> bool:
    if node.op == "Conv":
        return value == 0
    if node.op in ("ConvInteger", "QLinearConv"):
        point = node.input(2)
        return value == (0 if point is None else uniform_of(point))
    if node.attributes.get("ceil_mode") or any(d != 1 for d in _ints(node, "dilations")):
        return False
    if node.op == "AveragePool":
        return (
            value == 0 and node.version >= 7 and (bool(node.attributes["count_include_pad"]) or not any(own))
        )
    # A window that lies in the padding alone would be undefined.
    return (
        len(node.results) == 1
        and _every_window_is_inside(node, pads)
        and (_is_least(value, source) or (value <= 0 and _is_nonnegative(source, context)))
    )


def _ints(node: Node, name: str) -> tuple[int, ...]:
    given: Any = node.attributes.get(name, ())
    return tuple(given)


def _every_window_is_inside(node: Node, pads: Sequence[int]) -> bool:
    kernel = _ints(node, "kernel_shape")
    return all(p < k for p, k in zip(pads, (*kernel, *kernel)))


def _is_least(value: float, source: Value | None) -> bool:
    dtype = dtype_of(source)
    if dtype is not None and dtype.numpy.kind in "iu":
        return value <= np.iinfo(dtype.numpy).min
    return value == -np.inf


def _is_nonnegative(value: Value | None, context: Context) -> bool:
    """Whether no element can be below 0; looks a few operators back."""
    for _ in range(8):
        dtype = dtype_of(value)
        if dtype is not None and dtype.numpy.kind == "u":
            return True
        node = context.producer(value)
        if node is None:
            return False
        if is_op(node, *_NONNEGATIVE):
            return True
        if is_op(node, "Clip"):
            low = node.attributes.get("min") if node.version < 11 else const_of(node.input(1))
            return low is not None and bool(np.all(np.asarray(low) >= 0))
        if not is_op(node, *_KEEPS_SIGN):
            return False
        value = node.input(0)
    return False
