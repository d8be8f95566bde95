"""All fusion passes together, and each alone, on random networks of convolutions and what surrounds them."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PASSES = (
    "recognize_activations",
    "recognize_layer_norm",
    "fold_scale",
    "fold_batch_norm",
    "fuse_scale_shift",
    "fuse_conv",
    "fuse_gemm",
    "merge_siblings",
)


def run_named(*names):
    passes = [importlib.import_module(f"orpheus_core.passes.{name}").run for name in names]

    def run(graph):
        for _ in range(8):
            before = graph
            for one in passes:
                graph = one(graph)
            if graph is before:
                return graph
        raise AssertionError("the passes do not settle")

    return run


def grow(build, draw):
    """A network whose values all are [1, 4, 3, 3], each from earlier ones, some of them results."""
    values = [build.input(1, 4, 3, 3), build.input(1, 4, 3, 3)]

    def pick():
        # Mostly recent values, so that chains form.
        return values[-1 - min(draw(st.integers(0, 5)), len(values) - 1)]

    def conv():
        size = draw(st.sampled_from([1, 3]))
        group = draw(st.sampled_from([1, 1, 2]))
        weight = build.array(4, 4 // group, size, size)
        bias = build.array(4) if draw(st.booleans()) else None
        return build("Conv", pick(), weight, bias, group=group, pads=[size // 2] * 4)

    def arithmetic():
        shape = draw(st.sampled_from([(), (4, 1, 1), (1, 4, 1, 1), (3,), (1, 1, 1)]))
        op = draw(st.sampled_from(["Add", "Sub", "Mul", "Div"]))
        operands = [pick(), build.array(*shape, low=0.5, high=2)]
        return build(op, *(operands if op == "Div" or draw(st.booleans()) else operands[::-1]))

    def narrow():
        # Two siblings that are wide enough to merge, and together again.
        wide = build("Concat", *[pick() for _ in range(4)], axis=1)
        parts = [build("Conv", wide, build.array(2, 16, 1, 1)) for _ in range(2)]
        return build("Concat", *parts, axis=1)

    def swish():
        x = pick()
        return build("Mul", x, build("Sigmoid", x))

    def bounded():
        low = np.float64(draw(st.sampled_from([-1, 0])))
        return build("Clip", pick(), low, np.float64(0.5))

    def leaky():
        x = pick()
        return build("Max", x, build("Mul", x, np.float64(0.25)))

    steps = [
        conv,
        conv,
        arithmetic,
        narrow,
        swish,
        bounded,
        leaky,
        lambda: build("Relu", pick()),
        lambda: build("Add", pick(), pick()),
        lambda: build("Mul", pick(), build.array(4, 3, 3)),
        lambda: build.norm(pick(), 4),
        lambda: build("Add", build("MatMul", pick(), build.array(3, 3)), build.array(3)),
    ]
    for index in draw(st.lists(st.integers(0, len(steps) - 1), min_size=1, max_size=14)):
        made = steps[index]()
        values.append(made)
    chosen = draw(st.lists(st.integers(0, len(build.nodes) - 1), max_size=2))
    results = dict.fromkeys([values[-1], *(build.nodes[i].results[0] for i in chosen)])
    return build.graph(*results)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_all_passes(make_build, check, data):
    build = make_build(np.float64, data.draw(st.integers(0, 2**32 - 1)))
    graph = grow(build, data.draw)
    # At most a dozen layers of at most 64 terms, each able to multiply a relative error by a few.
    check(build, graph, run_named(*PASSES), tolerance=1e-9)


@pytest.mark.parametrize("name", PASSES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_pass(make_build, check, data, name):
    build = make_build(np.float64, data.draw(st.integers(0, 2**32 - 1)))
    graph = grow(build, data.draw)
    check(build, graph, run_named(name), tolerance=1e-9)
