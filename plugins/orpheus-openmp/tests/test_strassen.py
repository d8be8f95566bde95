"""Strassen's algorithm, as data and as a convolution kernel, over the ways in which blocks and tiles do not divide."""

from __future__ import annotations

import numpy as np
import pytest
from orpheus_numpy.nn.conv import conv as reference

from orpheus_core.selection.reorder import from_layout, to_layout

bilinear = pytest.importorskip("orpheus_openmp.bilinear", reason="orpheus-openmp is not installed")
strassen = pytest.importorskip("orpheus_openmp.strassen", reason="orpheus-openmp is not installed")

CLASSES = {"strassen": strassen.Strassen, "strassen2": strassen.Strassen2}
#: Rounding of a norm-wise stable product grows by a constant a level (Higham, Accuracy and Stability, section 23.2.2).
FACTORS = {"strassen": 4.0, "strassen2": 8.0}
SIZES = [(1, 1), (1, 2), (1, 3), (1, 5), (7, 7), (3, 19), (8, 14), (11, 11), (15, 15)]


def product(algorithm, a, b):
    """A B by the algorithm's program, on square matrices cut into its blocks."""
    side, size = algorithm.side, len(a) // algorithm.side
    cut = [m.reshape(side, size, side, size).swapaxes(1, 2).reshape(-1, size, size) for m in (a, b)]
    left, right = (np.tensordot(s, m, 1) for s, m in zip((algorithm.left, algorithm.right), cut))
    result, slots, sums = {}, {}, np.zeros((size, size), a.dtype)
    for operation, at in algorithm.program:
        if operation == "fresh":
            sums = np.zeros_like(sums)
        elif operation == "product":
            sums = sums + left[at] @ right[at]
        elif operation == "add":
            sums = sums + slots[at]
        elif operation == "store":
            slots[at] = sums
        else:
            assert at not in result
            result[at] = sums
    whole = np.stack([result[q] for q in range(side**2)]).reshape(side, side, size, size)
    return whole.swapaxes(1, 2).reshape(a.shape)


@pytest.mark.parametrize("name", ["plain", *CLASSES])
def test_the_algorithms_multiply_matrices(name):
    found = {"plain": bilinear.PLAIN, **bilinear.ALGORITHMS}[name]
    a, b = np.random.default_rng(0).integers(-9, 9, (2, 8, 8))
    np.testing.assert_array_equal(product(found, a, b), a @ b)
    assert found.products == {"plain": 1, "strassen": 7, "strassen2": 49}[name]


def test_a_program_that_cannot_be_nested_is_refused():
    program = (("fresh", 0), ("product", 0), ("product", 0), ("out", 0))
    with pytest.raises(ValueError, match="without a store"):
        bilinear.square(bilinear.Algorithm(1, ((1,),), ((1,),), program))


def judge(layers, bound, name, x, w, *, group=1, threads=1):
    b = np.random.default_rng(1).standard_normal(w.shape[0]).astype(np.float32)
    wide = [v.astype(np.float64) for v in (x, w, b)]
    exact = reference(*wide, group=group)
    size = reference(*(abs(v) for v in wide), group=group)
    # A tile's rounding is that of the pixels and filters that it is mixed with.
    size = np.broadcast_to(size.max((1, 2, 3), keepdims=True), size.shape)
    problem = layers.problem(
        "Conv", [x, w, b], [exact.shape], {"group": group}, threads=threads,
        layouts=(layers.blocked,), out=(layers.blocked,), constants=(1, 2),
    )  # fmt: skip
    (got,) = layers.run(CLASSES[name], problem, [x, w, b])
    bound(got, exact, size, w.shape[1] + 1, FACTORS[name])


@pytest.mark.parametrize("name", CLASSES)
def test_what_is_refused(layers, name):
    from orpheus_openmp import isa, limits

    def refusal(channels=128, filters=256, **attributes):
        x = np.zeros((1, channels, 4, 4), np.float32)
        w = np.zeros((filters, channels // attributes.get("group", 1), 1, 1), np.float32)
        problem = layers.problem("Conv", [x, w], [(1, filters, 4, 4)], attributes, constants=(1,))
        return getattr(limits, name)(problem)

    assert refusal() is None
    assert "stride 1" in refusal(strides=(2, 1))
    assert "without pads" in refusal(pads=(0, 1, 0, 0))
    assert "channels" in refusal(channels=1)
    assert "filters" in refusal(filters=3)
    assert "a group" in refusal(channels=128, filters=128, group=128 // isa.tile()[0])


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_pixels(layers, bound, name, size, threads):
    rng = np.random.default_rng(0)
    block, side = layers.block, bilinear.ALGORITHMS[name].side
    channels, filters = block * (side + 1) - 3, block * (2 * side + 3) - 1
    x = rng.standard_normal((2, channels, *size)).astype(np.float32)
    judge(
        layers,
        bound,
        name,
        x,
        rng.standard_normal((filters, channels, 1, 1)).astype(np.float32),
        threads=threads,
    )


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("channels", [0.5, 1, 2, 3, 4, 4.4, 7, 8, 9.1])
@pytest.mark.parametrize("filters", [0.3, 1, 3.5, 4, 5, 8, 11, 16.2])
def test_blocks(layers, bound, name, channels, filters):
    rng = np.random.default_rng(0)
    channels, filters = (max(1, int(n * layers.block)) for n in (channels, filters))
    x = rng.standard_normal((1, channels, 5, 6)).astype(np.float32)
    judge(layers, bound, name, x, rng.standard_normal((filters, channels, 1, 1)).astype(np.float32))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("threads", [1, 2])
def test_groups(layers, bound, name, threads):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3 * 5 * layers.block, 6, 7)).astype(np.float32)
    w = rng.standard_normal((3 * 9 * layers.block, 5 * layers.block, 1, 1)).astype(np.float32)
    judge(layers, bound, name, x, w, group=3, threads=threads)


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("threads", [1, 2])
def test_many_bands_of_many_channels(layers, bound, name, threads):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 512, 23, 29)).astype(np.float32)
    w = rng.standard_normal((8 * layers.block, 512, 1, 1)).astype(np.float32)
    judge(layers, bound, name, x, w, threads=threads)


@pytest.mark.parametrize("name", CLASSES)
def test_small_integers_are_exact(layers, name):
    rng = np.random.default_rng(0)
    x = rng.integers(-8, 9, (1, 200, 9, 9)).astype(np.float32)
    w = rng.integers(-8, 9, (150, 200, 1, 1)).astype(np.float32)
    problem = layers.problem(
        "Conv", [x, w], [(1, 150, 9, 9)], layouts=(layers.blocked,), out=(layers.blocked,), constants=(1,)
    )
    (got,) = layers.run(CLASSES[name], problem, [x, w])
    np.testing.assert_array_equal(got, reference(x.astype(np.float64), w.astype(np.float64)))


@pytest.mark.parametrize("name", CLASSES)
@pytest.mark.parametrize("channels", [256, 1024, 2048])
def test_errors_are_small_beside_the_range(layers, name, channels):
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal((1, channels, 7, 8)), 0).astype(np.float32)
    w = (rng.standard_normal((8 * layers.block, channels, 1, 1)) / np.sqrt(channels)).astype(np.float32)
    exact = reference(x.astype(np.float64), w.astype(np.float64))
    problem = layers.problem(
        "Conv", [x, w], [exact.shape], layouts=(layers.blocked,), out=(layers.blocked,), constants=(1,)
    )
    (got,) = layers.run(CLASSES[name], problem, [x, w])
    assert np.abs(got - exact).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("name", CLASSES)
def test_a_residual_may_share_its_memory_with_the_result(layers, name):
    """Also where tiles overlap by a pixel, which must not be added twice."""
    rng = np.random.default_rng(0)
    filters = 8 * layers.block
    x = rng.standard_normal((1, 70, 7, 7)).astype(np.float32)
    w = (rng.standard_normal((filters, 70, 1, 1)) / 8).astype(np.float32)
    residual = rng.standard_normal((1, filters, 7, 7)).astype(np.float32)
    problem = layers.problem(
        "FusedConv", [x, w, None, residual], [residual.shape], {"activation": "Relu"}, constants=(1,),
        domain="ai.orpheus", layouts=(layers.blocked, "plain", "plain", layers.blocked), out=(layers.blocked,),
    )  # fmt: skip
    layer = CLASSES[name](problem, layers.isa)
    shared = to_layout(residual, problem.outputs[0].layout).copy()
    workspace = np.empty(layer.workspace, np.uint8)
    layer.bind([to_layout(x, problem.inputs[0].layout), None, None, shared], [shared], workspace)()
    exact = np.maximum(reference(x.astype(np.float64), w.astype(np.float64)) + residual, 0)
    got = from_layout(shared, problem.outputs[0].layout, residual.shape)
    np.testing.assert_allclose(got, exact, rtol=2e-5, atol=2e-5)
