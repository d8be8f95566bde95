"""Trials that run: what they measure, and what becomes of engines that misbehave."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from orpheus_experiments.trial import METRICS, Record
from orpheus_experiments.trial.reference import compare

QUICK = {"schema": 1, "processes": 2, "min_time": 0.1, "min_runs": 8, "warm_limit": 0.3, "time_limit": 120}


@pytest.fixture
def trial(model, environment):
    """``trial(engine, ...)``: the record of a short trial, as ``python -m orpheus_experiments.trial`` gives it."""

    def run(engine: str, **more) -> Record:
        given = {**QUICK, "model": {"path": str(model)}, "engine": engine, **more}
        done = subprocess.run(
            [sys.executable, "-m", "orpheus_experiments.trial"],
            input=json.dumps(given), capture_output=True, text=True, timeout=300, check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return Record.from_json(done.stdout)

    return run


def test_every_metric_has_values_or_a_reason(trial) -> None:
    record = trial("numpy", metrics=list(METRICS), batch=2, images=4)
    assert record.is_ok and len(record.processes) == 2, record.failure
    assert set(record.metrics) == set(METRICS)
    for name, metric in record.metrics.items():
        assert bool(metric.values) == metric.is_measured == bool(metric.source), name
        assert metric.is_measured != bool(metric.reason), name
    for name in ("latency", "throughput", "plan", "size", "error", "agreement", "flops"):
        assert record.metrics[name].is_measured, record.metrics[name]
    assert record.value("error", "error") < 1e-5 and record.value("agreement", "top1") == 1
    assert record.value("agreement", "items") == 4
    samples = [s for p in record.processes for t in p.turns for row in t.samples for s in row]
    assert len(samples) >= 8 and record.value("latency", "runs") == len(samples)
    assert record.value("latency", "max") == max(samples) and (record.value("latency", "p99") is None) == (
        len(samples) < 1000
    )
    low, middle, high = (record.value("latency", n) for n in ("low", "median", "high"))
    assert low <= middle <= high
    # 2 images of 3x3x3x8x8x4 and 4x5 products
    assert record.value("flops", "macs") == 2 * (27 * 256 + 20)
    assert record.environment["versions"]["numpy"] and "numpy" in record.environment["plugins"]
    assert record.processes[0].settings.startswith("threads 1")
    # Every layer is told with its kernel and its work, by a process that times nothing else.
    assert record.layers and all(
        x.kernel.startswith(("numpy:", "core:")) and x.seconds > 0 for x in record.layers
    )
    assert sum(x.macs or 0 for x in record.layers) == record.value("flops", "macs")
    assert record.value("layers", "sum") == pytest.approx(sum(x.seconds for x in record.layers))
    assert record.value("layers", "peak") > 0 and record.value("layers", "bandwidth") > 0


@pytest.mark.zoo
def test_a_network_of_the_zoo_is_built_once(trial, environment) -> None:
    kept = Path(environment["ORPHEUS_CACHE"]) / "zoo"
    record = trial("numpy", model={"zoo": "wrn-40-2"}, batch=2, metrics=["size", "flops"], processes=1)
    assert record.is_ok, record.failure
    (file,) = kept.iterdir()
    assert record.value("size", "disk") == file.stat().st_size and file.name.startswith(
        "wrn-40-2-batch2-seed0-"
    )
    assert record.value("flops", "macs") == 2 * 327_599_360
    changed = file.stat().st_mtime_ns
    assert trial("numpy", model={"zoo": "wrn-40-2"}, batch=2, metrics=["size"], processes=1).is_ok
    assert [f.stat().st_mtime_ns for f in kept.iterdir()] == [changed]


def test_energy_is_what_the_meter_counted(trial, environment) -> None:
    assert "this meter is switched off" in trial("numpy", metrics=["energy"]).metrics["energy"].reason
    environment["FAKE_METER"] = "1"
    record = trial("numpy", metrics=["energy", "throughput"])
    found = record.metrics["energy"]
    assert found.is_measured and "fake: board" in found.source, found
    turns = [t for p in record.processes for t in p.turns]
    assert all(t.joules["fake: board"] == 5 for t in turns)  # five joules whenever it is asked
    runs = sum(len(t.samples[0]) for t in turns)
    joules, wall = (sum(v) for v in zip(*((sum(t.joules.values()), t.wall) for t in turns)))
    assert found.get("item") == pytest.approx(joules / runs) and found.get("idle_watts") > 0
    assert found.get("above_idle") == pytest.approx((joules - found.get("idle_watts") * wall) / runs)


def test_an_engine_that_tells_no_layers_keeps_its_result(trial) -> None:
    record = trial("peer:right", metrics=["latency", "layers"])
    assert record.is_ok and record.value("latency", "median") > 0 and not record.layers
    assert "peer:right does not tell its layers" in record.metrics["layers"].reason


def test_offline_keeps_every_stream_busy(trial) -> None:
    record = trial("numpy", scenario="offline", streams=2, batch=3)
    assert record.is_ok, record.failure
    turns = [t for p in record.processes for t in p.turns]
    assert all(len(t.samples) == 2 and all(t.samples) for t in turns)
    items = 3 * sum(len(row) for t in turns for row in t.samples)
    rates = [
        3 * sum(len(row) for t in p.turns for row in t.samples) / sum(t.wall for t in p.turns)
        for p in record.processes
    ]
    assert min(rates) <= record.value("throughput", "rate") <= max(rates)
    assert items >= 3 * 8


@pytest.mark.parametrize(
    ("engine", "kind", "part"),
    [
        ("peer:segfault", "crashed", "SIGSEGV"),
        ("hurt,numpy", "crashed", "SIGSEGV"),
        ("peer:abort", "crashed", "the engine gives up"),
        ("peer:exits", "crashed", "code 0, without an answer"),
        ("peer:badalloc", "out of memory", "bad_alloc"),
        ("peer:shape", "wrong shape", "[1, 4]"),
        ("peer:raises", "failed", "no luck today"),
        ("peer:refuses", "refused", "no such device"),
        ("peer:absent", "not installed", "pip install it"),
        ("peer:nonesuch", "refused", "no plugin offers the engine peer:nonesuch"),
        ("nonesuch", "not installed", "nonesuch"),
    ],
)
def test_a_hostile_engine_is_a_typed_row(trial, engine, kind, part) -> None:
    record = trial(engine, metrics=["latency", "error"])
    assert record.failure is not None and record.failure.kind == kind, record.failure
    assert part in record.failure.message and not record.metrics


def test_shapes_that_depend_on_the_data_are_not_compared() -> None:
    wanted = [[np.zeros((54, 4))]]
    error, agreement = compare([[np.zeros((53, 4))]], wanted)
    assert "[[53, 4]] here, [[54, 4]] there" in error and error == agreement
    assert compare(wanted, wanted) == (0, 1) and compare([[np.full((54, 4), np.nan)]], wanted)[0] == float(
        "inf"
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space")
def test_memory_is_limited(trial) -> None:
    record = trial("peer:hog", memory_limit=6 * 2**30)
    assert record.failure is not None and record.failure.kind == "out of memory", record.failure


def test_what_it_printed_before_is_no_harm(trial) -> None:
    record = trial("peer:flood", min_runs=2)
    assert record.is_ok, record.failure


def test_the_time_limit_is_kept_and_nobody_is_left_behind(trial) -> None:
    begun = time.monotonic()
    record = trial("peer:spin", time_limit=15)
    assert record.failure is not None and record.failure.kind == "timed out", record.failure
    assert "15 s" in record.failure.message and 15 <= record.seconds < 16
    assert time.monotonic() - begun < 60  # the grandchild, which sleeps for minutes, was not waited for


def test_what_was_measured_before_a_crash_is_kept(trial) -> None:
    record = trial("peer:later", processes=1, min_runs=100)
    assert record.failure is not None and record.failure.kind == "crashed"
    assert not record.processes and record.environment


@pytest.mark.parametrize(
    ("change", "kind", "part"),
    [
        ({"model": {"path": "/no/such/model.onnx"}}, "refused", "there is no model file"),
        ({"model": {"zoo": "resnet-19"}}, "refused", "did you mean 'resnet-18'"),
        ({"shapes": {"y": [1]}}, "refused", "no input 'y'"),
        ({"shapes": {"x": [2, 3, 8, 8]}, "batch": 4}, "refused", "a batch of 4"),
        ({"shapes": {"x": [2, 5, 8, 8]}}, "refused", "x"),
        ({"kernels": {"Conv": "numpy:Conv/nonesuch"}}, "refused", "nonesuch"),
        ({"cpus": [4095]}, "refused", "4095"),
    ],
)
def test_what_cannot_be_is_refused(trial, change, kind, part) -> None:
    record = trial("numpy", **change)
    assert record.failure is not None and record.failure.kind == kind, record.failure
    assert part in record.failure.message


def test_another_file_than_was_meant(trial, model) -> None:
    record = trial("numpy", model={"path": str(model), "sha256": "0" * 64})
    assert record.failure is not None and record.failure.kind == "model"


def test_a_file_that_is_no_model(trial, tmp_path) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(b"not a model")
    assert trial("numpy", model={"path": str(path)}).failure.kind == "model"


def test_no_trial_is_a_usage_error(environment) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "orpheus_experiments.trial"],
        input="{}", capture_output=True, text=True, timeout=100, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 2 and done.stderr.startswith("error: ") and not done.stdout


def test_an_instruction_set_that_an_engine_cannot_be_confined_to(trial) -> None:
    assert "isa avx2" in trial("peer:right", isa="avx2").processes[0].settings
    assert trial("peer:wrong", isa="avx2").failure.kind == "refused"
