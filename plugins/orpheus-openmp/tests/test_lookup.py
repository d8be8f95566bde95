"""Look-ups, conversions and searches against numpy, of every element type they take; indices outside are errors."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orpheus_numpy.tensor.search import top_k

from orpheus_core.types import DType, TensorType

batchnorm = pytest.importorskip("orpheus_openmp.batchnorm", reason="orpheus-openmp is not installed")
casts = pytest.importorskip("orpheus_openmp.cast", reason="orpheus-openmp is not installed")
picks = pytest.importorskip("orpheus_openmp.pick", reason="orpheus-openmp is not installed")
search = pytest.importorskip("orpheus_openmp.search", reason="orpheus-openmp is not installed")

DRAWN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def typed(array):
    return TensorType(DType.from_numpy(array.dtype), array.shape)


def bound(layers, layer, op, inputs, outputs, attributes=(), *, constants=(), threads=1):
    """The step of a layer on plain arrays of any types, which fills ``outputs``."""
    problem = layers.problem(
        op, inputs, [y.shape for y in outputs], attributes, constants=constants, threads=threads
    )
    problem = replace(problem, inputs=tuple(map(typed, inputs)), outputs=tuple(map(typed, outputs)))
    prepared = layer(problem, layers.isa)
    given = [None if i in prepared.packed else x for i, x in enumerate(inputs)]
    space = np.empty(prepared.workspace, np.uint8) if prepared.workspace else None
    return prepared.bind(given, outputs, space)


def run(layers, layer, op, inputs, outputs, attributes=(), **more):
    bound(layers, layer, op, inputs, outputs, attributes, **more)()
    return outputs if len(outputs) > 1 else outputs[0]


ELEMENTS = ("float32", "uint8", "float16", "int64")


@pytest.mark.parametrize("dtype", ELEMENTS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize("threads", [1, 3])
def test_gather(layers, dtype, axis, index, threads):
    x = (normal(5, 7, 6) * 50).astype(dtype)
    indices = np.array([[4, -1, 0], [-5, 2, 2]], index)
    exact = np.take(x, indices, axis)
    got = run(
        layers, picks.Gather, "Gather", [x, indices], [np.ones_like(exact)], {"axis": axis}, threads=threads
    )
    np.testing.assert_array_equal(got, exact)


@DRAWN
@given(data=st.data(), threads=st.integers(1, 3))
def test_gather_elements(layers, data, threads):
    shape = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    wanted = [data.draw(st.integers(1, 9 if d == axis % len(shape) else n)) for d, n in enumerate(shape)]
    size = shape[axis]
    indices = np.random.default_rng(0).integers(-size, size, wanted)
    x = normal(*shape).astype(data.draw(st.sampled_from(ELEMENTS)))
    within = x[tuple(slice(n) if d != axis % len(shape) else slice(None) for d, n in enumerate(wanted))]
    exact = np.take_along_axis(within, indices, axis)
    inputs = [x, indices.astype(data.draw(st.sampled_from(["int32", "int64"])))]
    got = run(
        layers,
        picks.GatherElements,
        "GatherElements",
        inputs,
        [np.ones_like(exact)],
        {"axis": axis},
        threads=threads,
    )
    np.testing.assert_array_equal(got, exact)


@pytest.mark.parametrize("batch", [0, 1, 2])
@pytest.mark.parametrize("depth", [1, 2])
def test_gather_nd(layers, batch, depth):
    from orpheus_numpy.tensor.gather import gather_nd

    x = normal(3, 4, 5, 6)
    low = [-n for n in x.shape[batch : batch + depth]]
    indices = np.random.default_rng(0).integers(low, [-n for n in low], (*x.shape[:batch], 7, depth))
    exact = gather_nd(x, indices, batch_dims=batch)
    got = run(
        layers,
        picks.GatherND,
        "GatherND",
        [x, indices],
        [np.ones_like(exact)],
        {"batch_dims": batch},
        threads=2,
    )
    np.testing.assert_array_equal(got, exact)


@pytest.mark.parametrize("op", ["Gather", "GatherElements", "GatherND"])
@pytest.mark.parametrize("wrong", [5, -6, 2**40])
def test_an_index_outside_is_an_error_of_the_step_that_reads_it(layers, op, wrong):
    from orpheus_openmp import isa

    if not hasattr(isa.native(), "build"):
        pytest.skip("the runner has no errors")
    x, indices = normal(5, 3), np.array([[1, 1, 2]] if op == "GatherElements" else [[1], [2], [4]], np.int64)
    shape = {"Gather": (3, 1, 3), "GatherElements": (1, 3), "GatherND": (3, 3)}[op]
    y = np.zeros(shape, np.float32)
    alone = bound(layers, getattr(picks, op), op, [x, indices], [y])
    sealed = isa.native().Segment([isa.native().Segment([alone])])
    right = indices.copy()
    for step in (alone, sealed):
        indices.flat[2] = wrong
        with pytest.raises(ValueError, match=f"index {wrong} is outside an axis of 5 elements"):
            step()
        indices[...] = right
        step()
        assert y.any()


def numbers_of(source, target):
    """Values of one type that the other can take, ties and extremes of halves among them."""
    if source == "bool":
        return np.array([False, True] * 20)
    if np.dtype(source).kind in "iu":
        info = np.iinfo(source)
        return np.array([info.min, info.max, 0, 1, 3, 127, 2049, 65519, 65520, 10**6 + 1], np.int64 if info.min else
                        np.uint64).astype(source)  # fmt: skip
    wide = np.array(
        [0.0, -0.0, 1.0, -1.5, 2.5, 65504, 65519.9, 65520, 1e-8, 6e-8, 2.98e-8, 2.99e-8, 6.1e-5, 6.09e-5, 2049, 2051,
         1.00048828125, 1.0009765625, 3.0e38, 1e-40, np.inf, -np.inf, np.nan],
    )  # fmt: skip
    if np.dtype(target).kind in "iu" or target == "bool":
        wide = np.array(
            [0, 1, 3, 100, 2.75, 126.99] + ([] if np.dtype(target).kind == "u" else [-1, -2.75, -128])
        )
    with np.errstate(all="ignore"):
        return np.concatenate([wide, np.linspace(0, 120, 41)]).astype(source)


def dtype_of(name):
    return ml_dtypes.bfloat16 if name == "bfloat16" else name


PAIRS = [
    (s, t)
    for s in casts.NUMBERS
    for t in casts.NUMBERS
    if not (t in ("float16", "bfloat16") and s == "float64")
]


@pytest.mark.parametrize(("source", "target"), PAIRS)
def test_cast(layers, source, target):
    if target == "bfloat16" and np.dtype(dtype_of(source)).kind in "iu" and np.dtype(source).itemsize > 2:
        return  # refused: it would be rounded twice
    x = np.tile(numbers_of(dtype_of(source), dtype_of(target)), 60)
    with np.errstate(all="ignore"):
        wide = x.astype(np.float32) if source == "bfloat16" else x
        exact = wide.astype(dtype_of(target))
    problem = layers.problem("Cast", [x], [x.shape], {"to": 1}, threads=2)
    types = [TensorType(DType(name), x.shape) for name in (source, target)]
    problem = replace(problem, inputs=(types[0],), outputs=(types[1],))
    y = np.ones_like(exact)
    casts.Cast(problem, layers.isa).bind([x], [y], None)()
    if target in ("float16", "bfloat16"):
        number = ~np.isnan(exact)
        np.testing.assert_array_equal(np.isnan(y), ~number)
        exact, y = exact[number].view(np.uint16), y[number].view(np.uint16)
    np.testing.assert_array_equal(y, exact)


def test_halves_are_rounded_as_numpy_rounds_them(layers):
    halves = np.arange(65536, dtype=np.uint16).view(np.float16)
    single = run(layers, casts.Cast, "Cast", [halves], [np.empty(65536, np.float32)])
    np.testing.assert_array_equal(single, halves.astype(np.float32))
    # Neighbours of every half, and what lies midway.
    bits = halves.astype(np.float32).view(np.uint32).astype(np.int64)
    steps = (-4097, -4096, -4095, -1, 0, 1, 4095, 4096, 4097)
    near = np.concatenate([(bits + step).astype(np.uint32).view(np.float32) for step in steps])
    near = near[~np.isnan(near)]
    with np.errstate(all="ignore"):
        exact = near.astype(np.float16)
    got = run(layers, casts.Cast, "Cast", [near], [np.empty(near.shape, np.float16)])
    np.testing.assert_array_equal(got.view(np.uint16), exact.view(np.uint16))


@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 5, 200), -1), ((3, 150, 70), 1), ((9,), 0), ((2, 3, 1), 0), ((1, 5), 1)]
)
@pytest.mark.parametrize("strange", [False, True])
def test_arg_max(layers, op, last, shape, axis, strange):
    x = np.round(normal(*shape))  # with ties
    if strange:
        x[x == 1] = np.nan
        x[x == -1] = np.inf
        x[x == -2] = -np.inf
    function = np.argmax if op == "ArgMax" else np.argmin
    exact = function(x, axis, keepdims=True)
    if last:
        exact = x.shape[axis] - 1 - function(np.flip(x, axis), axis, keepdims=True)
    attributes = {"axis": axis, "select_last_index": last}
    got = run(layers, search.Extreme, op, [x], [np.full_like(exact, -7)], attributes, threads=2)
    np.testing.assert_array_equal(got, exact)


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("k", [1, 4, 7])
def test_top_k(layers, largest, axis, k):
    x = np.round(normal(7, 8, 9))
    x[x == 1] = np.nan
    wanted = np.array([k], np.int64)
    exact = top_k(x, wanted, axis=axis, largest=largest)
    outputs = [np.full_like(part, -7) for part in exact]
    attributes = {"axis": axis, "largest": largest}
    got = run(layers, search.TopK, "TopK", [x, wanted], outputs, attributes, constants=(1,), threads=3)
    for mine, right in zip(got, exact):
        np.testing.assert_array_equal(mine, right)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("constants", [(1, 2, 3, 4), (), (1, 3)])
def test_batch_normalization(layers, blocked, constants):
    x = normal(2, 19, 5, 7) * np.float32(3)
    gain, bias, mean, variance = (normal(19, seed=s) for s in (1, 2, 3, 4))
    variance = abs(variance)
    per_channel = [v.astype(np.float64)[:, None, None] for v in (gain, bias, mean, variance)]
    scale = per_channel[0] / np.sqrt(per_channel[3] + 1e-3)
    exact = (x - per_channel[2]) * scale + per_channel[1]
    layout = layers.blocked if blocked else "plain"
    problem = layers.problem(
        "BatchNormalization", [x, gain, bias, mean, variance], [x.shape], {"epsilon": 1e-3}, threads=2,
        layouts=(layout,), out=(layout,), constants=constants,
    )  # fmt: skip
    (got,) = layers.run(batchnorm.BatchNorm, problem, [x, gain, bias, mean, variance])
    size = (abs(x) + abs(per_channel[2])) * abs(scale) + abs(per_channel[1])
    assert np.all(abs(got - exact) <= 3 * np.finfo(np.float32).eps * size)
