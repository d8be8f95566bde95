"""Levels: what may run at the same time lies apart, and the order of operations stays one in which they can run."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import toys
from hypothesis import HealthCheck, given, settings
from passes.building import assert_close, feeds_of
from passes.random_graphs import graphs
from plan.test_random_plans import expected_of, poisoned_run

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.discovery.validate import faults
from orpheus_core.importer import to_onnx
from orpheus_core.types import DType

SHAPE = (1, 16, 8, 8)
#: Two branches of x, the second longer; b and d are free when the branches meet.
BRANCHES = [
    ("Relu", ["x"], "a"), ("Relu", ["a"], "b"), ("Relu", ["b"], "c"),
    ("Relu", ["x"], "d"), ("Relu", ["d"], "e"), ("Relu", ["e"], "f"), ("Relu", ["f"], "g"),
    ("Add", ["c", "g"], "h"),
]  # fmt: skip


def planned(ops: Any, outputs: Any, **more: Any) -> Any:
    with discovery.override(toys.blocked(**more), toys.plain()):
        session = orpheus.InferenceSession(
            toys.model(ops, SHAPE, outputs), providers=["blocked", "plain"], policy="cost", enable_passes=[]
        )
        x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
        np.testing.assert_array_equal(session.run(None, {"x": x})[0], 2 * np.maximum(x, 0))
    return session.executable.plans[0]


def places(plan: Any, names: str) -> list[tuple[int, int]]:
    """Bytes of what the operations of these names read, write and work in."""
    chosen = [o for o in plan.program.operations if o.candidate and o.outputs[0].name in names]
    owners = {v.root()[0] for o in chosen for v in (*o.reads, *o.writes, o.workspace) if v is not None}
    return sorted((plan.offsets[o], plan.offsets[o] + o.nbytes) for o in owners)


def test_operations_are_sorted_by_level() -> None:
    def order(plan: Any) -> str:
        return "".join(o.outputs[0].name for o in plan.program.operations if o.candidate)

    assert order(planned(BRANCHES, ["h"])) == "abcdefgh"
    assert order(planned(BRANCHES, ["h"], concurrent=True)) == "adbecfgh"


@pytest.mark.parametrize("level", ["ad", "be", "cf"])
def test_what_one_level_touches_lies_apart(level: str) -> None:
    spans = places(planned(BRANCHES, ["h"], concurrent=True), level)
    # Read, written and workspace of each; a and d read the same.
    assert len(spans) == (5 if level == "ad" else 6)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))


def test_branches_have_a_level_of_slack_and_a_line_has_none() -> None:
    apart = planned(BRANCHES, ["h"], concurrent=True)
    # What is written a level later does not lie where a branch may still read.
    assert all(a[1] <= b[0] for a, b in pairwise(places(apart, "adbe")))
    line = [("Relu", ["x"], "a"), ("Relu", ["x"], "d"), ("Add", ["a", "d"], "b"), ("Relu", ["b"], "c")]
    line += [("Relu", [a], b) for a, b in pairwise("cijkl")]
    sizes = [planned(line, ["l"], concurrent=c).arena_bytes for c in (False, True)]
    assert sizes[1] <= sizes[0] + 2 * 4 * np.prod(SHAPE)


def test_concurrent_needs_a_seal() -> None:
    fault = "concurrent is given without Backend.seal"
    assert any(fault in f for f in faults(replace(toys.blocked(), seal=None, concurrent=True), "blocked"))
    assert not any(fault in f for f in faults(toys.blocked(concurrent=True), "blocked"))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_random_graphs_give_the_same_in_order_of_levels(graph: Any) -> None:
    pytest.importorskip("orpheus_numpy")
    feeds = feeds_of(graph)
    expected = expected_of(graph, feeds)
    is_double = graph.inputs[0].type.dtype is DType.FLOAT64
    roundings = 1e-6 / np.finfo(np.float64).eps if is_double else 1000
    reference = replace(discovery.get("numpy"), concurrent=True, seal="toys:seal")
    with discovery.override(reference):
        session = orpheus.InferenceSession(to_onnx(graph), providers=["numpy"], enable_passes=[])
        for _ in range(2):
            with np.errstate(all="ignore"):
                assert_close(expected, poisoned_run(session, feeds), str(graph), roundings)
