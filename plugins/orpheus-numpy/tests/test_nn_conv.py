"""Convolutions against a float64 loop over output positions, for random shapes and attributes."""

from __future__ import annotations

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orpheus_numpy.manifest.nn import KERNELS
from orpheus_numpy.nn.col2im import col2im
from orpheus_numpy.nn.conv import Im2col, conv
from orpheus_numpy.nn.conv_direct import direct, fused_direct
from orpheus_numpy.nn.conv_shape import direct_cost, im2col_cost
from orpheus_numpy.nn.conv_transpose import conv_transpose
from orpheus_numpy.nn.deform_conv import deform_conv

from orpheus_core.errors import KernelError, ModelError
from orpheus_core.ops.activations import ACTIVATIONS
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType, type_of_array

DTYPES = (np.float32, np.float64, np.float16, ml_dtypes.bfloat16)


def naive(X, W, B=None, *, dilations, group, pads, strides):
    """The definition, and the same sum of magnitudes."""
    rank = X.ndim - 2
    x, w = X.astype(np.float64), W.astype(np.float64)
    x = np.pad(x, [(0, 0), (0, 0), *zip(pads[:rank], pads[rank:])])
    extent = [(k - 1) * d + 1 for k, d in zip(W.shape[2:], dilations)]
    output = [(n - e) // s + 1 for n, e, s in zip(x.shape[2:], extent, strides)]
    y = np.zeros((X.shape[0], W.shape[0], *output))
    size = np.zeros_like(y)
    per_group, filters = W.shape[1], W.shape[0] // group
    for at in itertools.product(*map(range, output)):
        part = x[(..., *(slice(a * s, a * s + e, d) for a, s, e, d in zip(at, strides, extent, dilations)))]
        for m in range(W.shape[0]):
            first = m // filters * per_group
            terms = part[:, first : first + per_group] * w[m]
            y[(slice(None), m, *at)] = terms.sum(axis=tuple(range(1, X.ndim)))
            size[(slice(None), m, *at)] = np.abs(terms).sum(axis=tuple(range(1, X.ndim)))
    if B is not None:
        shape = (-1, *(1,) * rank)
        y, size = y + B.astype(np.float64).reshape(shape), size + np.abs(B.astype(np.float64)).reshape(shape)
    return y, size


def assert_close(got, want, size, terms, dtype):
    wide = np.float32 if np.dtype(dtype).itemsize < 4 else dtype
    bound = (2 + math.sqrt(terms)) * float(np.finfo(wide).eps) * size
    if np.dtype(dtype).itemsize < 4:
        bound = bound + float(ml_dtypes.finfo(dtype).eps) * (np.abs(want) + bound) + 1e-7
    assert got.dtype == dtype
    assert got.shape == want.shape
    assert np.all(np.abs(got.astype(np.float64) - want) <= bound + 1e-300)


@st.composite
def layers(draw):
    rank = draw(st.integers(1, 3))
    group = draw(st.sampled_from((1, 1, 2, 3)))
    channels = group * draw(st.integers(1, 3))
    if draw(st.booleans()):
        group = channels
    filters = group * draw(st.integers(1, 3))
    kernel = draw(st.lists(st.integers(1, 3), min_size=rank, max_size=rank))
    dilations = draw(st.lists(st.integers(1, 2), min_size=rank, max_size=rank))
    strides = draw(st.one_of(st.just([1] * rank), st.lists(st.integers(1, 3), min_size=rank, max_size=rank)))
    pads = draw(
        st.one_of(st.just([0] * 2 * rank), st.lists(st.integers(0, 2), min_size=2 * rank, max_size=2 * rank))
    )
    extent = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    spatial = [e + draw(st.integers(0, 4)) for e in extent]
    dtype = draw(st.sampled_from(DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    X = rng.standard_normal((draw(st.sampled_from((1, 2, 3, 0))), channels, *spatial)).astype(dtype)
    W = rng.standard_normal((filters, channels // group, *kernel)).astype(dtype)
    B = rng.standard_normal(filters).astype(dtype) if draw(st.booleans()) else None
    return X, W, B, {"dilations": dilations, "group": group, "pads": pads, "strides": strides}


def bound_step(op, operands, attributes, outputs, constants=(1,)):
    """Prepare Im2col and bind it with a workspace full of NaN bytes."""
    types = tuple(None if x is None else type_of_array(x) for x in operands)
    held = {i: operands[i] for i in constants}
    prepared = Im2col(Problem(op, "", 22, attributes, types, (None,) * len(outputs), held))
    inputs = [None if i in prepared.packed else x for i, x in enumerate(operands)]
    workspace = np.full(prepared.workspace, 255, np.uint8)
    return prepared.bind(inputs, outputs, workspace), workspace


@settings(max_examples=250, deadline=None)
@given(layers(), st.booleans())
def test_conv_kernels_match_the_definition(layer, constant):
    X, W, B, attributes = layer
    want, size = naive(X, W, B, **attributes)
    terms = W[0].size
    assert_close(conv(X, W, B, **attributes), want, size, terms, X.dtype)
    assert_close(direct(X, W, B, **attributes), want, size, terms, X.dtype)
    out = np.full(want.shape, np.nan, X.dtype)
    assert direct(X, W, B, out=(out,), **attributes) is out
    assert_close(out, want, size, terms, X.dtype)
    y = np.full(want.shape, np.nan, X.dtype)
    step, workspace = bound_step("Conv", [X, W, B], attributes, [y], (1,) if constant else ())
    for _ in range(2):
        workspace[:] = 255
        y[...] = np.nan
        step()
        assert_close(y, want, size, terms, X.dtype)


@settings(max_examples=30, deadline=None)
@given(layers(), st.data())
def test_small_integers_are_exact(layer, data):
    X, W, _, attributes = layer
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    X = rng.integers(-4, 5, X.shape).astype(np.float32)
    W = rng.integers(-4, 5, W.shape).astype(np.float32)
    want, _ = naive(X, W, **attributes)
    assert np.array_equal(conv(X, W, **attributes), want)
    assert np.array_equal(direct(X, W, **attributes), want)
    assert np.array_equal(conv(X.astype(np.int64), W.astype(np.int64), **attributes), want)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize(("size", "kernel", "stride"), [(7, 3, 2), (6, 4, 1), (5, 2, 3), (8, 3, 2)])
def test_auto_pad_means_these_pads(auto_pad, size, kernel, stride):
    rng = np.random.default_rng(0)
    X, W = rng.standard_normal((1, 2, size, size)), rng.standard_normal((3, 2, kernel, kernel))
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0) if auto_pad != "VALID" else 0
    small, large = total // 2, total - total // 2
    begin, end = (small, large) if auto_pad == "SAME_UPPER" else (large, small)
    explicit = {"pads": [begin, begin, end, end], "strides": [stride] * 2, "dilations": [1, 1], "group": 1}
    want, _ = naive(X, W, **explicit)
    got = conv(X, W, auto_pad=auto_pad, strides=[stride] * 2)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("strided", [False, True])
def test_im2col_reads_inputs_that_are_not_contiguous(strided):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((2, 6, 6, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    W = rng.standard_normal((5, 5, 3, 4)).astype(np.float32).transpose(3, 2, 0, 1)[:, :, :1, :1]
    attributes = {"dilations": [1, 1], "group": 1, "pads": [0] * 4, "strides": [2 if strided else 1] * 2}
    want, size = naive(X, W, **attributes)
    y = np.empty(want.shape[::-1], np.float32).T
    step, _ = bound_step("Conv", [X, W], attributes, [y], ())
    step()
    assert_close(y, want, size, 3, np.float32)
    X *= 2
    W *= 3
    step()
    assert_close(y, 6 * want, 6 * size, 3, np.float32)


@settings(max_examples=60, deadline=None)
@given(layers(), st.sampled_from(["", "Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu"]), st.data())
def test_fused_conv_is_its_definition(layer, activation, data):
    X, W, B, attributes = layer
    if X.dtype.itemsize < 4:
        X, W, B = (None if x is None else x.astype(np.float32) for x in (X, W, B))
    total, size = naive(X, W, B, **attributes)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    residual, affine, dual = (data.draw(st.booleans()) for _ in range(3))
    R = rng.standard_normal(total.shape).astype(X.dtype) if residual else None
    scale, shift = (rng.standard_normal(len(W)).astype(X.dtype) if affine else None for _ in range(2))
    if R is not None:
        total, size = total + R, size + np.abs(R)
    want, reach = total, size
    if scale is not None and shift is not None:
        along = (-1, *(1,) * (X.ndim - 2))
        want, reach = (
            total * scale.reshape(along) + shift.reshape(along),
            size * np.abs(scale).reshape(along) + np.abs(shift).reshape(along),
        )
    parameters = {"Clip": (-0.5, 6.0), "LeakyRelu": (0.25,)}.get(activation, ())
    formula = {
        "": lambda v: v,
        "Relu": lambda v: np.maximum(v, 0),
        "Clip": lambda v: np.clip(v, -0.5, 6),
        "Sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "Tanh": np.tanh,
        "LeakyRelu": lambda v: np.where(v < 0, 0.25 * v, v),
    }[activation]
    want, reach = formula(want), reach + 1
    fused = {**attributes, "activation": activation, "activation_params": parameters}
    operands = [X, W, B, R, scale, shift]
    terms = W[0].size + 6
    y, s = np.full(want.shape, np.nan, X.dtype), np.full(want.shape, np.nan, X.dtype)
    step, _ = bound_step("FusedConv", operands, fused, [y, s] if dual else [y])
    with np.errstate(all="ignore"):
        step()
        results = fused_direct(*operands, **fused)
    assert_close(y, want, reach, terms, X.dtype)
    assert_close(results[0], want, reach, terms, X.dtype)
    assert_close(results[1], total, size, terms, X.dtype)
    if dual:
        assert_close(s, total, size, terms, X.dtype)
        y2, s2 = np.empty_like(y), np.empty_like(s)
        fused_direct(*operands, out=(y2, s2), **fused)
        assert_close(s2, total, size, terms, X.dtype)
    alone = fused_direct(*operands, out=(None,), **fused)
    assert_close(alone, want, reach, terms, X.dtype)


def test_every_activation_of_the_core_can_be_fused():
    X = np.linspace(-4, 4, 16, dtype=np.float32).reshape(1, 1, 16)
    W = np.ones((1, 1, 1), np.float32)
    seen = set()
    for name, parameters in ACTIVATIONS.items():
        values = {"Clip": (-1.0, 1.0)}.get(name, (1.0,) * len(parameters))
        y, _ = fused_direct(X, W, activation=name, activation_params=values)
        assert np.isfinite(y).all()
        seen.add(y.tobytes())
    # Elu and Celu agree for alpha 1, and so do Selu (gamma 1) with both.
    assert len(seen) == len(ACTIVATIONS) - 2
    with pytest.raises(ModelError, match="not an activation"):
        fused_direct(X, W, activation="Reul")
    with pytest.raises(ModelError, match="takes 2 parameters"):
        fused_direct(X, W, activation="Clip", activation_params=(1.0,))


@settings(max_examples=60, deadline=None)
@given(layers())
def test_conv_transpose_is_the_adjoint(layer):
    X, W, _, attributes = layer
    x, w = X.astype(np.float64), W.astype(np.float64)
    y, _ = naive(x, w, **attributes)
    rng = np.random.default_rng(3)
    g = rng.standard_normal(y.shape)
    rank = X.ndim - 2
    # Where the stride leaves a rest, output_padding restores the size.
    pads = attributes["pads"]
    extra = [
        (n + b + e - ((k - 1) * d + 1)) % s
        for n, b, e, k, d, s in zip(
            X.shape[2:], pads[:rank], pads[rank:], W.shape[2:], attributes["dilations"], attributes["strides"]
        )
    ]
    back = conv_transpose(g, w, output_padding=extra, **attributes)
    assert back.shape == x.shape
    np.testing.assert_allclose(np.vdot(y, g), np.vdot(x, back), rtol=1e-9, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(layers())
def test_deform_conv_without_offsets_is_conv(layer):
    X, W, B, attributes = layer
    want, size = naive(X, W, B, **attributes)
    rank = X.ndim - 2
    offset = np.zeros((X.shape[0], math.prod(W.shape[2:]) * rank, *want.shape[2:]), X.dtype)
    assert_close(deform_conv(X, W, offset, B, **attributes), want, size, W[0].size, X.dtype)


def test_deform_conv_moves_by_whole_and_half_pixels():
    X = np.arange(5.0).reshape(1, 1, 5)
    W = np.ones((1, 1, 1))
    offset = np.array([1.0, 0.5, -0.5, 1.5, -9.0]).reshape(1, 1, 5)
    # The last but one sample lies between 4 and the zero outside.
    assert deform_conv(X, W, offset).ravel().tolist() == [1.0, 1.5, 1.5, 2.0, 0.0]
    mask = np.array([2.0, 1.0, 0.0, 1.0, 1.0]).reshape(1, 1, 5)
    assert deform_conv(X, W, offset, None, mask).ravel().tolist() == [2.0, 1.5, 0.0, 2.0, 0.0]


def test_col2im_counts_how_often_a_pixel_is_covered():
    ones = np.ones((1, 4, 4), np.float32)
    shape, block = np.array([3, 3]), np.array([2, 2])
    assert col2im(ones, shape, block)[0, 0].tolist() == [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    with pytest.raises(ModelError, match="4 columns"):
        col2im(ones[:, :, :3], shape, block)


@pytest.mark.parametrize(
    ("x", "w", "attributes", "words"),
    [
        ((1, 3, 4, 4), (2, 2, 3, 3), {}, "group 1 does not fit"),
        ((1, 4, 4, 4), (3, 2, 3, 3), {"group": 2}, "must divide"),
        ((1, 3, 4), (2, 3, 3, 3), {}, "same rank"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"kernel_shape": [2, 2]}, "not that of W"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"strides": [0, 1]}, "at least 1"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"pads": [1, 1]}, "4 numbers"),
        ((1, 3, 2, 2), (2, 3, 3, 3), {}, "does not fit an input"),
        ((1, 3, 4, 4), (2, 3, 3, 3), {"auto_pad": "SAME"}, "auto_pad"),
    ],
)
def test_contradictions_are_named(x, w, attributes, words):
    X, W = np.zeros(x, np.float32), np.zeros(w, np.float32)
    for kernel in (conv, direct):
        with pytest.raises(ModelError, match=words):
            kernel(X, W, **attributes)


def test_im2col_wants_one_shape():
    x, w = TensorType(DType.FLOAT32, ("N", 3, 8, 8)), TensorType(DType.FLOAT32, (4, 3, 3, 3))
    with pytest.raises(KernelError, match="one shape"):
        Im2col(Problem("Conv", "", 22, {}, (x, w), (None,)))


def test_cost_models_order_the_obvious_cases():
    def problem(x, w, **attributes):
        types = tuple(TensorType(DType.FLOAT32, s) for s in (x, w))
        return Problem("Conv", "", 22, attributes, types, (None,))

    stem = problem((1, 3, 224, 224), (64, 3, 7, 7), strides=[2, 2], pads=[3] * 4)
    assert im2col_cost(stem) < direct_cost(stem)
    pointwise, spatial = problem((1, 64, 56, 56), (64, 64, 1, 1)), problem((1, 64, 58, 58), (64, 64, 3, 3))
    assert im2col_cost(pointwise) < im2col_cost(spatial)
    unknown = problem(("N", 64, "H", "W"), (64, 64, 3, 3))
    assert 0 < im2col_cost(unknown) < 1
    assert 0 < direct_cost(problem(None, (64, 64, 3, 3))) < math.inf


def test_conv_is_a_choice_of_two():
    for op in ("Conv", "FusedConv"):
        assert [k.name for k in KERNELS if k.op == op] == ["im2col", "direct"]
