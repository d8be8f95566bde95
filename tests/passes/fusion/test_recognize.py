"""Activations and normalizations that were exported in parts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from orpheus_core.passes import recognize_activations, recognize_layer_norm


def single(number):
    return np.float32(number)


def relu6(b, x):
    return b("Clip", b("Add", x, single(3)), single(0), single(6))


_ROOT = math.sqrt(2 / math.pi)


def cubic(b, x, power):
    cube = b("Pow", x, single(3)) if power else b("Mul", b("Mul", x, x), x)
    return b("Add", x, b("Mul", cube, single(0.044715)))


def gelu(b, x, gate, order):
    """The three factors of gelu in one of their orders and groupings."""
    factors = [x, b("Add", gate, single(1)), single(0.5)]
    first, second, third = (factors[i] for i in order[:3])
    return b("Mul", b("Mul", first, second), third) if order[3] else b("Mul", third, b("Mul", first, second))


ACTIVATION_PARTS = {
    "swish": ("Swish", lambda b, x: b("Mul", x, b("Sigmoid", x))),
    "swish turned": ("Swish", lambda b, x: b("Mul", b("Sigmoid", x), x)),
    "quick gelu": ("Swish", lambda b, x: b("Mul", x, b("Sigmoid", b("Mul", x, single(1.702))))),
    "swish by exp": ("Swish", lambda b, x: b("Div", x, b("Add", b("Exp", b("Neg", x)), single(1)))),
    "hard sigmoid": ("HardSigmoid", lambda b, x: b("Div", relu6(b, x), single(6))),
    "hard sigmoid by 1/6": ("HardSigmoid", lambda b, x: b("Mul", relu6(b, x), single(1 / 6))),
    "hard sigmoid by line": (
        "HardSigmoid",
        lambda b, x: b("Clip", b("Add", b("Mul", x, single(0.25)), single(0.5)), single(0), single(1)),
    ),
    "hard swish": ("HardSwish", lambda b, x: b("Div", b("Mul", x, relu6(b, x)), single(6))),
    "hard swish inner": ("HardSwish", lambda b, x: b("Mul", x, b("Div", relu6(b, x), single(6)))),
    "hard swish by 1/6": ("HardSwish", lambda b, x: b("Mul", b("Mul", x, single(1 / 6)), relu6(b, x))),
    "hard swish by min max": (
        "HardSwish",
        lambda b, x: b(
            "Div", b("Mul", x, b("Min", b("Max", b("Add", x, single(3)), single(0)), single(6))), single(6)
        ),
    ),
    "hard swish by op": (
        "HardSwish",
        lambda b, x: b("Mul", x, b("HardSigmoid", x, alpha=float(single(1 / 6)), beta=0.5)),
    ),
    "mish": ("Mish", lambda b, x: b("Mul", x, b("Tanh", b("Softplus", x)))),
    "mish by log": (
        "Mish",
        lambda b, x: b("Mul", x, b("Tanh", b("Log", b("Add", b("Exp", x), single(1))))),
    ),
    "relu": ("Relu", lambda b, x: b("Clip", x, single(0))),
    "relu by max": ("Relu", lambda b, x: b("Max", single(0), x)),
    "relu6": ("Clip", lambda b, x: b("Min", b("Relu", x), single(6))),
    "clip of clip": ("Clip", lambda b, x: b("Clip", b("Relu", x), None, single(0.5))),
    "leaky relu": ("LeakyRelu", lambda b, x: b("Max", x, b("Mul", x, single(0.1)))),
    "leaky relu by where": (
        "LeakyRelu",
        lambda b, x: b("Where", b("Greater", x, single(0)), x, b("Mul", single(0.1), x)),
    ),
    "leaky relu by less": (
        "LeakyRelu",
        lambda b, x: b("Where", b("Less", x, single(0)), b("Mul", single(0.1), x), x),
    ),
    "leaky relu by prelu": ("LeakyRelu", lambda b, x: b("PRelu", x, np.full((4, 1), 0.25, np.float32))),
}
for order in itertools.product(itertools.permutations(range(3)), (0, 1)):
    where = (*order[0], order[1])
    ACTIVATION_PARTS[f"gelu {where}"] = (
        "Gelu",
        lambda b, x, where=where: gelu(b, x, b("Erf", b("Div", x, single(math.sqrt(2)))), where),
    )
    ACTIVATION_PARTS[f"gelu tanh {where}"] = (
        "Gelu",
        lambda b, x, where=where: gelu(
            b, x, b("Tanh", b("Mul", cubic(b, x, where[3]), single(_ROOT))), where
        ),
    )
ACTIVATION_PARTS["gelu tanh factored"] = (
    "Gelu",
    lambda b, x: gelu(
        b,
        x,
        b(
            "Tanh",
            b(
                "Mul",
                b("Mul", x, single(_ROOT)),
                b("Add", b("Mul", b("Mul", x, x), single(0.044715)), single(1)),
            ),
        ),
        (0, 1, 2, 1),
    ),
)


@pytest.mark.parametrize("name", ACTIVATION_PARTS)
def test_activation(make_build, check, ops, name):
    expected, parts = ACTIVATION_PARTS[name]
    build = make_build(np.float32)
    y = parts(build, build.input(3, 4, 5, spread=4))
    after = check(build, build.graph(y), recognize_activations.run, tolerance=2e-6)
    assert ops(after) == [expected]


@pytest.mark.parametrize(
    "parts",
    [
        lambda b, x: b("Mul", build_twice(b, x), single(0.25)),
        lambda b, x: b("Mul", x, b("Sigmoid", b("Add", x, single(1)))),
        lambda b, x: b(
            "Mul", b("Mul", x, b("Add", b("Erf", b("Div", x, single(1.5))), single(1))), single(0.5)
        ),
        lambda b, x: b("Div", b("Mul", x, relu6(b, x)), single(5)),
        lambda b, x: b("Max", x, b("Mul", x, single(1.5))),
        lambda b, x: b("Max", x, b("Mul", x, single(-0.5))),
        lambda b, x: b("Max", x, np.zeros((3, 1, 1), np.float32) + single([[[1]], [[2]], [[3]]])),
        lambda b, x: b("Where", b("Greater", x, single(0.5)), x, b("Mul", x, single(0.1))),
        lambda b, x: b("Mul", x, b("Tanh", b("Softplus", b("Add", x, x)))),
        lambda b, x: b("Max", x, np.zeros((1, 1, 1, 1), np.float32)),
    ],
    ids=[
        "gelu quarter",
        "shift",
        "erf scale",
        "fifth",
        "steep",
        "negative",
        "vector",
        "threshold",
        "mish",
        "rank",
    ],
)
def test_near_misses_stay(make_build, parts):
    build = make_build(np.float32)
    graph = build.graph(parts(build, build.input(3, 4, 5)))
    assert recognize_activations.run(graph) is graph


def build_twice(b, x):
    return b("Mul", x, b("Add", b("Erf", b("Div", x, single(math.sqrt(2)))), single(1)))


def test_gate_that_others_read_stays(make_build):
    build = make_build(np.float32)
    x = build.input(3, 4)
    gate = build("Sigmoid", x)
    graph = build.graph(build("Mul", x, gate), gate)
    assert recognize_activations.run(graph) is graph


def test_double_precision_needs_exact_constants(build, check, ops):
    x = build.input(3, 4)
    y = build("Mul", x, build("Sigmoid", build("Mul", x, np.float64(1.702))))
    graph = build.graph(y)
    assert recognize_activations.run(graph) is graph


def norm_parts(b, x, axes, *, square="Pow", twice=False, inverse="Div", centred=True, epsilon=1e-5):
    axes = np.asarray(axes, np.int64)

    def centre():
        return b("Sub", x, b("ReduceMean", x, axes)) if centred else x

    top = centre()
    base = centre() if twice else top
    squared = b("Pow", base, single(2)) if square == "Pow" else b("Mul", base, base)
    deviation = b("Add", b("ReduceMean", squared, axes), single(epsilon))
    if inverse == "Pow":
        return b("Mul", top, b("Pow", deviation, single(-0.5)))
    deviation = b("Sqrt", deviation)
    if inverse == "Reciprocal":
        return b("Mul", b("Reciprocal", deviation), top)
    if inverse == "One":
        return b("Mul", top, b("Div", single(1), deviation))
    return b("Div", top, deviation)


@pytest.mark.parametrize("centred", [True, False], ids=["layer", "rms"])
@pytest.mark.parametrize("square", ["Pow", "Mul"])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("inverse", ["Div", "Reciprocal", "One", "Pow"])
@pytest.mark.parametrize("axes", [(-1,), (2, 1)])
def test_normalization(make_build, check, ops, centred, square, twice, inverse, axes):
    build = make_build(np.float32)
    x = build("Sin", build.input(2, 3, 6))
    y = norm_parts(build, x, axes, square=square, twice=twice, inverse=inverse, centred=centred)
    y = build("Mul", build.array(6), y)
    if centred:
        y = build("Add", y, build.array(1, 6))
    after = check(build, build.graph(y), recognize_layer_norm.run, tolerance=2e-6)
    name = "LayerNormalization" if centred else "RMSNormalization"
    assert ops(after) == ["Sin", name]
    assert after.nodes[1].attributes["axis"] == 3 - len(axes)
    assert after.nodes[1].attributes["epsilon"] == single(1e-5)


def test_scale_inside_the_reciprocal(make_build, check, ops):
    build = make_build(np.float32)
    x = build.input(2, 3, 6)
    axes = np.asarray([-1], np.int64)
    d = build("Sub", x, build("ReduceMean", x, axes))
    deviation = build("Sqrt", build("Add", build("ReduceMean", build("Mul", d, d), axes), single(1e-6)))
    y = build("Mul", d, build("Mul", build("Reciprocal", deviation), build.array(6)))
    assert ops(check(build, build.graph(y), recognize_layer_norm.run, tolerance=2e-6)) == [
        "LayerNormalization"
    ]


@pytest.mark.parametrize("axes", [(1,), (0, 2)])
def test_inner_axes_stay(make_build, axes):
    build = make_build(np.float32)
    graph = build.graph(norm_parts(build, build.input(2, 3, 6), axes))
    assert recognize_layer_norm.run(graph) is graph


def test_double_precision_stays(build):
    axes = np.asarray([-1], np.int64)
    x = build.input(2, 6)
    d = build("Sub", x, build("ReduceMean", x, axes))
    deviation = build("Sqrt", build("Add", build("ReduceMean", build("Mul", d, d), axes), np.float64(1e-6)))
    graph = build.graph(build("Div", d, deviation))
    assert recognize_layer_norm.run(graph) is graph


def test_scale_along_another_axis_stays_outside(make_build, check, ops):
    build = make_build(np.float32)
    y = build("Mul", norm_parts(build, build.input(2, 3, 6), (-1,)), build.array(3, 1))
    after = check(build, build.graph(y), recognize_layer_norm.run, tolerance=2e-6)
    assert ops(after) == ["LayerNormalization", "Mul"]
