"""Measured selection: tune, its cache on disk, and what a damaged or foreign cache may do (nothing)."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toys
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.plugin import Backend, Kernel
from orpheus_core.selection.cache import MeasurementCache

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
    assert {e["kernel"] for e in entries.values()} == {"liar:Relu/fast", "liar:Relu/slow"}


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
