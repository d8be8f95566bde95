"""Write out what convolutions and poolings leave implicit: kernel shape, strides, dilations, pads.

``auto_pad`` becomes explicit ``pads`` where the spatial size is known, so that kernels and later passes see one
form only.
"""

from __future__ import annotations

from typing import Any

from orpheus_core.graph import Graph, Node
from orpheus_core.ops import find_spec
from orpheus_core.passes.match import is_op, shape_of
from orpheus_core.passes.rewriting import Context, Replacement, rewrite

# Operator -> the input that holds the kernel; poolings give kernel_shape as an attribute.
_WEIGHT = {"Conv": 1, "ConvInteger": 1, "ConvTranspose": 1, "DeformConv": 1, "QLinearConv": 3}
_POOLS = ("AveragePool", "LpPool", "MaxPool")
_STARTS = frozenset((*_WEIGHT, *_POOLS))


def run(graph: Graph) -> Graph:
    """Fill in the attributes; a node whose rank or kernel is unknown stays as it is."""
    return rewrite(graph, _resolve, starts=_STARTS)


def _resolve(node: Node, context: Context) -> Replacement | None:
    if not is_op(node, *_WEIGHT, *_POOLS):
        return None
    spec = find_spec(node.domain, node.op, node.version)
    shape = shape_of(node.input(0))
    kernel = _kernel(node)
    if spec is None or shape is None or kernel is None or len(kernel) != len(shape) - 2:
        return None
    ones, known = (1,) * len(kernel), spec.schema.attributes
    given: dict[str, Any] = dict(node.attributes)
    for name, default in (("kernel_shape", kernel), ("strides", ones), ("dilations", ones)):
        if name in known:
            given.setdefault(name, default)
    if node.op == "ConvTranspose":
        given.setdefault("output_padding", (0,) * len(kernel))
        if "output_shape" not in given:
            _resolve_pads(given, shape[2:], kernel, _transposed_total)
    else:
        _resolve_pads(given, shape[2:], kernel, _total)
    if given == node.attributes:
        return None
    return Replacement([node.replace(attributes=given)])


def _kernel(node: Node) -> tuple[int, ...] | None:
    given: Any = node.attributes.get("kernel_shape")
    if given is not None:
        return tuple(given)
    shape = shape_of(node.input(_WEIGHT[node.op])) if node.op in _WEIGHT else None
    if shape is None or not all(isinstance(d, int) for d in shape[2:]):
        return None
    return tuple(d for d in shape[2:] if isinstance(d, int))


def _resolve_pads(given: dict[str, Any], sizes: Any, kernel: tuple[int, ...], total_of: Any) -> None:
    mode = given.get("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        if mode == "VALID" or "pads" not in given:
            given["pads"] = (0,) * (2 * len(kernel))
    elif all(isinstance(d, int) for d in sizes):
        totals = [total_of(given, size, kernel, axis) for axis, size in enumerate(sizes)]
        if any(t is None for t in totals):
            return
        small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
        given["pads"] = tuple(small + large if mode == "SAME_UPPER" else large + small)
        # SAME fixes the output size, which ceil_mode must not raise again.
        if "ceil_mode" in given:
            given["ceil_mode"] = 0
    else:
        return
    if "auto_pad" in given:
        given["auto_pad"] = "NOTSET"


def _extent(given: dict[str, Any], kernel: tuple[int, ...], axis: int) -> int:
    dilations = given.get("dilations")
    dilation = dilations[axis] if dilations else 1
    return int((kernel[axis] - 1) * dilation + 1)


def _total(given: dict[str, Any], size: int, kernel: tuple[int, ...], axis: int) -> int | None:
    stride = given["strides"][axis]
    outputs = -(-size // stride)
    return max(0, int((outputs - 1) * stride + _extent(given, kernel, axis) - size))


def _transposed_total(given: dict[str, Any], size: int, kernel: tuple[int, ...], axis: int) -> int | None:
    stride = given["strides"][axis]
    extent = _extent(given, kernel, axis)
    total = int(stride * (size - 1) + given["output_padding"][axis] + extent - size * stride)
    return total if total >= 0 else None
