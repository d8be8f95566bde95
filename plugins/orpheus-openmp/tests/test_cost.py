"""What the static costs promise beyond order."""

from __future__ import annotations

import numpy as np
import pytest

from orpheus_core.discovery import get
from orpheus_core.graph import Node, Value
from orpheus_core.ops import ORPHEUS_DOMAIN, find_spec, make_node
from orpheus_core.selection.alike import Alike
from orpheus_core.selection.candidates import problem_of
from orpheus_core.selection.cost import Scored
from orpheus_core.types import DType, TensorType

product = pytest.importorskip("orpheus_openmp.cost", reason="orpheus-openmp is not installed").product

SHAPES = [  # channels, filters, group, kernel, stride, size
    (3, 32, 1, 3, 2, 64), (32, 32, 32, 3, 1, 28), (64, 64, 1, 1, 1, 28), (512, 512, 1, 1, 1, 14), (96, 40, 1, 3, 1, 17),
    (64, 96, 1, 3, 2, 14), (16, 24, 1, 5, 1, 35), (32, 32, 2, 3, 1, 9), (3, 64, 1, 7, 2, 56), (20, 30, 1, 1, 2, 13),
]  # fmt: skip


def fused_conv(shape: tuple[int, ...], residual: bool, scale: bool) -> Node:
    """A FusedConv with bias and Relu, padded so that it keeps its size but for the stride."""
    channels, filters, group, kernel, stride, size = shape
    out = -(-size // stride)
    x, y = (TensorType(DType.FLOAT32, s) for s in ((1, channels, size, size), (1, filters, out, out)))
    arrays = [
        np.zeros((filters, channels // group, kernel, kernel), np.float32),
        *[np.zeros(filters, np.float32)] * 3,
    ]
    w, b, factor, shift = (Value.constant(f"c{i}", a) for i, a in enumerate(arrays))
    inputs = [Value("x", x), w, b, Value("r", y) if residual else None, *((factor, shift) if scale else ())]
    attributes = {
        "kernel_shape": (kernel,) * 2, "strides": (stride,) * 2, "pads": (kernel // 2,) * 4, "group": group,
        "activation": "Relu",
    }  # fmt: skip
    return make_node("FusedConv", inputs, [Value("y", y)], attributes, domain=ORPHEUS_DOMAIN)


def cheapest(node: Node, threads: int) -> Scored:
    """The candidate of the least cost that this backend has."""
    alike = Alike((get("openmp"),), None)
    problem = problem_of(node, threads=threads)
    found, _ = alike.candidates(problem, None)
    return min((alike.score(problem, c, None) for c in found), key=lambda s: s.seconds)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("residual", "scale"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_whole_convolution_never_costs_more_than_its_parts(
    shape: tuple[int, ...], residual: bool, scale: bool, threads: int
) -> None:
    node = fused_conv(shape, residual, scale)
    own = cheapest(node, threads)
    assert own.candidate.kernel.whole
    spec = find_spec(node.domain, node.op, node.version)
    assert spec is not None
    assert spec.decompose is not None
    parts = [cheapest(part, threads).seconds for part in spec.decompose(node).nodes]
    assert len(parts) == 2 + residual + 4 * scale  # of them two Reshapes
    assert own.seconds <= sum(parts)


def test_a_product_whose_left_factor_repeats_costs_as_much_as_one_that_is_written_out(layers):
    b = np.zeros((32, 64, 48), np.float32)
    once, each = (
        layers.problem("MatMul", [np.zeros(shape, np.float32), b], [(32, 40, 48)])
        for shape in ((40, 64), (32, 40, 64))
    )
    assert product(once) == product(each)
