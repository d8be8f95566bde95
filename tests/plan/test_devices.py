"""What a device is asked for and promised: choice, alignment, streams, staging, time of its own, typed errors."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import accelerator
import numpy as np
import pytest
import toys
from onnx import helper, numpy_helper

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.cli import main
from orpheus_core.errors import BackendError, DeviceError, KernelError, LimitError, UsageError
from orpheus_core.selection.candidates import candidates, problem_of
from orpheus_core.selection.measure import measure
from orpheus_core.selection.signature import measurement_key
from orpheus_core.types import Device

SHAPE = (1, 4, 3, 5)  # 240 bytes: less than the device's alignment
CHAIN = [("Relu", ["x"], "a"), ("Relu", ["a"], "b"), ("Add", ["b", "a"], "d")]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    accelerator.LOG.clear()
    yield
    accelerator.CAPACITY[0] = 1 << 30


def session(*backends: Any, ops: Any = CHAIN, out: str = "d", providers: Any = None, **more: Any) -> Any:
    with discovery.override(*backends):
        model = toys.model(ops, SHAPE, [out])
        named = providers or [b.name for b in backends]
        return orpheus.InferenceSession(model, providers=named, enable_passes=[], **more)


def draw(seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(SHAPE).astype(np.float32)


def test_options_choose_the_device_and_two_work_side_by_side() -> None:
    sessions = [session(accelerator.backend(), providers=[("fake", {"device": index})]) for index in (0, 1)]
    for index, s in enumerate(sessions):
        x = draw(index)
        np.testing.assert_array_equal(s.run(None, {"x": x})[0], 2 * np.maximum(x, 0))
        moved = s.kernel_plan()[1].outputs
        assert all("fake" in str(text) for text in moved)
        (device,) = {d for d in s.latest_plan().arenas if d.kind == "fake"}
        assert device.index == index


@pytest.mark.parametrize(
    ("options", "text"), [({"speed": 1}, "takes device"), ({"device": 7}, "has devices 0 and 1")]
)
def test_options_that_are_not_there_are_refused(options: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        session(accelerator.backend(), providers=[("fake", options)])


def test_options_of_a_backend_that_takes_none_are_refused() -> None:
    with pytest.raises(UsageError, match=r"takes no provider options, given \{'device': 0\}"):
        session(replace(accelerator.backend(), configure=None), providers=[("fake", {"device": 0})])


def test_a_configure_that_gives_another_backend_is_an_error() -> None:
    wrong = replace(accelerator.backend(), configure="toys:plain")
    with pytest.raises(BackendError, match="configure"):
        session(wrong, providers=[("fake", {"device": 0})])


def test_every_array_begins_where_the_device_wants_it() -> None:
    s = session(accelerator.backend())  # the runtime asserts it of every view
    x = draw()
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], 2 * np.maximum(x, 0))
    plan = s.latest_plan()
    assert {o % accelerator.ALIGNMENT for o in plan.offsets.values()} == {0}


@pytest.mark.parametrize(("channels", "in_place"), [(16, True), (4, False)])
def test_concat_is_an_offset_only_where_the_pieces_are_aligned(channels: int, in_place: bool) -> None:
    shape = [1, channels, 2, 2]  # 256 bytes a piece, or 64
    info = [helper.make_tensor_value_info(n, 1, shape) for n in "xy"]
    nodes = [helper.make_node("Relu", [n], [f"{n}r"], f"{n}r") for n in "xy"]
    nodes.append(helper.make_node("Concat", ["xr", "yr"], ["c"], "cat", axis=1))
    nodes.append(helper.make_node("Relu", ["c"], ["z"], "last"))
    out = helper.make_tensor_value_info("z", 1, [1, 2 * channels, 2, 2])
    model = helper.make_model(
        helper.make_graph(nodes, "g", info, [out]), opset_imports=[helper.make_opsetid("", 21)], ir_version=10
    )
    with discovery.override(accelerator.backend()):
        s = orpheus.InferenceSession(model, providers=["fake"], enable_passes=[])
    x, y = (np.random.default_rng(i).standard_normal(shape).astype(np.float32) for i in range(2))
    want = np.maximum(np.concatenate([x, y], 1), 0)
    np.testing.assert_array_equal(s.run(None, {"x": x, "y": y})[0], want)
    kernels = [row.kernel_id for row in s.kernel_plan()]
    assert ("fake:Concat/k" in kernels) == (not in_place)


def test_each_context_has_a_stream_and_calls_from_threads_do_not_mix() -> None:
    s = session(accelerator.backend())
    wrong: list[int] = []

    def run(seed: int) -> None:
        x = draw(seed)
        results = [s.run(None, {"x": x})[0] for _ in range(20)]
        wrong.extend(seed for got in results if not np.array_equal(got, 2 * np.maximum(x, 0)))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    resting = s.executable.ready([draw()]).resting
    queues = {id(context.frame.runtimes[Device("fake")].queue) for context in resting}
    assert len(queues) == len(resting) == accelerator.LOG.count("stream")


@pytest.mark.parametrize(("form", "uploads"), [("Elementwise", 3), ("Packing", 2)])
def test_weights_are_uploaded_once_for_all_contexts(form: str, uploads: int) -> None:
    weights = draw(9)
    info = [helper.make_tensor_value_info(n, 1, SHAPE) for n in "xy"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"], "sum")], "g", info[:1], info[1:],
        [numpy_helper.from_array(weights, "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with discovery.override(accelerator.backend(Add=form)):
        s = orpheus.InferenceSession(model, providers=["fake"])
    ready = s.executable.ready()
    x = draw()
    with ready.context() as first, ready.context() as second:
        for context in (first, second):
            context.run([x])
            np.testing.assert_array_equal(context.take_outputs()[0], x + weights)
    # x twice, and the weights unless the kernel packed them.
    assert accelerator.LOG.count("up") == uploads


def test_what_has_its_size_from_values_stays_in_the_stream_of_the_run() -> None:
    nodes = [helper.make_node(*node) for node in (("Relu", ["x"], ["a"]), ("NonZero", ["a"], ["b"]))]
    nodes.append(helper.make_node("Add", ["b", "b"], ["c"]))
    infos = [helper.make_tensor_value_info("x", 1, SHAPE), helper.make_tensor_value_info("c", 7, None)]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with discovery.override(accelerator.backend()):
        s = orpheus.InferenceSession(model, providers=["fake"], enable_passes=[], fallback="error")
    for seed in range(3):
        x = draw(seed)
        np.testing.assert_array_equal(s.run(None, {"x": x})[0], 2 * np.array(np.nonzero(np.maximum(x, 0))))


def test_what_is_only_moved_lies_where_the_device_transfers_fast() -> None:
    x = draw()
    session(accelerator.backend()).run(None, {"x": x})
    assert sum(line.startswith("host ") for line in accelerator.LOG) == 1
    accelerator.LOG.clear()
    mixed = session(accelerator.backend(), toys.plain(), ops=[*CHAIN, ("Neg", ["d"], "e")], out="e")
    np.testing.assert_array_equal(mixed.run(None, {"x": x})[0], -2 * np.maximum(x, 0))
    assert not any(line.startswith("host ") for line in accelerator.LOG)


def test_a_profile_tells_the_devices_own_time(tmp_path: Any) -> None:
    profile = session(accelerator.backend()).profile({"x": draw()})
    assert [row.device_seconds for row in profile.rows] == [None, 0.25, 0.25, 0.25, None]
    profile.save_chrome_trace(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert [e["args"].get("device us") for e in events] == [None, 250000.0, 250000.0, 250000.0, None]


def test_no_memory_on_the_device_is_a_limit_error() -> None:
    s = session(accelerator.backend())
    accelerator.CAPACITY[0] = 100
    with pytest.raises(LimitError, match="fake 0 has 100 bytes"):
        s.run(None, {"x": draw()})
    accelerator.CAPACITY[0] = 1 << 30
    x = draw()
    np.testing.assert_array_equal(s.run(None, {"x": x})[0], 2 * np.maximum(x, 0))


def test_a_lost_device_is_a_device_error_that_names_the_place() -> None:
    s = session(accelerator.backend(Add="Lost"))
    with pytest.raises(DeviceError, match=r"between node 'a' .* and node 'd' .*fake 0 was lost") as caught:
        s.run(None, {"x": draw()})
    assert isinstance(caught.value, KernelError)


def test_measured_times_are_kept_by_device() -> None:
    s = session(accelerator.backend())
    problem = problem_of(s.graph.nodes[0])
    keys = set()
    for index in (0, 1):
        placed = accelerator.configure(accelerator.backend(), {"device": index})
        (candidate,), _ = candidates(problem, [placed])
        keys.add(measurement_key(problem, candidate))
    assert len(keys) == 2


def test_views_are_on_every_device_where_times_are_kept_too(tmp_path: Any) -> None:
    ops = [("Relu", ["x"], "a"), ("Identity", ["a"], "b")]
    options = orpheus.SessionOptions(measurements=str(tmp_path / "m.json"))
    tuned = session(accelerator.backend(), ops=ops, out="b", sess_options=options)
    orpheus.tune(tuned, seconds=0.001)
    with discovery.override(accelerator.backend()):
        again = orpheus.InferenceSession(
            toys.model(ops, SHAPE, ["b"]), options, providers=["fake"], enable_passes=[]
        )
    assert np.array_equal(again.run(None, {"x": draw()})[0], np.maximum(draw(), 0))


def test_a_layer_is_measured_on_its_device() -> None:
    (info,) = (helper.make_tensor_value_info(n, 1, SHAPE) for n in "x")
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])], "g", [info], [helper.make_tensor_value_info("y", 1, SHAPE)],
        [numpy_helper.from_array(draw(9), "w")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    backend = accelerator.backend(Add="Packing")
    with discovery.override(backend):
        s = orpheus.InferenceSession(model, providers=["fake"])
    problem = problem_of(s.graph.nodes[0])
    found, _ = candidates(problem, [backend])
    (timing,) = measure(problem, found, seconds=0.0)
    assert timing is not None and timing.runs >= 5


def test_devices_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    with discovery.override(accelerator.backend()):
        assert main(["backends"]) == 0
        shown = capsys.readouterr().out
        assert "fake: device 0: slow" in shown and "fake: device 1: fast" in shown
        assert main(["backends", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)[0]["devices"] == ["0: slow", "1: fast"]


def test_inputs_are_moved_first_so_that_what_follows_is_one_segment() -> None:
    infos = [helper.make_tensor_value_info(n, 1, SHAPE) for n in "xyzd"]
    nodes = [helper.make_node(*node) for node in (("Relu", ["x"], ["a"]), ("Add", ["a", "y"], ["b"]))]
    nodes.append(helper.make_node("Add", ["b", "z"], ["d"]))
    graph = helper.make_graph(nodes, "g", infos[:3], infos[3:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    with discovery.override(accelerator.backend()):
        s = orpheus.InferenceSession(model, providers=["fake"], enable_passes=[])
    x, y, z = (draw(i) for i in range(3))
    np.testing.assert_array_equal(s.run(None, {"x": x, "y": y, "z": z})[0], np.maximum(x, 0) + y + z)
    assert [line for line in accelerator.LOG if line.startswith("sealed")] == ["sealed 3"]
