"""No pass, alone or in the pipeline, changes what a random graph computes beyond float reordering."""

from __future__ import annotations

import importlib
import os

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from passes.building import assert_close, evaluate, feeds_of, signature
from passes.random_graphs import graphs

from orpheus_core.passes import PIPELINE, simplify
from orpheus_core.types import DType

_SETTINGS = settings(
    max_examples=int(os.environ.get("ORPHEUS_EXAMPLES", "60")),
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@pytest.fixture(autouse=True)
def quiet():
    with np.errstate(all="ignore"):
        yield


def roundings_of(graph):
    """How many roundings a pass may add; in float64 the parameters of an operator, float32 attributes, count more."""
    is_double = graph.inputs[0].type.dtype is DType.FLOAT64
    return 1e-6 / np.finfo(np.float64).eps if is_double else 1000


def expected_of(graph, feeds):
    """The results; no example where they are so large or special that the largest magnitude says nothing."""
    try:
        results = evaluate(graph, feeds)
    except ValueError:  # the reference's MaxPool on a window of nothing but NaN
        reject()
    assume(all(np.isfinite(r).all() and np.max(np.abs(r), initial=0) < 1e6 for r in results))
    return results


@_SETTINGS
@given(graphs())
def test_each_pass_alone_keeps_results(graph):
    feeds, seen, text = feeds_of(graph), signature(graph), str(graph)
    expected = expected_of(graph, feeds)
    for name in PIPELINE:
        run = importlib.import_module(f"orpheus_core.passes.{name}").run
        after = run(graph)
        assert str(graph) == text, f"{name} changed its argument"
        if after is graph:
            continue
        assert signature(after) == seen, name
        assert_close(expected, evaluate(after, feeds), f"{name}\n{text}\n{after}", roundings_of(graph))
        assert run(after) is after, f"{name} is not idempotent\n{after}\n{run(after)}"


@_SETTINGS
@given(graphs(steps=16))
def test_pipeline_keeps_results(graph):
    feeds, seen = feeds_of(graph), signature(graph)
    expected = expected_of(graph, feeds)
    after = simplify(graph)
    assert signature(after) == seen
    assert_close(expected, evaluate(after, feeds), f"{graph}\n{after}", roundings_of(graph))
    assert simplify(after) is after
