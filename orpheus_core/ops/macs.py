"""Multiply-accumulates of a node, from the types of its operands.

The count of the plain algorithm, the figure that papers publish: a convolution that is computed by Winograd's
algorithm counts the same. Bias, activations and element-wise operators count nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.types import TensorType


def _shape(value: Value | None) -> tuple[int, ...] | None:
    return value.type.static_shape if value is not None and isinstance(value.type, TensorType) else None


def _result(node: Node) -> tuple[int, ...] | None:
    return _shape(node.results[0]) if node.results else None


def _conv(node: Node, weights: int) -> int | None:
    """Every output element sums over a filter: W is [M, C / group, k1, ...]."""
    y, w = _result(node), _shape(node.input(weights))
    return None if y is None or w is None else math.prod(y) * math.prod(w[1:])


def _conv_transpose(node: Node) -> int | None:
    """Every input element is spread over a filter: W is [C, M / group, k1, ...]."""
    x, w = _shape(node.input(0)), _shape(node.input(1))
    return None if x is None or w is None else math.prod(x) * math.prod(w[1:])


def _product(node: Node, flag: str = "transA") -> int | None:
    """Every output element sums over the columns of A (its rows when it is transposed)."""
    y, a = _result(node), _shape(node.input(0))
    if y is None or a is None or not a:
        return None
    return math.prod(y) * (a[-2] if node.attributes.get(flag) and len(a) > 1 else a[-1])


def _recurrent(node: Node) -> int | None:
    """Every step multiplies by W [directions, gates * hidden, input] and R [directions, gates * hidden, hidden]."""
    x, w, r = (_shape(node.input(i)) for i in range(3))
    return None if x is None or w is None or r is None else x[0] * x[1] * (math.prod(w) + math.prod(r))


def _attention(node: Node) -> int | None:
    """Q K' and the product of its softmax with V; operands are [batch, heads, length, size] or heads packed."""
    q, k, v = (_heads(node, i) for i in range(3))
    if q is None or k is None or v is None:
        return None
    past = node.input(4)
    before = _shape(past)
    if past is not None and before is None:
        return None
    keys = k[2] + (before[2] if before is not None else 0)
    return math.prod(q[:3]) * keys * (q[3] + v[3])


def _heads(node: Node, index: int) -> tuple[int, ...] | None:
    shape = _shape(node.input(index))
    if shape is None or len(shape) == 4:
        return shape
    heads = node.attributes.get("q_num_heads" if index == 0 else "kv_num_heads")
    if len(shape) != 3 or not isinstance(heads, int) or heads < 1:
        return None
    return (shape[0], heads, shape[1], shape[2] // heads)


_COUNT: Mapping[str, Callable[[Node], int | None]] = {
    **dict.fromkeys(
        ("Conv", "ConvInteger", "DeformConv", "ai.orpheus:FusedConv", "com.microsoft:FusedConv"),
        lambda node: _conv(node, 1),
    ),
    "QLinearConv": lambda node: _conv(node, 3),
    "ConvTranspose": _conv_transpose,
    **dict.fromkeys(
        (
            "Gemm", "MatMul", "MatMulInteger", "QLinearMatMul", "ai.orpheus:FusedGemm", "ai.orpheus:FusedMatMul",
            "com.microsoft:QGemm", "com.microsoft:FusedGemm", "com.microsoft:FusedMatMul",
        ),
        _product,
    ),
    **dict.fromkeys(("RNN", "GRU", "LSTM"), _recurrent),
    "Attention": _attention,
}  # fmt: skip


def macs(node: Node) -> int | None:
    """Multiply-accumulates of one run of the node: 0 for operators without any, None when shapes are unknown."""
    count = _COUNT.get(node.op_id)
    return 0 if count is None else count(node)


def total_macs(graph: Graph) -> tuple[int, int]:
    """The sum over all nodes, subgraphs once, and how many nodes could not be counted."""
    counts = [macs(node) for node in graph.walk()]
    return sum(c for c in counts if c is not None), counts.count(None)
