"""Multiply-accumulates of single nodes against counts by hand."""

from __future__ import annotations

from typing import Any

import pytest

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops.macs import macs, total_macs
from orpheus_core.types import DType, TensorType


def value(shape: tuple[Any, ...] | None) -> Value:
    return Value("v", TensorType(DType.FLOAT32, shape))


def node(op: str, inputs: list[tuple[Any, ...] | None], output: tuple[Any, ...], **attributes: Any) -> Node:
    domain, _, name = op.rpartition(":")
    given = tuple(None if shape is None else value(shape) for shape in inputs)
    return Node(name, given, (value(output),), attributes, domain=domain)


CASES = [
    ("conv", node("Conv", [(1, 3, 32, 32), (16, 3, 3, 3)], (1, 16, 32, 32)), 16 * 32 * 32 * 27),
    ("depthwise", node("Conv", [(1, 8, 10, 10), (8, 1, 3, 3)], (1, 8, 8, 8), group=8), 8 * 64 * 9),
    ("fused conv", node("ai.orpheus:FusedConv", [(2, 4, 5), (6, 4, 1)], (2, 6, 5)), 2 * 6 * 5 * 4),
    ("quantized conv", node("QLinearConv", [(1, 2, 4, 4), (), (), (3, 2, 1, 1)], (1, 3, 4, 4)), 48 * 2),
    ("transposed conv", node("ConvTranspose", [(1, 4, 8, 8), (4, 2, 3, 3)], (1, 2, 10, 10)), 4 * 64 * 2 * 9),
    ("gemm", node("Gemm", [(5, 7), (7, 3)], (5, 3)), 5 * 7 * 3),
    ("gemm transposed", node("Gemm", [(7, 5), (7, 3)], (5, 3), transA=1), 5 * 7 * 3),
    ("matmul", node("MatMul", [(2, 4, 5, 7), (7, 3)], (2, 4, 5, 3)), 2 * 4 * 5 * 7 * 3),
    ("vectors", node("MatMul", [(7,), (7,)], ()), 7),
    ("lstm", node("LSTM", [(6, 2, 10), (1, 32, 10), (1, 32, 8)], (6, 1, 2, 8)), 12 * (320 + 256)),
    ("both ways", node("GRU", [(6, 2, 10), (2, 24, 10), (2, 24, 8)], (6, 2, 2, 8)), 12 * (480 + 384)),
    ("attention", node("Attention", [(1, 4, 6, 8), (1, 2, 9, 8), (1, 2, 9, 5)], (1, 4, 6, 5)), 24 * 9 * 13),
    (
        "attention packed",
        node("Attention", [(1, 6, 32), (1, 9, 16), (1, 9, 10)], (1, 6, 20), q_num_heads=4, kv_num_heads=2),
        24 * 9 * 13,
    ),
    ("elementwise", node("Add", [(9, 9), (9, 9)], (9, 9)), 0),
    ("open shape", node("Conv", [("N", 3, 4, 4), (2, 3, 1, 1)], ("N", 2, 4, 4)), None),
    ("no weights type", node("Conv", [(1, 3, 4, 4), None], (1, 2, 4, 4)), None),
]


@pytest.mark.parametrize(("one", "wanted"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_macs(one: Node, wanted: int | None) -> None:
    assert macs(one) == wanted


def test_total_counts_subgraphs_and_what_is_unknown() -> None:
    inner = Graph((), (), (CASES[5][1],))
    branch = Node("If", (value(()),), (), {"then_branch": inner})
    graph = Graph((), (), (CASES[0][1], branch, CASES[-2][1]))
    assert total_macs(graph) == (16 * 32 * 32 * 27 + 105, 1)
