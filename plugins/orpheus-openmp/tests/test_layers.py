"""Pooling, products, elementwise, reordering and joining kernels against float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from orpheus_numpy.nn.pool import average_pool, max_pool

from orpheus_core.plugin import resolve

elementwise = pytest.importorskip("orpheus_openmp.elementwise", reason="orpheus-openmp is not installed")
gemm = pytest.importorskip("orpheus_openmp.gemm", reason="orpheus-openmp is not installed")
movement = pytest.importorskip("orpheus_openmp.movement", reason="orpheus-openmp is not installed")
pool = pytest.importorskip("orpheus_openmp.pool", reason="orpheus-openmp is not installed")
splice = pytest.importorskip("orpheus_openmp.splice", reason="orpheus-openmp is not installed")
UNARY = pytest.importorskip("orpheus_openmp.manifest", reason="orpheus-openmp is not installed").UNARY

DRAWN = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
EPS = np.finfo(np.float32).eps


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@st.composite
def windows(draw):
    kernel = tuple(draw(st.integers(1, 5)) for _ in range(2))
    strides = tuple(draw(st.integers(1, 3)) for _ in range(2))
    pads = tuple(draw(st.integers(0, k - 1)) for k in (*kernel, *kernel))
    size = tuple(draw(st.integers(k, 20)) for k in kernel)
    attributes = {
        "kernel_shape": kernel,
        "strides": strides,
        "pads": pads,
        "ceil_mode": draw(st.integers(0, 1)),
    }
    return normal(
        draw(st.integers(1, 2)), draw(st.integers(1, 40)), *size, seed=draw(st.integers(0, 99))
    ), attributes


@DRAWN
@given(case=windows(), blocked=st.booleans(), threads=st.integers(1, 3))
def test_max_pool(layers, case, blocked, threads):
    x, attributes = case
    layout = layers.blocked if blocked else "plain"
    problem = layers.problem("MaxPool", [x], [(1,)], attributes)
    exact = max_pool(x, problem=problem, **problem.attributes)
    exact = exact[0] if isinstance(exact, tuple) else exact
    problem = layers.problem(
        "MaxPool", [x], [exact.shape], attributes, layouts=(layout,), out=(layout,), threads=threads
    )
    np.testing.assert_array_equal(layers.run(pool.MaxPool, problem, [x])[0], exact)


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "PRelu"])
@pytest.mark.parametrize("shape", [(19, 1, 1), (1, 19, 1, 1)])
@pytest.mark.parametrize("left", [False, True])
def test_a_plain_constant_of_channels_beside_blocks(layers, op, shape, left):
    x, z = normal(2, 19, 5, 7), normal(*shape, seed=1)
    if op == "PRelu":
        left = False
    inputs = [z, x] if left else [x, z]
    function = {
        "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide,
        "PRelu": lambda a, b: np.where(a < 0, a * b, a),
    }[op]  # fmt: skip
    layouts = ("plain", layers.blocked) if left else (layers.blocked, "plain")
    problem = layers.problem(
        op,
        inputs,
        [x.shape],
        layouts=layouts,
        out=(layers.blocked,),
        constants=(0 if left else 1,),
        threads=2,
    )
    got = layers.run(elementwise.Binary, problem, inputs)[0]
    np.testing.assert_array_equal(got, function(*inputs))


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("window", [(1, 1), (1, 4), (3, 3), (2, 5), (9, 9)])
def test_a_maximum_keeps_what_is_not_a_number(layers, blocked, window):
    """Wherever in the window it lies, as numpy and the reference have it."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 2 * layers.block + 3, 9, 21)).astype(np.float32)
    x[rng.random(x.shape) < 0.03] = np.nan
    x[rng.random(x.shape) < 0.03] = -np.inf
    attributes = {"kernel_shape": window, "strides": (1, 2), "pads": tuple(w // 2 for w in window) * 2}
    exact = max_pool(x, **attributes, dilations=(1, 1))
    exact = exact[0] if isinstance(exact, tuple) else exact
    layout = layers.blocked if blocked else "plain"
    problem = layers.problem("MaxPool", [x], [exact.shape], attributes, layouts=(layout,), out=(layout,))
    np.testing.assert_array_equal(layers.run(pool.MaxPool, problem, [x])[0], exact)


@DRAWN
@given(case=windows(), blocked=st.booleans(), counted=st.integers(0, 1))
def test_average_pool(layers, bound, case, blocked, counted):
    x, attributes = case
    attributes = {**attributes, "count_include_pad": counted}
    layout = layers.blocked if blocked else "plain"
    words = layers.problem("AveragePool", [x], [(1,)], attributes).attributes
    exact, size = (average_pool(v.astype(np.float64), **words) for v in (x, abs(x)))
    problem = layers.problem("AveragePool", [x], [exact.shape], attributes, layouts=(layout,), out=(layout,))
    bound(layers.run(pool.AveragePool, problem, [x])[0], exact, size, np.prod(attributes["kernel_shape"]))


@pytest.mark.parametrize("kernel", [(3, 3), (2, 60), (2, 70)])
@pytest.mark.parametrize("stride", [1, 3])
def test_pools_of_wide_rows(layers, bound, kernel, stride):
    x = normal(1, 19, 5, 203)
    words = {"kernel_shape": kernel, "strides": (1, stride), "pads": (1, 1, 1, 1)}
    places = {"layouts": (layers.blocked,), "out": (layers.blocked,)}
    full = layers.problem("MaxPool", [x], [(1,)], words)
    exact = max_pool(x, problem=full, **full.attributes)
    exact = exact[0] if isinstance(exact, tuple) else exact
    problem = layers.problem("MaxPool", [x], [exact.shape], words, **places)
    np.testing.assert_array_equal(layers.run(pool.MaxPool, problem, [x])[0], exact)
    full = layers.problem("AveragePool", [x], [(1,)], words).attributes
    exact, size = (average_pool(v.astype(np.float64), **full) for v in (x, abs(x)))
    problem = layers.problem("AveragePool", [x], [exact.shape], words, **places)
    bound(layers.run(pool.AveragePool, problem, [x])[0], exact, size, np.prod(kernel))


@pytest.mark.parametrize("blocked", [False, True])
def test_global_pools(layers, bound, blocked):
    x = normal(2, 37, 23, 19)
    layout = layers.blocked if blocked else "plain"
    places = {"layouts": (layout,), "out": (layout,)}
    problem = layers.problem("GlobalAveragePool", [x], [(2, 37, 1, 1)], **places)
    exact, size = (v.astype(np.float64).mean((2, 3), keepdims=True) for v in (x, abs(x)))
    bound(layers.run(pool.GlobalAveragePool, problem, [x])[0], exact, size, 23 * 19)
    problem = layers.problem("GlobalMaxPool", [x], [(2, 37, 1, 1)], **places)
    np.testing.assert_array_equal(
        layers.run(pool.GlobalMaxPool, problem, [x])[0], x.max((2, 3), keepdims=True)
    )


@DRAWN
@given(
    m=st.integers(1, 40), k=st.integers(1, 70), n=st.integers(1, 150), ta=st.booleans(), tb=st.booleans(),
    constant=st.booleans(), bias=st.sampled_from([None, "n", "m1", "1n", "mn", "one"]), threads=st.integers(1, 3),
)  # fmt: skip
def test_gemm(layers, bound, m, k, n, ta, tb, constant, bias, threads):
    a, b = normal(*((k, m) if ta else (m, k))), normal(*((n, k) if tb else (k, n)), seed=1)
    shapes = {"n": (n,), "m1": (m, 1), "1n": (1, n), "mn": (m, n), "one": (1,)}
    c = None if bias is None else normal(*shapes[bias], seed=2)
    wide = [
        v.astype(np.float64) for v in (a.T if ta else a, b.T if tb else b, np.zeros(1) if c is None else c)
    ]
    exact = 0.5 * wide[0] @ wide[1] + 2.0 * wide[2]
    size = 0.5 * abs(wide[0]) @ abs(wide[1]) + abs(2.0 * wide[2])
    attributes = {"transA": int(ta), "transB": int(tb), "alpha": 0.5, "beta": 2.0}
    problem = layers.problem(
        "Gemm", [a, b, c], [(m, n)], attributes, constants=(1,) if constant else (), threads=threads
    )
    bound(layers.run(gemm.Gemm, problem, [a, b, c])[0], exact, size, k + 2)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((3, 5, 7), (3, 7, 33)),
        ((3, 5, 7), (7, 33)),
        ((7,), (7, 20)),
        ((2, 1, 9), (9, 40)),
        ((2, 3, 4, 5), (1, 3, 5, 9)),
        ((2, 1, 4, 5), (3, 5, 9)),
        ((5,), (3, 5, 9)),
        ((1, 4, 5), (6, 5, 9)),
        ((3, 1, 4, 5), (3, 2, 5, 9)),
    ],
)
@pytest.mark.parametrize("constant", [False, True])
def test_matmul(layers, bound, a, b, constant):
    x, y = normal(*a), normal(*b, seed=1)
    exact, size = np.matmul(x.astype(np.float64), y), np.matmul(abs(x).astype(np.float64), abs(y))
    problem = layers.problem("MatMul", [x, y], [exact.shape], constants=(1,) if constant else ())
    bound(layers.run(gemm.MatMul, problem, [x, y])[0], exact, size, a[-1])


def test_fused_matmul_adds_its_bias_and_residual(layers, bound):
    x, w, bias, residual = (
        normal(2, 6, 30),
        normal(30, 50, seed=1),
        normal(50, seed=2),
        normal(2, 6, 50, seed=3),
    )
    attributes = {"activation": "Relu", "activation_params": ()}
    problem = layers.problem(
        "FusedMatMul", [x, w, bias, residual], [(2, 6, 50)], attributes, constants=(1,), domain="ai.orpheus"
    )
    exact = np.maximum(x.astype(np.float64) @ w + bias + residual, 0)
    size = abs(x).astype(np.float64) @ abs(w) + abs(bias) + abs(residual)
    bound(layers.run(gemm.MatMul, problem, [x, w, bias, residual])[0], exact, size, 32)


PARAMETERS = {
    "LeakyRelu": {"alpha": 0.1}, "HardSigmoid": {"alpha": 0.3, "beta": 0.6}, "Elu": {"alpha": 1.5},
    "Celu": {"alpha": 0.7}, "ThresholdedRelu": {"alpha": 0.5},
}  # fmt: skip
POSITIVE = ("Sqrt", "Log", "Reciprocal")


@pytest.mark.parametrize("blocked", [False, True])
@pytest.mark.parametrize("op", [op for op in UNARY if op != "Clip"])
def test_unary(layers, op, blocked):
    from orpheus_numpy.manifest import KERNELS

    x = np.concatenate([normal(1, 19, 5, 7) * 4, normal(1, 19, 5, 7, seed=1) * 1e-3], 3)
    x = abs(x) + np.float32(1e-3) if op in POSITIVE else x
    layout = layers.blocked if blocked else "plain"
    problem = layers.problem(op, [x], [x.shape], PARAMETERS.get(op, {}), layouts=(layout,), out=(layout,))
    found = next(k for k in KERNELS if k.op == op and not k.domain)
    words = dict(problem.attributes)
    function = resolve(found.run)
    with np.errstate(all="ignore"):
        exact = (
            function(x.astype(np.float64)) if isinstance(function, np.ufunc) else _exact(function, x, words)
        )
    (got,) = layers.run(elementwise.Unary, problem, [x])
    # The rounding of an argument near x moves the result by |f'| |x| eps: slopes here are at most 2, but exp's is exp.
    room = (
        4
        * EPS
        * (
            abs(exact) * (1 + (abs(x) if op == "Exp" else 0))
            + abs(x)
            + (1 if op in ("Sigmoid", "Softplus", "HardSigmoid", "Log") else 0)
        )
    )
    error = abs(got - exact)
    assert np.all(error <= room), (op, float((error / room).max()))


def _exact(function, x, words):
    result = function(x.astype(np.float64), **words)
    return result[0] if isinstance(result, tuple) else result


@pytest.mark.parametrize(
    ("op", "name"), [("Swish", "alpha"), ("Selu", "gamma"), ("Elu", "alpha"), ("Celu", "alpha")]
)
@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_pads_stay_zero_under_infinite_parameters(layers, op, name, value):
    """Zero times infinity is not a number; ``run`` looks at the pads."""
    x = normal(1, 5, 3, 3)
    places = {"layouts": (layers.blocked,), "out": (layers.blocked,)}
    assert layers.run(elementwise.Unary, layers.problem(op, [x], [x.shape], {name: value}, **places), [x])


def test_exponential_at_its_ends(layers):
    x = np.array(
        [[-np.inf, -200.0, -103.0, -88.0, -87.0, 0.0, 88.7, 88.8, 200.0, np.inf, np.nan]], np.float32
    )
    problem = layers.problem("Exp", [x], [x.shape])
    (got,) = layers.run(elementwise.Unary, problem, [x])
    with np.errstate(over="ignore"):
        exact = np.exp(x.astype(np.float64)).astype(np.float32)
    np.testing.assert_allclose(got, exact, rtol=2e-6, atol=3e-45)


def test_clip_and_what_is_not_a_number(layers):
    x = np.array([[-3.0, -0.5, 0.5, 3.0, np.nan, np.inf, -np.inf, 0.0]], np.float32)
    low, high = np.float32(-1).reshape(()), np.float32(1).reshape(())
    problem = layers.problem("Clip", [x, low, high], [x.shape], constants=(1, 2))
    np.testing.assert_array_equal(
        layers.run(elementwise.Unary, problem, [x, low, high])[0], np.clip(x, -1, 1)
    )
    problem = layers.problem("Relu", [x], [x.shape])
    np.testing.assert_array_equal(layers.run(elementwise.Unary, problem, [x])[0], np.maximum(x, 0))


SHAPES = [
    ((2, 19, 5, 7), (2, 19, 5, 7), True),
    ((2, 19, 5, 7), (1, 19, 1, 1), True),
    ((2, 19, 5, 7), (2, 19, 1, 1), True),
    ((1, 19, 1, 1), (2, 19, 5, 7), True),
    ((2, 19, 5, 7), (19, 1, 1), False),
    ((2, 19, 5, 7), (1,), False),
    ((), (2, 19, 5, 7), False),
    ((23,), (23,), False),
    ((4, 9), (1, 9), False),
]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div"])
@pytest.mark.parametrize(("left", "right", "both"), SHAPES)
def test_binary(layers, op, left, right, both):
    functions = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}
    a, b = (np.asarray(abs(normal(*s, seed=i)) + np.float32(0.5)) for i, s in enumerate((left, right)))
    exact = functions[op](a, b)
    problem = layers.problem(op, [a, b], [exact.shape])
    np.testing.assert_allclose(layers.run(elementwise.Binary, problem, [a, b])[0], exact, rtol=EPS)
    if len(exact.shape) == 4:
        sides = tuple(layers.blocked if len(s) == 4 else "plain" for s in (left, right))
        if both or 1 in (a.size, b.size):
            problem = layers.problem(op, [a, b], [exact.shape], layouts=sides, out=(layers.blocked,))
            np.testing.assert_allclose(layers.run(elementwise.Binary, problem, [a, b])[0], exact, rtol=EPS)


@pytest.mark.parametrize("slope", [(1,), (19, 1, 1)])
def test_prelu(layers, slope):
    x, s = normal(2, 19, 5, 7), normal(*slope, seed=1)
    exact = np.where(x < 0, x * s, x)
    problem = layers.problem("PRelu", [x, s], [x.shape])
    np.testing.assert_allclose(layers.run(elementwise.Binary, problem, [x, s])[0], exact, rtol=EPS)


def test_an_infinite_slope_leaves_positive_values_alone(layers):
    x, s = np.array([[-1.0, 0.0, 2.0]], np.float32), np.full((3,), np.inf, np.float32)
    problem = layers.problem("PRelu", [x, s], [x.shape])
    np.testing.assert_array_equal(layers.run(elementwise.Binary, problem, [x, s])[0], [[-np.inf, 0, 2]])


@pytest.mark.parametrize("blocked", [False, True])
def test_scale_shift(layers, blocked):
    x, scale, shift = normal(2, 19, 5, 7), normal(19, seed=1), normal(19, seed=2)
    layout = layers.blocked if blocked else "plain"
    attributes = {"axis": 1, "activation": "Sigmoid", "activation_params": ()}
    problem = layers.problem(
        "ScaleShift", [x, scale, shift], [x.shape], attributes, layouts=(layout,), out=(layout,),
        constants=(1, 2), domain="ai.orpheus",
    )  # fmt: skip
    inner = x.astype(np.float64) * scale[:, None, None] + shift[:, None, None]
    (got,) = layers.run(elementwise.ScaleShift, problem, [x, scale, shift])
    np.testing.assert_allclose(got, 1 / (1 + np.exp(-inner)), rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("shape", [(2, 19, 5, 7), (1, 64, 1, 1), (3, 1, 17, 16)])
def test_reorder_both_ways(layers, shape):
    x = normal(*shape)
    attributes = {"from_layout": "plain", "to_layout": layers.blocked}
    problem = layers.problem("Reorder", [x], [shape], attributes, out=(layers.blocked,), domain="ai.orpheus")
    np.testing.assert_array_equal(layers.run(movement.Reorder, problem, [x])[0], x)
    attributes = {"from_layout": layers.blocked, "to_layout": "plain"}
    problem = layers.problem(
        "Reorder", [x], [shape], attributes, layouts=(layers.blocked,), domain="ai.orpheus"
    )
    np.testing.assert_array_equal(layers.run(movement.Reorder, problem, [x])[0], x)


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_concat(layers, axis):
    parts = [normal(*(3 + i if a == axis % 4 else 4 for a in range(4)), seed=i) for i in range(3)]
    exact = np.concatenate(parts, axis)
    problem = layers.problem("Concat", parts, [exact.shape], {"axis": axis})
    np.testing.assert_array_equal(layers.run(movement.Concat, problem, parts)[0], exact)


@pytest.mark.parametrize(
    "channels", [(32, 16, 19), (5, 3, 40), (19, 13), (1, 1, 1, 30, 15), (33, 1, 4, 58, 70)]
)
def test_concat_of_blocks(layers, channels):
    """Where channels begin and end inside of blocks too."""
    parts = [normal(2, count, 3, 5, seed=count) for count in channels]
    exact = np.concatenate(parts, 1)
    problem = layers.problem(
        "Concat", parts, [exact.shape], {"axis": 1}, layouts=(layers.blocked,) * len(parts), out=(layers.blocked,),
        threads=2,
    )  # fmt: skip
    np.testing.assert_array_equal(layers.run(splice.concat, problem, parts)[0], exact)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax(layers, op, axis):
    x = normal(5, 33, 18) * 10
    wide = x.astype(np.float64) - x.max(axis, keepdims=True)
    log = wide - np.log(np.exp(wide).sum(axis, keepdims=True))
    problem = layers.problem(op, [x], [x.shape], {"axis": axis})
    (got,) = layers.run(movement.Softmax, problem, [x])
    if op == "Softmax":
        np.testing.assert_allclose(got, np.exp(log), rtol=1e-5, atol=1e-12)
    else:
        np.testing.assert_allclose(got, log, rtol=1e-6, atol=1e-5)
