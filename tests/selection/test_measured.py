"""Measured selection: tune, its cache on disk, and what a damaged or foreign cache may do (nothing)."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import accelerator
import numpy as np
import pytest
import toys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.plugin import Accuracy, Backend, Kernel
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.signature import measurement_key
from orpheus_core.selection.whole import bound, network_key, plan_key

SHAPE = (1, 24, 8, 8)
RELUS = [("Relu", ["x"], "a"), ("Relu", ["a"], "b")]


def liar() -> Backend:
    """Two kernels whose cost models say the opposite of the truth."""
    return Backend(
        name="liar",
        api=1,
        kernels=(
            Kernel(op="Relu", name="fast", run="toys:relu", writes_out=True, cost="toys:cost_1000"),
            Kernel(op="Relu", name="slow", run="toys:slow_relu", cost="toys:cost_1"),
        ),
    )


def make(path: Path, **more: Any) -> Any:
    options = orpheus.SessionOptions(measurements=str(path))
    return orpheus.InferenceSession(toys.model(RELUS, SHAPE, ["b"]), options, enable_passes=[], **more)


def test_tuning_overrules_a_wrong_cost_model_and_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with discovery.override(liar()):
        before = make(path)
        assert {r.kernel_id for r in before.kernel_plan()} == {"liar:Relu/slow"}
        report = orpheus.tune(before, seconds=0.002)
        assert len(report.layers) == 1, "two equal layers are measured once"
        assert report.layers[0].nodes == ("a", "b")
        assert [k.kernel for k in report.layers[0].kernels] == ["liar:Relu/fast", "liar:Relu/slow"]
        after = make(path)
        assert {r.kernel_id for r in after.kernel_plan()} == {"liar:Relu/fast"}
        assert after.explain().decisions[0].source == "measured"
        again = orpheus.tune(after, seconds=0.002)
        assert again.layers[0].kept
    entries = json.loads(path.read_text())["entries"]
    kernels = {e["kernel"] for e in entries.values() if "kernel" in e}
    assert kernels == {"liar:Relu/fast", "liar:Relu/slow"}


def test_another_thread_count_or_kernel_version_is_another_measurement(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with discovery.override(liar()):
        orpheus.tune(make(path, threads=1), seconds=0.002)
        assert make(path, threads=2).explain().decisions[0].source == "cost model"
    newer = Backend(
        name="liar",
        api=1,
        kernels=(
            Kernel(op="Relu", name="fast", run="toys:relu", writes_out=True, cost="toys:cost_1", version=2),
        ),
    )
    with discovery.override(newer):
        assert make(path, threads=1).explain().decisions[0].source == "cost model"


@pytest.mark.parametrize("threads", [1, 2])
def test_sleeping_threads_are_woken_before_a_timed_call(tmp_path: Path, threads: int) -> None:
    counted = Kernel(op="Relu", name="counted", prepare="toys:Counted")
    with discovery.override(Backend(name="team", api=1, kernels=(counted,))):
        session = make(tmp_path / "m.json", threads=threads)
        toys.Counted.prepared = 0
        toys.CALLS.clear()
        orpheus.tune(session, seconds=0.001)
    first, *timed = toys.CALLS
    assert first == "1"
    assert len(timed) >= 5 * threads
    assert timed == (["1"] * len(timed) if threads == 1 else ["2", "1"] * (len(timed) // 2))


def test_a_candidate_that_fails_is_reported_and_not_chosen(tmp_path: Path) -> None:
    broken = Kernel(op="Relu", name="broken", run="toys:fails", cost="toys:cost_1")
    unbound = Kernel(op="Relu", name="unbound", prepare="toys:FailsToBind", cost="toys:cost_5")
    good = Kernel(op="Relu", name="good", run="toys:relu", writes_out=True, cost="toys:cost_20")
    with discovery.override(Backend(name="half", api=1, kernels=(broken, unbound, good))):
        report = orpheus.tune(make(tmp_path / "m.json", pin={"Relu": "good"}), seconds=0.002)
    rows = {k.kernel: k.seconds for k in report.layers[0].kernels}
    assert rows["half:Relu/broken"] is rows["half:Relu/unbound"] is None
    assert rows["half:Relu/good"] > 0


def test_conversions_are_measured_too(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with discovery.override(toys.plain(), toys.blocked()):
        orpheus.tune(make(path, policy="cost"), seconds=0.002)
    texts = [e.get("conversion", "") for e in json.loads(path.read_text())["entries"].values()]
    assert any("plain -> NCHW16c" in t for t in texts)
    assert any("NCHW16c -> plain" in t for t in texts)


def test_open_shapes_cannot_be_tuned_before_a_run(tmp_path: Path) -> None:
    with discovery.override(toys.plain()):
        model = toys.model(RELUS, ("N", 24, 8, 8), ["b"])
        s = orpheus.InferenceSession(model, orpheus.SessionOptions(measurements=str(tmp_path / "m.json")))
        with pytest.raises(orpheus.UsageError, match="input shapes are open"):
            orpheus.tune(s)
        s.run(None, {"x": np.ones((2, 24, 8, 8), np.float32)})
        assert orpheus.tune(s, seconds=0.002).layers


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", '{"format": 99, "entries": {"k": {"seconds": 1}}}', '{"format": 1, "entries": []}',
     '{"format": 1, "entries": {"k": {"seconds": -1}}}', '{"format": 1, "entries": {"k": {"seconds": "1"}}}',
     '{"format": 1, "entries": {"k": {"seconds": NaN}}}', "[" * 100_000],
)  # fmt: skip
def test_a_damaged_or_foreign_cache_is_a_miss(tmp_path: Path, text: str) -> None:
    path = tmp_path / "m.json"
    path.write_text(text)
    cache = MeasurementCache(path)
    assert cache.get("k") is None
    cache.put("k", 2.0)
    cache.save()
    assert MeasurementCache(path).get("k") == 2.0


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(0, 400), flip=st.integers(0, 399), bit=st.integers(0, 7))
def test_any_cut_or_flipped_bit_gives_a_miss_or_a_number(
    tmp_path: Path, cut: int, flip: int, bit: int
) -> None:
    path = tmp_path / "m.json"
    cache = MeasurementCache(path)
    for i in range(5):
        cache.put(f"key{i}", 1.0 + i)
    cache.save()
    data = bytearray(path.read_bytes())
    data[flip % len(data)] ^= 1 << bit
    path.write_bytes(bytes(data[: len(data) - cut % 50]))
    for i in range(5):
        seconds = MeasurementCache(path).get(f"key{i}")
        assert seconds is None or seconds > 0
    path.unlink()


def test_writers_lose_nothing_of_each_other(tmp_path: Path) -> None:
    path = tmp_path / "m.json"

    def write(number: int) -> None:
        for i in range(20):
            cache = MeasurementCache(path)
            cache.put(f"{number}-{i}", 1.0)
            cache.save()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    kept = MeasurementCache(path)
    assert all(kept.get(f"{n}-{i}") == 1.0 for n in range(4) for i in range(20))
    assert list(tmp_path.iterdir()) == [path] or {p.suffix for p in tmp_path.iterdir()} <= {".json", ".lock"}


def test_a_cache_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = MeasurementCache(tmp_path / "file" / "measurements.json")
    cache.put("k", 1.0)
    with pytest.raises(orpheus.UsageError, match=r"measurements\.json.*ORPHEUS_CACHE"):
        cache.save()


def test_a_user_without_a_home_has_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("ORPHEUS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert MeasurementCache().path.is_absolute()


def two(**more: Any) -> Backend:
    """Two kernels; the cost model prefers the first, a little."""
    first = Kernel(op="Relu", name="static", run="toys:relu", writes_out=True, cost="toys:cost_1")
    second = Kernel(op="Relu", name="other", run="toys:relu", writes_out=True, cost="toys:cost_5", **more)
    return Backend(name="two", api=1, kernels=(first, second))


def keep(session: Any, **seconds: tuple[float, float]) -> None:
    """Keep a time and its noise for every layer, by kernel."""
    cache = session.options.cache
    for decision in session.latest_plan().selection.decisions:
        for scored in (decision.chosen, *decision.alternatives):
            time, noise = seconds[scored.candidate.kernel.name]
            cache.put(measurement_key(decision.problem, scored.candidate), time, noise=noise)
    cache.save()


@pytest.mark.parametrize(
    ("own", "other", "chosen"),
    [((10, 0), (9, 0), "other"), ((10, 0.6), (9, 0.6), "static"), ((10, 0.3), (9, 0.3), "other"),
     ((10, 0), (11, 0), "static"), ((10, 2), (9, 0), "static"), ((10, 0), (9, 2), "static")],
)  # fmt: skip
def test_another_kernel_must_be_faster_by_more_than_the_noise(
    tmp_path: Path, own: tuple[float, float], other: tuple[float, float], chosen: str
) -> None:
    with discovery.override(two()):
        keep(make(tmp_path / "m.json"), static=own, other=other)
        assert {r.kernel_id for r in make(tmp_path / "m.json").kernel_plan()} == {f"two:Relu/{chosen}"}


@pytest.mark.parametrize(
    ("accuracy", "chosen"),
    [(Accuracy(factor=4), "other"), (Accuracy(factor=8), "static"), (Accuracy(factor=8, normwise=True), "other")],
)  # fmt: skip
def test_a_larger_error_has_its_price_in_measured_times_too(
    tmp_path: Path, accuracy: Accuracy, chosen: str
) -> None:
    with discovery.override(two(accuracy=accuracy)):
        keep(make(tmp_path / "m.json"), static=(10, 0), other=(9, 0))
        assert {r.kernel_id for r in make(tmp_path / "m.json").kernel_plan()} == {f"two:Relu/{chosen}"}


def test_a_tuned_plan_that_is_slower_as_a_whole_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    with discovery.override(two()):
        keep(make(path), static=(10, 0), other=(9, 0))
        session = make(path)
        tuned = session.latest_plan().selection
        assert {d.kernel_id for d in tuned.decisions} == {"two:Relu/other"}
        assert not tuned.note
        for most, kernel in ((2.0, "static"), (0.995, "static"), (0.98, "other")):
            session.options.cache.put(
                plan_key(tuned, session.options), 3.0, untuned=2.0, ratio=0.9, most=most
            )
            session.options.cache.save()
            after = make(path)
            assert {r.kernel_id for r in after.kernel_plan()} == {f"two:Relu/{kernel}"}
            words = "untuned, measured as a whole: 2000.00 ms against 3000.00 ms tuned, ratio 0.900"
            assert (words in after.explain().summary) == (kernel == "static")


def test_what_was_said_of_a_plan_beside_one_untuned_plan_is_not_said_beside_another(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    first, second = (
        Backend(
            name=name,
            api=1,
            kernels=(Kernel(op="Relu", name="only", run="toys:relu", writes_out=True, cost="toys:cost_1"),),
        )
        for name in ("first", "second")
    )
    with discovery.override(first, second):
        one, other = ["first", "second"], ["second", "first"]
        session = make(path, providers=one, policy="cost")
        (layer,) = {
            (measurement_key(d.problem, c.candidate), c.candidate.backend.name)
            for d in make(path, providers=other).latest_plan().selection.decisions
            for c in (d.chosen,)
        }
        session.options.cache.put(layer[0], 1e-9, kernel="second:Relu/only")
        session.options.cache.save()
        mixed = make(path, providers=one, policy="cost")
        assert {r.kernel_id for r in mixed.kernel_plan()} == {"second:Relu/only"}
        for session, ratio in ((mixed, 2.0), (make(path, providers=other, policy="cost"), 0.5)):
            key = plan_key(session.latest_plan().selection, session.options)
            session.options.cache.put(key, 3.0, untuned=2.0, ratio=ratio, most=ratio)
            session.options.cache.save()
        after = make(path, providers=one, policy="cost")
        assert {r.kernel_id for r in after.kernel_plan()} == {"first:Relu/only"}
        assert "ratio 2.000" in after.explain().summary


def test_what_was_found_of_a_network_holds_when_times_of_others_lead_it_to_another_plan(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.json"
    third = Kernel(op="Relu", name="third", run="toys:relu", writes_out=True, cost="toys:cost_1000")
    with discovery.override(replace(two(), kernels=(*two().kernels, third))):
        session = make(path)
        keep(session, static=(10, 0), other=(9, 0), third=(20, 0))
        session = make(path)
        for most, kernel in ((1.1, "static"), (0.9, "third")):
            facts = {"untuned": 2.0, "ratio": 1.0, "most": most}
            session.options.cache.put(network_key(session.graph, session.options), 3.0, **facts)
            keep(session, static=(10, 0), other=(9, 0), third=(5, 0))
            assert {r.kernel_id for r in make(path).kernel_plan()} == {f"two:Relu/{kernel}"}


def test_a_whole_plan_is_judged_by_what_its_ratio_is_surely_below() -> None:
    assert bound([0.9] * 4) == math.inf, "four turns are too few to be sure of anything"
    assert bound([0.9] * 5) == 0.9
    assert bound([0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.95, 1.2]) == 0.95, "eight of nine"
    assert bound([0.9] * 7 + [1.1, 1.2]) == 1.1
    hundred = [i / 100 for i in range(100)]
    assert 0.5 < bound(hundred) < 0.6


def test_tuning_ends_with_the_whole_plan_beside_the_untuned_one(tmp_path: Path) -> None:
    with discovery.override(liar()):
        report = orpheus.tune(make(tmp_path / "m.json"), seconds=0.002)
    assert [(p.policy, p.kept) for p in report.plans] == [("order", "tuned"), ("cost", "tuned")]
    assert all(p.ratio is not None and p.ratio < 0.99 for p in report.plans)
    alone = Kernel(op="Relu", name="alone", run="toys:relu", writes_out=True)
    with discovery.override(Backend(name="one", api=1, kernels=(alone,))):
        report = orpheus.tune(make(tmp_path / "n.json"), seconds=0.002)
    assert [p.kept for p in report.plans] == ["same", "same"]


def test_a_device_is_timed_by_its_own_clock(tmp_path: Path) -> None:
    plain = accelerator.backend()
    quick = Kernel(op="Relu", name="quick", prepare="accelerator:Quick", overlap=True, rank=200)
    path = tmp_path / "m.json"
    with discovery.override(replace(plain, kernels=(*plain.kernels, quick), seal=None)):
        session = make(path, providers=["fake"])
        assert {r.kernel_id for r in session.kernel_plan()} == {"core:Move", "fake:Relu/k"}
        report = orpheus.tune(session, seconds=0.002)
        assert [(k.kernel, k.seconds) for k in report.layers[0].kernels] == [
            ("fake:Relu/quick", 0.125),
            ("fake:Relu/k", 0.25),
        ]
    entries = json.loads(path.read_text())["entries"].values()
    in_place = {e["kernel"]: e["seconds"] for e in entries if e.get("in_place")}
    assert in_place == {"fake:Relu/quick": 0.125, "fake:Relu/k": 0.25}


def test_a_kernel_that_is_slow_among_its_neighbours_is_found_out(tmp_path: Path) -> None:
    fast_alone = Kernel(op="Relu", name="lonely", prepare="toys:Sleepy", cost="toys:cost_5")
    steady = Kernel(op="Relu", name="steady", run="toys:relu", writes_out=True, cost="toys:cost_1")
    path = tmp_path / "m.json"
    with discovery.override(Backend(name="team", api=1, kernels=(steady, fast_alone))):
        session = make(path)
        keep(session, steady=(1e-3, 0), lonely=(1e-6, 0))
        assert {r.kernel_id for r in make(path).kernel_plan()} == {"team:Relu/lonely"}
        report = orpheus.tune(session, seconds=0.002)
        assert {p.kept for p in report.plans} == {"same"}
        after = make(path)
        assert {r.kernel_id for r in after.kernel_plan()} == {"team:Relu/steady"}
        times = {c.kernel: c.seconds for d in after.explain().decisions for c in d.candidates}
        assert times["team:Relu/lonely"] > 2e-3
