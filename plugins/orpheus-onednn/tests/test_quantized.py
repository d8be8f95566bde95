"""QLinearConv and QLinearMatMul: every implementation against exact sums, those that are largest too."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType

pytest.importorskip("orpheus_onednn", reason="orpheus-onednn is not installed")


def layer(op, operands, shape, kind, **attributes):
    """The problem of a layer whose operands but the first are constants."""
    inputs = tuple(TensorType(DType(a.dtype.name), a.shape) for a in operands)
    constants = {i: a for i, a in enumerate(operands) if i}
    return Problem(op, "", 10, attributes, inputs, (TensorType(DType(kind), shape),), constants)


def quantization(x, xz, w, ws, kind, yz, ys):
    """Operands: X, its scale and zero point, W and its, those of Y."""
    zeros = np.zeros(np.shape(ws), "int8")
    values = (
        x,
        np.float32(0.02),
        np.array(xz, x.dtype),
        w,
        np.float32(ws),
        zeros,
        np.float32(ys),
        np.array(yz, kind),
    )
    return tuple(map(np.asarray, values))


def convolved(x, w, group):
    """Exact sums of a 3x3 window with pads of 1."""
    n, _, height, width = x.shape
    padded = np.pad(x.astype(np.int64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((n, w.shape[0], height, width), np.int64)
    for m in range(w.shape[0]):
        first = m // (w.shape[0] // group) * w.shape[1]
        for c, i, j in itertools.product(range(w.shape[1]), range(3), range(3)):
            out[:, m] += padded[:, first + c, i : i + height, j : j + width] * int(w[m, c, i, j])
    return out


def near(got, real, kind):
    """Rounded to a neighbour, within the type; float32 may see a tie where there is none, or miss one."""
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    assert np.abs(got - np.clip(real, low, high)).max() <= 0.5 + 1e-3


def run(problem, layout, x, shape):
    """What each implementation gives, by its name; nothing where the processor has none."""
    from orpheus_onednn.call import Walk
    from orpheus_onednn.layer import Layer
    from orpheus_onednn.quantized import quantized

    walk = Walk(quantized, layout, layout)
    names = walk(problem)
    if isinstance(names, str) and "VNNI" in names:
        pytest.skip(names)
    assert not isinstance(names, str), names
    for name in names:
        prepared = Layer(problem, walk, name)
        out = np.zeros(shape, problem.outputs[0].dtype.numpy)
        prepared.bind([x, *[None] * 8], [out], np.empty(prepared.workspace, np.uint8))()
        yield name, out


@pytest.mark.parametrize(
    "kinds", [("uint8", "uint8"), ("int8", "int8"), ("uint8", "int8"), ("int8", "uint8")]
)
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("each", [False, True], ids=["one scale", "a scale for each filter"])
def test_convolution(onednn, kinds, group, each):
    rng = np.random.default_rng(8)
    limits = np.iinfo(kinds[0])
    x = rng.integers(limits.min, limits.max + 1, (2, 16, 5, 5)).astype(kinds[0])
    w = rng.integers(-127, 128, (32, 16 // group, 3, 3)).astype("int8")
    ws = (rng.random(32) * 0.01 + 0.001).astype(np.float32) if each else np.float32(0.005)
    bias = rng.integers(-1000, 1000, 32).astype("int32")
    operands = (*quantization(x, 3, w, ws, kinds[1], 5, 0.5), bias)
    shape = (2, 32, 5, 5)
    problem = layer("QLinearConv", operands, shape, kinds[1], pads=(1, 1, 1, 1), group=group)
    sums = convolved(x.astype(np.int64) - 3, w, group) + bias[:, None, None]
    real = sums * (np.float64(operands[1]) * np.float64(ws).reshape(-1, 1, 1)) / 0.5 + 5
    for _, out in run(problem, "NHWC", np.ascontiguousarray(x.transpose(0, 2, 3, 1)), (2, 5, 5, 32)):
        near(out.transpose(0, 3, 1, 2).astype(np.float64), real, kinds[1])


def test_the_largest_sums_do_not_saturate(onednn):
    x, w = np.full((1, 16, 5, 5), 255, "uint8"), np.full((32, 16, 3, 3), 127, "int8")
    w[1::2] = -128
    operands = quantization(x, 0, w, 0.005, "uint8", 100, 30)
    problem = layer("QLinearConv", operands, (1, 32, 5, 5), "uint8", pads=(1, 1, 1, 1), group=1)
    real = convolved(x, w, 1) * (np.float64(operands[1]) * np.float64(operands[4])) / 30 + 100
    assert 50 < real.min() < real.max() < 200
    for _, out in run(problem, "NHWC", np.full((1, 5, 5, 16), 255, "uint8"), (1, 5, 5, 32)):
        near(out.transpose(0, 3, 1, 2).astype(np.float64), real, "uint8")


@pytest.mark.parametrize("shapes", [((4, 64), (64, 32)), ((2, 4, 64), (2, 64, 32)), ((1, 64), (64, 32))])
def test_product(onednn, shapes):
    rng = np.random.default_rng(9)
    a = rng.integers(0, 256, shapes[0]).astype("uint8")
    b = rng.integers(-128, 128, shapes[1]).astype("int8")
    operands = quantization(a, 7, b, 0.01, "uint8", 100, 2)
    sums = np.matmul(a.astype(np.int64) - 7, b.astype(np.int64))
    problem = layer("QLinearMatMul", operands, sums.shape, "uint8")
    real = sums * (np.float64(operands[1]) * np.float64(operands[4])) / 2 + 100
    for _, out in run(problem, "plain", a, sums.shape):
        near(out.astype(np.float64), real, "uint8")


@pytest.mark.parametrize("op", ["QLinearConv", "QLinearMatMul"])
@pytest.mark.parametrize("zero", [4, 5])
def test_ties_go_to_the_even_neighbour_before_the_zero_point_is_added(onednn, op, zero):
    # Sums of 1 to 16 times 1, halved: every second one is a tie.
    counts = np.arange(1, 17)
    rows = (np.arange(16) < counts[:, None]).astype("uint8")
    operands = [rows.T[None, :, None], rows][op != "QLinearConv"], np.ones((16, 16), "int8")
    x, w = operands if op != "QLinearConv" else (operands[0], operands[1][..., None, None])
    values = quantization(x, 0, w, 0.5, "uint8", zero, 0.25)
    values = (values[0], np.float32(0.25), *values[2:])
    real = np.rint(counts * 0.5) + zero
    if op == "QLinearConv":
        problem = layer(op, values, (1, 16, 1, 16), "uint8", group=1)
        found = run(problem, "NHWC", np.ascontiguousarray(x.transpose(0, 2, 3, 1)), (1, 1, 16, 16))
    else:
        problem = layer(op, values, (16, 16), "uint8")
        found = run(problem, "plain", x, (16, 16))
    for name, out in found:
        assert (out.reshape(16, 16) == real[:, None]).all(), name


def test_weights_with_a_zero_point_are_refused(onednn):
    from orpheus_onednn.call import Walk
    from orpheus_onednn.quantized import quantized

    x, w = np.zeros((1, 16, 5, 5), "uint8"), np.zeros((32, 16, 3, 3), "int8")
    operands = list(quantization(x, 0, w, 0.01, "uint8", 0, 1))
    operands[5] = np.array(1, "int8")
    answer = Walk(quantized, "NHWC", "NHWC")(layer("QLinearConv", operands, (1, 32, 3, 3), "uint8", group=1))
    assert "zero point 0" in answer
