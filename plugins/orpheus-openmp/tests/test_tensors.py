"""Kernels that move, resample, reduce, normalise, join and repeat, in plain and blocked layouts, against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orpheus_core.errors import KernelError
from orpheus_core.geometry.slices import slice_of

broadcast = pytest.importorskip("orpheus_openmp.broadcast", reason="orpheus-openmp is not installed")
moves = pytest.importorskip("orpheus_openmp.moves", reason="orpheus-openmp is not installed")
normalize = pytest.importorskip("orpheus_openmp.normalize", reason="orpheus-openmp is not installed")
recurrent = pytest.importorskip("orpheus_openmp.recurrent", reason="orpheus-openmp is not installed")
reduce = pytest.importorskip("orpheus_openmp.reduce", reason="orpheus-openmp is not installed")
resize = pytest.importorskip("orpheus_openmp.resize", reason="orpheus-openmp is not installed")

DRAWN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EPS = np.finfo(np.float32).eps


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def integers(*values):
    return np.array(values, np.int64)


SHAPES = st.lists(st.integers(1, 21), min_size=1, max_size=5).filter(lambda s: np.prod(s) < 20000)


@DRAWN
@given(shape=SHAPES, data=st.data(), threads=st.integers(1, 3))
def test_transpose(layers, shape, data, threads):
    x, order = normal(*shape), data.draw(st.permutations(range(len(shape))))
    exact = x.transpose(order)
    problem = layers.problem("Transpose", [x], [exact.shape], {"perm": order}, threads=threads)
    np.testing.assert_array_equal(layers.run(moves.Move, problem, [x])[0], exact)


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 3, 1, 2), (1, 0, 3, 2), (3, 2, 1, 0)])
@pytest.mark.parametrize("channels", [5, 16, 37])
def test_transpose_out_of_and_into_blocks(layers, order, channels):
    x = normal(2, channels, 6, 7)
    exact = x.transpose(order)
    problem = layers.problem("Transpose", [x], [exact.shape], {"perm": order}, layouts=(layers.blocked,))
    np.testing.assert_array_equal(layers.run(moves.Move, problem, [x])[0], exact)
    problem = layers.problem("Transpose", [x], [exact.shape], {"perm": order}, out=(layers.blocked,))
    np.testing.assert_array_equal(layers.run(moves.Move, problem, [x])[0], exact)


@DRAWN
@given(shape=SHAPES, data=st.data())
def test_slice(layers, shape, data):
    x, axis = normal(*shape), data.draw(st.integers(0, len(shape) - 1))
    start, end = (data.draw(st.integers(-2 * shape[axis], 2 * shape[axis])) for _ in range(2))
    step = data.draw(st.sampled_from([-3, -1, 1, 2]))
    exact = x[(slice(None),) * axis + (slice_of(start, end, step, shape[axis]),)]
    if exact.size == 0:
        return
    inputs = [x, integers(start), integers(end), integers(axis), integers(step)]
    problem = layers.problem("Slice", inputs, [exact.shape], constants=(1, 2, 3, 4))
    np.testing.assert_array_equal(layers.run(moves.Move, problem, inputs)[0], exact)


def test_slice_and_split_of_blocks(layers):
    b = layers.block
    x = normal(2, 2 * b + 3, 5, 6)
    inputs = [x, integers(b, 1), integers(2 * b + 3, 4), integers(1, 2), integers(1, 2)]
    exact = x[:, b:, 1:4:2]
    places = {"layouts": (layers.blocked,), "out": (layers.blocked, layers.blocked)}
    problem = layers.problem("Slice", inputs, [exact.shape], constants=(1, 2, 3, 4), **places)
    np.testing.assert_array_equal(layers.run(moves.Move, problem, inputs)[0], exact)
    problem = layers.problem("Split", [x], [(2, b, 5, 6), (2, b + 3, 5, 6)], {"axis": 1}, **places)
    for got, part in zip(layers.run(moves.Move, problem, [x]), np.split(x, [b], 1)):
        np.testing.assert_array_equal(got, part)


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("blocked", [False, True])
def test_pad(layers, mode, blocked):
    x = normal(2, 19, 5, 7)
    widths = ((0, 0), (0, 0), (2, 1), (3, 4)) if blocked else ((1, 0), (2, 3), (0, 1), (3, 4))
    exact = np.pad(x, widths, mode)
    layout = layers.blocked if blocked else "plain"
    inputs = [x, integers(*(w[0] for w in widths), *(w[1] for w in widths))]
    problem = layers.problem(
        "Pad", inputs, [exact.shape], {"mode": mode}, constants=(1,), layouts=(layout,), out=(layout,)
    )
    np.testing.assert_array_equal(layers.run(moves.Move, problem, inputs)[0], exact)


def test_gather_expand_tile_and_depth(layers):
    x = normal(3, 8, 4, 6)
    indices = np.array([[2, -1], [0, 0]], np.int64)
    problem = layers.problem("Gather", [x, indices], [(3, 2, 2, 4, 6)], {"axis": 1}, constants=(1,))
    np.testing.assert_array_equal(layers.run(moves.Move, problem, [x, indices])[0], x[:, indices])
    row = normal(8, 1, 6)
    problem = layers.problem("Expand", [row, integers(3, 8, 4, 6)], [(3, 8, 4, 6)], constants=(1,))
    exact = np.broadcast_to(row, (3, 8, 4, 6))
    np.testing.assert_array_equal(layers.run(moves.Move, problem, [row, integers(3, 8, 4, 6)])[0], exact)
    exact = np.tile(x, (2, 1, 3, 2))
    problem = layers.problem("Tile", [x, integers(2, 1, 3, 2)], [exact.shape], constants=(1,))
    np.testing.assert_array_equal(layers.run(moves.Move, problem, [x, integers(2, 1, 3, 2)])[0], exact)
    there = layers.problem("SpaceToDepth", [x], [(3, 32, 2, 3)], {"blocksize": 2})
    (deep,) = layers.run(moves.Move, there, [x])
    exact = x.reshape(3, 8, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(3, 32, 2, 3)
    np.testing.assert_array_equal(deep, exact)
    back = layers.problem("DepthToSpace", [deep], [x.shape], {"blocksize": 2, "mode": "DCR"})
    np.testing.assert_array_equal(layers.run(moves.Move, back, [deep])[0], x)


def test_a_move_refuses_another_element_type(layers):
    x = normal(3, 4)
    prepared = moves.Move(layers.problem("Transpose", [x], [(4, 3)], {"perm": (1, 0)}), layers.isa)
    with pytest.raises(KernelError, match="prepared for float32"):
        prepared.bind([x.view(np.int32)], [np.empty((4, 3), np.float32)], None)


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"])
@pytest.mark.parametrize("size", [(10, 14), (3, 4), (5, 9)])
@pytest.mark.parametrize("antialias", [0, 1])
def test_resize(layers, bound, blocked, mode, coordinates, size, antialias):
    from orpheus_numpy.nn.resize import resize as reference

    x = normal(2, 19, 5, 7)
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates, "antialias": antialias}
    inputs = [x, None, None, integers(2, 19, *size)]
    layout = layers.blocked if blocked else "plain"
    problem = layers.problem(
        "Resize",
        inputs,
        [(2, 19, *size)],
        attributes,
        constants=(3,),
        layouts=(layout,),
        out=(layout,),
        threads=2,
    )
    layer = moves.Move if mode == "nearest" else resize.Resize
    (got,) = layers.run(layer, problem, inputs)
    exact = reference(x.astype(np.float64), None, None, inputs[3], **attributes)
    # Weights are rounded to float32 too; cubic ones of one axis have magnitudes of 1.5 at most together.
    bound(got, exact, np.full(exact.shape, 2.3 * abs(x).max()), 2 if mode == "nearest" else 16)


NUMPY = {
    "ReduceSum": np.sum, "ReduceMean": np.mean, "ReduceProd": np.prod, "ReduceMax": np.max, "ReduceMin": np.min,
    "ReduceL1": lambda x, a, keepdims: abs(x).sum(a, keepdims=keepdims),
    "ReduceL2": lambda x, a, keepdims: np.sqrt((x * x).sum(a, keepdims=keepdims)),
    "ReduceSumSquare": lambda x, a, keepdims: (x * x).sum(a, keepdims=keepdims),
    "ReduceLogSum": lambda x, a, keepdims: np.log(x.sum(a, keepdims=keepdims)),
    "ReduceLogSumExp": lambda x, a, keepdims: np.log(np.exp(x).sum(a, keepdims=keepdims)),
}  # fmt: skip


@pytest.mark.parametrize("op", list(NUMPY))
@pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (1, 3), (2, 3), (0, 1, 2, 3), (3,)])
@pytest.mark.parametrize("threads", [1, 3])
def test_reduce(layers, op, axes, threads):
    x = abs(normal(3, 5, 7, 37)) + np.float32(0.5)
    x = x ** np.float32(0.01) if op == "ReduceProd" else x  # no overflow
    exact = NUMPY[op](x.astype(np.float64), axes, keepdims=True)
    problem = layers.problem(
        op, [x, integers(*axes)], [exact.shape], {"keepdims": 1}, constants=(1,), threads=threads
    )
    (got,) = layers.run(reduce.Reduce, problem, [x, integers(*axes)])
    # All terms are positive: each of K roundings is relative, of the exponential 1.5 units more.
    count = np.prod([x.shape[a] for a in axes])
    room = 8 * EPS * count if op == "ReduceProd" else (4 + np.sqrt(count)) * EPS
    np.testing.assert_allclose(got, exact, rtol=room, atol=4 * EPS if "Log" in op else 0)


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceProd", "ReduceL2"])
@pytest.mark.parametrize("axes", [(2, 3), (3,), (2,)])
def test_reduce_of_blocks(layers, op, axes):
    x = abs(normal(2, 19, 5, 7)) + np.float32(0.5)
    exact = NUMPY[op](x.astype(np.float64), axes, keepdims=True)
    places = {"layouts": (layers.blocked,), "out": (layers.blocked,)}
    problem = layers.problem(op, [x, integers(*axes)], [exact.shape], constants=(1,), **places)
    (got,) = layers.run(reduce.Reduce, problem, [x, integers(*axes)])
    np.testing.assert_allclose(got, exact, rtol=35 * EPS)


def test_a_maximum_passes_what_is_not_a_number(layers):
    x = normal(4, 70)
    x[1, 3], x[2, 69] = np.nan, np.inf
    for axes in ((0,), (1,)):
        problem = layers.problem(
            "ReduceMax", [x, integers(*axes)], [x.max(axes, keepdims=True).shape], constants=(1,)
        )
        got = layers.run(reduce.Reduce, problem, [x, integers(*axes)])[0]
        np.testing.assert_array_equal(got, x.max(axes, keepdims=True))


@pytest.mark.parametrize("shift", [0.0, 1000.0])
@pytest.mark.parametrize("size", [3, 48, 1000])
def test_layer_normalization(layers, shift, size):
    x, scale, bias = normal(5, size) + np.float32(shift), normal(size, seed=1), normal(size, seed=2)
    wide = x.astype(np.float64)
    mean, deviation = wide.mean(-1, keepdims=True), np.sqrt(wide.var(-1, keepdims=True) + 1e-5)
    exact = (wide - mean) / deviation * scale + bias
    problem = layers.problem(
        "LayerNormalization", [x, scale, bias], [(5, size), (5, 1), (5, 1)], {"axis": -1}
    )
    got, got_mean, got_inverse = layers.run(normalize.LayerNorm, problem, [x, scale, bias])
    np.testing.assert_allclose(got_mean, mean, atol=2 * EPS * (1 + shift))
    np.testing.assert_allclose(got_inverse, 1 / deviation, rtol=1e-5 + 8 * EPS * shift)
    # A mean that is off by half a unit of the shift moves the result by as much over the deviation.
    room = (
        1e-5 * abs(scale) * (1 + abs(wide - mean) / deviation)
        + EPS * shift * abs(scale / deviation)
        + EPS * abs(bias)
    )
    assert np.all(abs(got - exact) <= room)


def test_other_normalizations(layers):
    x, scale, bias = normal(2, 12, 5, 7), normal(12, seed=1), normal(12, seed=2)
    wide = x.astype(np.float64)

    def standard(v, axes):
        return (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + 1e-5)

    problem = layers.problem("InstanceNormalization", [x, scale, bias], [x.shape])
    exact = standard(wide, (2, 3)) * scale[:, None, None] + bias[:, None, None]
    np.testing.assert_allclose(
        layers.run(normalize.InstanceNorm, problem, [x, scale, bias])[0], exact, atol=2e-5
    )
    problem = layers.problem("GroupNormalization", [x, scale, bias], [x.shape], {"num_groups": 3})
    grouped = standard(wide.reshape(2, 3, -1), 2).reshape(x.shape)
    exact = grouped * scale[:, None, None] + bias[:, None, None]
    np.testing.assert_allclose(
        layers.run(normalize.GroupNorm, problem, [x, scale, bias])[0], exact, atol=2e-5
    )
    row = normal(7, seed=3)
    problem = layers.problem("RMSNormalization", [x, row], [x.shape], {"axis": -1})
    exact = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5) * row
    np.testing.assert_allclose(layers.run(normalize.RmsNorm, problem, [x, row])[0], exact, atol=2e-5)


PAIRS = [
    ((3, 1, 5), (4, 1)),
    ((2, 3, 4, 1), (3, 1, 33)),
    ((7, 1), (1, 40)),
    ((6,), (2, 1, 6)),
    ((1,), (1, 1)),
    ((4, 1, 1, 9), (2, 1, 9)),
]


@pytest.mark.parametrize(("left", "right"), PAIRS)
@pytest.mark.parametrize(
    ("op", "function"),
    [("Add", np.add), ("Sub", np.subtract), ("Mul", np.multiply), ("Div", np.divide), ("Max", np.maximum),
     ("Min", np.minimum), ("Pow", np.power), ("Mod", np.fmod)],
)  # fmt: skip
def test_broadcast(layers, op, function, left, right):
    a, b = abs(normal(*left)) + np.float32(0.5), abs(normal(*right, seed=1)) + np.float32(0.5)
    exact = function(a, b)
    problem = layers.problem(op, [a, b], [exact.shape], {"fmod": 1} if op == "Mod" else {}, threads=2)
    np.testing.assert_allclose(layers.run(broadcast.Binary, problem, [a, b])[0], exact, rtol=2 * EPS)


def test_maximum_of_three_and_squares(layers):
    a, b, c = normal(3, 20), normal(1, 20, seed=1), normal(3, 1, seed=2)
    a[0, 0] = np.nan
    problem = layers.problem("Max", [a, b, c], [(3, 20)])
    np.testing.assert_array_equal(
        layers.run(broadcast.Binary, problem, [a, b, c])[0], np.maximum(np.maximum(a, b), c)
    )
    two = np.array(2, np.float32)
    problem = layers.problem("Pow", [a, two], [a.shape])
    np.testing.assert_array_equal(layers.run(broadcast.Binary, problem, [a, two])[0], a * a)


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("hidden", [5, 48])
@pytest.mark.parametrize("after", [0, 1])
def test_recurrent(layers, op, direction, hidden, after):
    from orpheus_numpy.recurrent import cells

    gates, d = 4 if op == "LSTM" else 3, 2 if direction == "bidirectional" else 1
    x, h0 = normal(6, 3, 7), normal(d, 3, hidden, seed=1)
    w, r = (normal(d, gates * hidden, n, seed=n) * np.float32(0.3) for n in (7, hidden))
    bias = normal(d, 2 * gates * hidden, seed=9)
    inputs, attributes = [x, w, r, bias, None, h0], {"direction": direction, "hidden_size": hidden}
    if op == "LSTM":
        inputs += [normal(d, 3, hidden, seed=4)] + ([normal(d, 3 * hidden, seed=5)] if after else [])
    else:
        attributes["linear_before_reset"] = after
    wide = [None if v is None else v.astype(np.float64) for v in inputs]
    exact = (cells.lstm if op == "LSTM" else cells.gru)(*wide, **attributes)
    problem = layers.problem(
        op, inputs, [v.shape for v in exact], attributes, constants=(1, 2, 3, 7), threads=2
    )
    layer = recurrent.Lstm if op == "LSTM" else recurrent.Gru
    for got, want in zip(layers.run(layer, problem, inputs), exact):
        # Gates are sums of at most 55 terms of size 1; six steps carry their roundings on.
        np.testing.assert_allclose(got, want, atol=6 * 64 * EPS)


def test_non_max_suppression(isa, monkeypatch):
    from orpheus_numpy.tensor.detection import non_max_suppression as reference
    from orpheus_openmp.detection import non_max_suppression

    monkeypatch.setenv("ORPHEUS_ISA", isa)
    rng = np.random.default_rng(0)
    corner, size = rng.random((2, 60, 2)), rng.random((2, 60, 2)) * 0.3
    boxes = np.concatenate([corner, corner + size], 2).astype(np.float32)
    scores = np.round(rng.random((2, 3, 60)), 1).astype(np.float32)  # with ties
    for threads, limit, centred in ((1, 5, 0), (3, 100, 1), (2, 0, 0)):
        arguments = [
            boxes,
            scores,
            integers(limit),
            np.array([0.3], np.float32),
            np.array([0.25], np.float32),
        ]
        got = non_max_suppression(*arguments, problem=_threads(threads), center_point_box=centred)
        np.testing.assert_array_equal(got, reference(*arguments, center_point_box=centred))
    with pytest.raises(KernelError, match="do not fit"):
        non_max_suppression(boxes[:, :7], scores, problem=_threads(1))


def _threads(count):
    from orpheus_core.plugin import Problem

    return Problem("NonMaxSuppression", "", 11, {}, (), (), threads=count)
