"""Chains: what a backend is offered, what it may answer, how memory is kept apart and how it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import toys

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.discovery.validate import faults
from orpheus_core.errors import KernelError
from orpheus_core.plugin import Joined

SHAPE = (1, 24, 8, 8)
LINE = [("Relu", ["x"], "a"), ("Relu", ["a"], "b"), ("Relu", ["b"], "c"), ("Relu", ["c"], "d")]


@pytest.fixture
def run() -> Callable[..., Any]:
    """Runs operations on a backend that chains as told; gives the plan after comparing with the sum of Relus."""

    def once(ops: Sequence[Any], outputs: Sequence[str], *answer: Joined) -> Any:
        toys.OFFERED.clear()
        toys.CALLS.clear()
        toys.ANSWER[:] = answer
        backends = [replace(toys.blocked(), chain="toys:chain"), toys.plain()]
        with discovery.override(*backends):
            session = orpheus.InferenceSession(
                toys.model(ops, SHAPE, outputs),
                providers=["blocked", "plain"],
                policy="cost",
                enable_passes=[],
            )
            x = np.random.default_rng(0).standard_normal(SHAPE).astype(np.float32)
            session.found = session.run(None, {"x": x})
            session.x = x
        return session

    return once


def test_a_run_that_nobody_else_reads_is_offered_and_joined(run: Any) -> None:
    session = run(LINE, ["d"], Joined(1, 3, toys.join, "two by two"))
    assert toys.OFFERED == [4]
    assert toys.CALLS[:2] == ["sealed 3", "Relu/blocked"]
    assert toys.CALLS[2] == "joined 2"
    np.testing.assert_array_equal(session.found[0], np.maximum(session.x, 0))
    why = {row.node: row.why for row in session.kernel_plan()}
    assert "two by two, together with c" in why["b"]
    assert "two by two, together with b" in why["c"]
    assert "two by two" not in why["a"] + why["d"]


def test_what_others_read_or_the_model_gives_ends_a_run(run: Any) -> None:
    run([*LINE[:2], ("Add", ["a", "b"], "c")], ["c"])
    assert toys.OFFERED == []  # a is read twice; b is no first input
    run(LINE, ["b", "d"])
    assert toys.OFFERED == [2, 2]  # a to b and c to d: b is also given out


def test_all_that_a_chain_touches_lies_apart(run: Any) -> None:
    apart = run(LINE, ["d"], Joined(0, 4, toys.join, "all")).executable.plans[0]
    operations = [o for o in apart.program.operations if o.chain]
    owners = {v.root()[0] for o in operations for v in (*o.reads, *o.writes, o.workspace) if v is not None}
    spans = sorted((apart.offsets[o], apart.offsets[o] + o.nbytes) for o in owners if o in apart.offsets)
    assert len(operations) == 4
    assert len(spans) == 9  # five tensors and four workspaces
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert run(LINE, ["d"]).executable.plans[0].arena_bytes < apart.arena_bytes


@pytest.mark.parametrize(
    "answer",
    [
        (Joined(0, 5, toys.join, "too far"),),
        (Joined(2, 3, toys.join, "one"),),
        (Joined(0, 3, toys.join, "first"), Joined(2, 4, toys.join, "overlaps")),
    ],
)
def test_an_answer_that_is_no_list_of_runs_is_refused(run: Any, answer: Any) -> None:
    with pytest.raises(KernelError, match=r"backend blocked: chain toys:chain joins layers . to . of 4"):
        run(LINE, ["d"], *answer)


def test_an_answer_of_another_type_is_refused(run: Any) -> None:
    with pytest.raises(KernelError, match=r"backend blocked: chain toys:chain gives <object .* not a Joined"):
        run(LINE, ["d"], object())


def test_chains_need_a_seal() -> None:
    unsealed = replace(toys.blocked(), seal=None, chain="toys:chain")
    assert any("chain is given without Backend.seal" in fault for fault in faults(unsealed, "blocked"))
