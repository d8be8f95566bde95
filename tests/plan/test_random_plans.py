"""Random graphs through plan and executor: shared memory never lets one value spoil another.

Every run starts on an arena full of 0xFF (NaN as floats), so that a value read before it is written, or after
something else took its place, shows in the result.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest
import toys
from hypothesis import HealthCheck, assume, given, reject, settings
from passes.building import assert_close, evaluate, feeds_of
from passes.random_graphs import graphs

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.importer import to_onnx
from orpheus_core.types import CPU, DType

pytest.importorskip("orpheus_numpy")
_SETTINGS = settings(
    max_examples=int(os.environ.get("ORPHEUS_EXAMPLES", "40")),
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def poisoned_run(session: orpheus.InferenceSession, feeds: dict[str, Any]) -> list[Any]:
    """One run on memory that holds nothing but NaN."""
    for ready in session.executable._plans.values():
        for context in ready.resting:
            for device, arena in context.frame.arenas.items():
                if device == CPU:
                    arena.fill(0xFF)
    return session.run(None, feeds)


def expected_of(graph: Any, feeds: dict[str, Any]) -> list[Any]:
    try:
        with np.errstate(all="ignore"):
            results = list(evaluate(graph, feeds))
    except ValueError:  # the reference's MaxPool on a window of nothing but NaN
        reject()
    assume(all(np.isfinite(r).all() and np.max(np.abs(r), initial=0) < 1e6 for r in results))
    return results


@_SETTINGS
@given(graphs())
@pytest.mark.parametrize("passes", [None, ()], ids=["all", "none"])
def test_results_do_not_depend_on_what_memory_held(passes: Any, graph: Any) -> None:
    feeds = feeds_of(graph)
    expected = expected_of(graph, feeds)
    session = orpheus.InferenceSession(to_onnx(graph), providers=["numpy"], enable_passes=passes)
    is_double = graph.inputs[0].type.dtype is DType.FLOAT64
    roundings = 1e-6 / np.finfo(np.float64).eps if is_double else 1000
    for _ in range(2):
        got = poisoned_run(session, feeds)
        with np.errstate(all="ignore"):
            assert_close(expected, got, f"{graph}\n{session.graph}", roundings)


@_SETTINGS
@given(graphs())
def test_a_mixed_plan_with_another_layout_gives_the_same(graph: Any) -> None:
    assume(graph.inputs[0].type.dtype is DType.FLOAT32)
    feeds = feeds_of(graph)
    expected = expected_of(graph, feeds)
    with discovery.override(toys.blocked(), keep_installed=True):
        session = orpheus.InferenceSession(
            to_onnx(graph), providers=["blocked", "numpy"], policy="order", enable_passes=[]
        )
        for _ in range(2):
            with np.errstate(all="ignore"):
                assert_close(expected, poisoned_run(session, feeds), str(graph), 1000)
