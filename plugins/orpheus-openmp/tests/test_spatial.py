"""Spatial packing and transposed convolution against float64: every rank, stride, dilation, padding and group."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orpheus_numpy.nn.conv import conv
from orpheus_numpy.nn.conv_transpose import conv_transpose

spatial = pytest.importorskip("orpheus_openmp.spatial", reason="orpheus-openmp is not installed")

DRAWN = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
#: Largest size of an axis by the number of axes, so that a case has few elements.
MOST = {1: 300, 2: 40, 3: 9}


def judge(layers, bound, layer, function, op, inputs, attributes, terms, threads=1):
    """One layer against ``function`` in float64; ``terms`` of a sum."""
    wide = [v.astype(np.float64) for v in inputs]
    exact, size = function(*wide, **attributes), function(*(abs(v) for v in wide), **attributes)
    problem = layers.problem(op, inputs, [exact.shape], attributes, constants=(1,), threads=threads)
    (got,) = layers.run(layer, problem, inputs)
    bound(got, exact, size, terms + 1)


def drawn(draw, shape):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    return rng.standard_normal(shape).astype(np.float32)


def each(draw, low, high, count):
    return tuple(draw(st.integers(low, high)) for _ in range(count))


@st.composite
def convolutions(draw):
    """X, W, B and attributes."""
    rank = draw(st.integers(1, 3))
    kernel, strides, dilations = each(draw, 1, 5 - rank, rank), each(draw, 1, 3, rank), each(draw, 1, 2, rank)
    pads = each(draw, 0, 3, 2 * rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    size = [
        max(1, r - pads[i] - pads[i + rank]) + draw(st.integers(0, MOST[rank])) for i, r in enumerate(reach)
    ]
    group = draw(st.integers(1, 3))
    channels, filters = group * draw(st.integers(1, 12)), group * draw(st.integers(1, 33))
    x, w = (
        drawn(draw, (draw(st.integers(1, 2)), channels, *size)),
        drawn(draw, (filters, channels // group, *kernel)),
    )
    attributes = {"group": group, "strides": strides, "dilations": dilations}
    auto = draw(st.sampled_from(["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"]))
    if auto == "NOTSET":
        attributes["pads"] = pads
    elif auto != "VALID" or all(n >= r for n, r in zip(size, reach)):
        attributes["auto_pad"] = auto
    else:
        attributes["pads"] = pads
    return [x, w, drawn(draw, (filters,))], attributes


@DRAWN
@given(case=convolutions(), threads=st.integers(1, 3))
def test_spatial_pack(layers, bound, case, threads):
    inputs, attributes = case
    terms = inputs[1][0].size
    judge(layers, bound, spatial.SpatialPack, conv, "Conv", inputs, attributes, terms, threads)


@pytest.mark.parametrize(("size", "channels"), [((3, 300), 700), ((40, 9), 300), ((1, 70), 2500)])
@pytest.mark.parametrize("threads", [1, 3])
def test_spatial_pack_in_many_tiles(layers, bound, size, channels, threads):
    rng = np.random.default_rng(0)
    x, w, b = (
        rng.standard_normal(s).astype(np.float32) for s in ((1, channels, *size), (17, channels, 3, 3), (17,))
    )
    judge(layers, bound, spatial.SpatialPack, conv, "Conv", [x, w, b], {"pads": (1,) * 4}, w[0].size, threads)


@pytest.mark.parametrize("activation", ["", "Relu", "Clip", "Sigmoid"])
def test_the_epilogue(layers, activation):
    rng = np.random.default_rng(0)
    shapes = ((2, 5, 9, 23), (19, 5, 3, 3), (19,), (2, 19, 5, 12), (19,), (19,))
    inputs = [rng.standard_normal(s).astype(np.float32) for s in shapes]
    x, w, b, residual, scale, shift = (v.astype(np.float64) for v in inputs)
    total = conv(x, w, b, pads=(1, 1, 1, 1), strides=(2, 2)) + residual
    y = total * scale[:, None, None] + shift[:, None, None]
    function = {
        "": lambda v: v, "Relu": lambda v: np.maximum(v, 0), "Clip": lambda v: np.clip(v, -0.5, 2),
        "Sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    }[activation]  # fmt: skip
    attributes = {
        "pads": (1, 1, 1, 1), "strides": (2, 2), "activation": activation,
        "activation_params": (-0.5, 2.0) if activation == "Clip" else (),
    }  # fmt: skip
    shape = total.shape
    problem = layers.problem(
        "FusedConv", inputs, [shape, shape], attributes, constants=(1, 4, 5), domain="ai.orpheus", threads=2
    )
    got, got_sum = layers.run(spatial.SpatialPack, problem, inputs)
    np.testing.assert_allclose(got_sum, total, atol=2e-5)
    np.testing.assert_allclose(got, function(y), atol=1e-4)


@st.composite
def transposes(draw):
    """X, W, B and attributes of a ConvTranspose that leaves something."""
    rank = draw(st.integers(1, 3))
    kernel, strides, dilations = each(draw, 1, 5 - rank, rank), each(draw, 1, 3, rank), each(draw, 1, 2, rank)
    size = each(draw, 1, MOST[rank] // 2, rank)
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(strides, dilations))
    full = [
        s * (n - 1) + p + (k - 1) * d + 1 for s, n, p, k, d in zip(strides, size, extra, kernel, dilations)
    ]
    group = draw(st.integers(1, 3))
    channels, filters = group * draw(st.integers(1, 12)), draw(st.integers(1, 33))
    x = drawn(draw, (draw(st.integers(1, 2)), channels, *size))
    w, b = drawn(draw, (channels, filters, *kernel)), drawn(draw, (group * filters,))
    attributes = {"group": group, "strides": strides, "dilations": dilations, "output_padding": extra}
    kind = draw(st.sampled_from(["pads", "VALID", "SAME_UPPER", "SAME_LOWER", "shape"]))
    if kind == "pads":
        before = [draw(st.integers(0, min(3, n - 1))) for n in full]
        after = [draw(st.integers(0, min(3, n - 1 - p))) for n, p in zip(full, before)]
        attributes["pads"] = (*before, *after)
    elif kind == "shape":
        attributes["output_shape"] = tuple(draw(st.integers(max(1, n - 3), n)) for n in full)
        attributes["auto_pad"] = draw(st.sampled_from(["NOTSET", "SAME_UPPER", "SAME_LOWER"]))
    else:
        attributes["auto_pad"] = kind
    return [x, w, b], attributes


@DRAWN
@given(case=transposes(), threads=st.integers(1, 3))
def test_conv_transpose(layers, bound, case, threads):
    inputs, attributes = case
    x, w, _ = inputs
    terms = x.shape[1] // attributes["group"] * np.prod(w.shape[2:])
    judge(
        layers,
        bound,
        spatial.ConvTranspose,
        conv_transpose,
        "ConvTranspose",
        inputs,
        attributes,
        terms,
        threads,
    )


@pytest.mark.parametrize("layer", ["SpatialPack", "ConvTranspose"])
def test_every_number_of_threads_computes_the_same_bits(layers, layer):
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(s).astype(np.float32) for s in ((1, 40, 7, 7), (40, 40, 3, 3)))
    op, size = ("Conv", 7) if layer == "SpatialPack" else ("ConvTranspose", 15)
    attributes = {"pads": (1,) * 4} if op == "Conv" else {"strides": (2, 2)}

    def run(threads):
        problem = layers.problem(
            op, [x, w], [(1, 40, size, size)], attributes, constants=(1,), threads=threads
        )
        return layers.run(getattr(spatial, layer), problem, [x, w])[0]

    alone = run(1)
    assert alone.any()
    for threads in (2, 3, 5):
        np.testing.assert_array_equal(run(threads), alone)
