"""Queues: what waits for what, that a schedule keeps it, and results that do not hang on their number."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.errors import UsageError

cl = pytest.importorskip("pyopencl", reason="pyopencl is not installed")
pytest.importorskip("orpheus_opencl", reason="orpheus-opencl is not installed")

from orpheus_opencl import device, queues  # noqa: E402
from orpheus_opencl.launch import Call, Place  # noqa: E402


class Kernel:
    """Tells of its last argument that it is written."""

    def __init__(self, arguments: int, told: bool = True) -> None:
        self.arguments, self.told = arguments, told

    def get_arg_info(self, index: int, _: Any) -> int:
        if not self.told:
            raise cl.Error("no info")
        return 0 if index == self.arguments - 1 else int(cl.kernel_arg_type_qualifier.CONST)


def call(*spans: tuple[int, int, int], told: bool = True) -> Any:
    """Reads bytes (buffer, begin, end), and writes the last of them."""
    places = tuple(Place(i, SimpleNamespace(int_ptr=b), s, e) for i, (b, s, e) in enumerate(spans))
    return Call("k", Kernel(len(spans), told), (1,), None, places)


def test_what_waits_for_what() -> None:
    calls = [
        call((9, 0, 4), (1, 0, 10)),
        call((9, 0, 4), (1, 10, 20)),  # beside the first
        call((1, 0, 20), (2, 0, 4)),  # reads both
        call((9, 0, 4), (1, 19, 30)),  # writes what 2 reads and 1 wrote
        call((2, 4, 8), (3, 0, 4)),  # beside what 2 wrote
    ]
    assert queues.dependencies(calls) == [[], [], [0, 1], [1, 2], []]


def test_an_argument_of_which_nothing_is_told_counts_as_written() -> None:
    calls = [call((9, 0, 4), (1, 0, 4), told=False), call((9, 0, 4), (2, 0, 4), told=False)]
    assert queues.dependencies(calls) == [[], [0]]


@st.composite
def graphs(draw: Any) -> list[list[int]]:
    size = draw(st.integers(1, 30))
    return [sorted(draw(st.sets(st.integers(0, i - 1), max_size=3))) if i else [] for i in range(size)]


@given(graphs(), st.integers(1, 5))
def test_a_schedule_keeps_the_order_and_waits_for_nothing_twice(before: Any, count: int) -> None:
    turns = queues.schedule(before, count)
    known: list[set[int]] = []  # what has ended when a launch begins
    for i, turn in enumerate(turns):
        earlier = [j for j in range(i) if turns[j].queue == turn.queue]
        ended = {j for k in earlier[-1:] for j in (k, *known[k])}
        for j in sorted(turn.waits, reverse=True):
            assert turns[j].queue != turn.queue
            assert j not in ended
            ended |= {j, *known[j]}
        assert set(before[i]) <= ended
        known.append(ended)


def test_branches_go_to_queues_and_a_line_stays_on_one() -> None:
    branches = [[], [0], [1], [0], [3], [2, 4]]
    assert [t.queue for t in queues.schedule(branches, 2)] == [0, 0, 0, 1, 1, 0]
    assert {t.queue for t in queues.schedule([[], [0], [1], [2]], 3)} == {0}


def branching(seed: int = 0) -> Any:
    """Three branches of convolutions and their sum, twice."""
    rng, nodes, weights = np.random.default_rng(seed), [], []
    value = "x"
    for block in range(2):
        ends = []
        for branch in range(3):
            name = value
            for layer in range(1 + branch):
                made = f"c{block}{branch}{layer}"
                w = rng.standard_normal((32, 32, 3, 3)).astype(np.float32) / 17
                weights.append(numpy_helper.from_array(w, f"w{made}"))
                nodes.append(helper.make_node("Conv", [name, f"w{made}"], [made], made, pads=[1] * 4))
                name = made
            ends.append(name)
        nodes.append(helper.make_node("Add", ends[:2], [f"t{block}"], f"t{block}"))
        nodes.append(helper.make_node("Add", [f"t{block}", ends[2]], [f"s{block}"], f"s{block}"))
        value = f"s{block}"
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 32, 20, 20]) for n in ("x", "s1")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_results_do_not_hang_on_the_number_of_queues(tmp_path: Any) -> None:
    onnx.save(branching(), tmp_path / "m.onnx")
    rng = np.random.default_rng(1)
    feeds = [{"x": rng.standard_normal((1, 32, 20, 20)).astype(np.float32)} for _ in range(40)]
    found = []
    for count in (1, 2, 4):
        session: Any = orpheus.InferenceSession(
            tmp_path / "m.onnx", providers=[("opencl", {"queues": count}), "numpy"], fallback="error"
        )
        found.append([session.run(None, feed)[0] for feed in feeds])
    for results in zip(*found):
        for got in results[1:]:
            np.testing.assert_array_equal(got, results[0])


def test_branches_of_a_network_are_put_on_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    schedule = queues.schedule

    def noted(*args: Any) -> Any:
        seen.append(schedule(*args))
        return seen[-1]

    monkeypatch.setattr(queues, "schedule", noted)
    session: Any = orpheus.InferenceSession(branching(), providers=[("opencl", {"queues": 3}), "numpy"])
    session.run(None, {"x": np.zeros((1, 32, 20, 20), np.float32)})
    assert any({turn.queue for turn in turns} == {0, 1, 2} for turns in seen)


@pytest.mark.parametrize("count", [0, 9, "two", True, 1.5])
def test_another_number_is_refused(count: Any) -> None:
    with pytest.raises(UsageError, match="option queues is a number from 1 to 8"):
        orpheus.InferenceSession(branching(), providers=[("opencl", {"queues": count})])


def test_one_queue_where_nothing_was_measured() -> None:
    backend = discovery.get("opencl")
    kinds = {kind: replace(device.find()[0][0], kind=kind) for kind in ("cpu", "gpu", "accelerator")}
    counts = {kind: device.usual_queues(found) for kind, found in kinds.items()}
    assert counts["gpu"] == counts["accelerator"] == 1 < counts["cpu"]
    one, several = (device.with_queues(backend, counts[kind]) for kind in ("gpu", "cpu"))
    assert (one.seal, one.concurrent) == ("orpheus_opencl.launch:seal", False)
    assert (several.seal, several.concurrent) == (f"orpheus_opencl.queues:seal{counts['cpu']}", True)
