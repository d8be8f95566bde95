"""Trials and records as JSON: what is written is what is read, and nothing else is."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from orpheus_experiments.metrics import memory
from orpheus_experiments.metrics.observed import Observed
from orpheus_experiments.trial import (
    KINDS,
    METRICS,
    Failure,
    Layer,
    Measurement,
    ModelRef,
    Process,
    Record,
    Trial,
    Turn,
)

from orpheus_core.errors import UsageError

words = st.text("abcdefgh-_.", min_size=1, max_size=12)
seconds = st.floats(0, 1e6)
maybe_bytes = st.none() | st.integers(0, 2**50)
models = st.one_of(
    st.builds(ModelRef, path=words, sha256=st.none() | st.just("0" * 64)),
    st.builds(ModelRef, zoo=words, seed=st.integers(0, 99), raw=st.booleans()),
)


@st.composite
def trials(draw) -> Trial:
    peer = draw(st.booleans())
    offline = draw(st.booleans())
    mine = {} if peer else {
        "policy": draw(st.sampled_from([None, "order", "cost"])),
        "tuned": draw(st.booleans()),
        "kernels": draw(st.dictionaries(words, words, max_size=2)),
    }  # fmt: skip
    return Trial(
        model=draw(models),
        engine="peer:" + draw(words) if peer else ",".join(draw(st.lists(words, min_size=1, max_size=3))),
        threads=draw(st.integers(1, 64)),
        batch=draw(st.integers(1, 64)),
        scenario="offline" if offline else "single-stream",
        streams=draw(st.integers(1, 8)) if offline else 1,
        metrics=tuple(draw(st.lists(st.sampled_from(METRICS), min_size=1, unique=True))),
        min_time=draw(seconds),
        processes=draw(st.integers(1, 9)),
        warm_within=draw(st.floats(0, 1)),
        time_limit=draw(st.floats(0.1, 1000)),
        memory_limit=draw(st.none() | st.integers(2**20, 2**40)),
        cpus=draw(st.none() | st.lists(st.integers(0, 9), min_size=1, unique=True).map(tuple)),
        isa=draw(st.none() | words),
        shapes=draw(st.dictionaries(words, st.lists(st.integers(0, 9), max_size=4).map(tuple), max_size=2)),
        **mine,
    )


turns = st.builds(
    Turn,
    samples=st.lists(st.lists(seconds, max_size=3).map(tuple), max_size=2).map(tuple),
    wall=seconds,
    cpu=seconds,
    waited=st.none() | seconds,
    joules=st.dictionaries(words, seconds, max_size=2),
)
processes = st.builds(
    Process,
    load=seconds, steady=st.booleans(), warm_runs=st.integers(0, 99), turns=st.lists(turns, max_size=2).map(tuple),
    cold_load=st.none() | seconds, peak_bytes=maybe_bytes, growth_bytes=maybe_bytes, weight_bytes=maybe_bytes,
    arena_bytes=maybe_bytes, device_bytes=maybe_bytes, device_growth_bytes=maybe_bytes, settings=st.text(),
)  # fmt: skip
measurements = st.builds(
    Measurement,
    unit=words,
    values=st.dictionaries(words, st.none() | st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    source=st.text(),
) | st.builds(Measurement.absent, st.text(min_size=1))
layers = st.builds(
    Layer,
    name=st.text(),
    op=st.text(),
    kernel=st.text(),
    seconds=seconds,
    macs=maybe_bytes,
    nbytes=maybe_bytes,
)
records = st.builds(
    Record,
    trial=trials(),
    failure=st.none() | st.builds(Failure, kind=st.sampled_from(KINDS), message=st.text()),
    metrics=st.dictionaries(st.sampled_from(METRICS), measurements, max_size=3),
    processes=st.lists(processes, max_size=2).map(tuple),
    layers=st.lists(layers, max_size=2).map(tuple),
    environment=st.dictionaries(words, st.integers() | st.text() | st.lists(st.integers()), max_size=3),
    notes=st.lists(st.text(), max_size=2).map(tuple),
    started=words,
    seconds=seconds,
)


@given(trials())
def test_a_trial_survives_json(trial) -> None:
    again = Trial.from_json(trial.to_json())
    assert again == trial and again.to_json() == trial.to_json() and again.key == trial.key


@given(records)
def test_a_record_survives_json(record) -> None:
    again = Record.from_json(record.to_json())
    assert again == record and again.is_ok == (record.failure is None)


@given(trials(), st.integers(1, 9))
def test_the_key_is_the_trials(trial, more) -> None:
    other = dataclasses.replace(trial, threads=trial.threads + more)
    assert other.key != trial.key


PLAIN = {"schema": 1, "model": {"path": "m.onnx"}, "engine": "numpy"}


def test_defaults_are_filled_in() -> None:
    trial = Trial.from_data(PLAIN)
    assert (trial.threads, trial.batch, trial.processes, trial.scenario) == (1, 1, 5, "single-stream")
    assert trial.as_data() == PLAIN and trial.backends == ("numpy",) and not trial.is_peer
    assert Trial.from_data({**PLAIN, "engine": "peer:x"}).is_peer
    assert not Trial.from_data({**PLAIN, "engine": "blas:x,numpy"}).is_peer


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"threads": 0}, "trial.threads must be a whole number from 1"),
        ({"threads": True}, "trial.threads"),
        ({"threads": 1.0}, "trial.threads"),
        ({"batch": "8"}, "trial.batch"),
        ({"thread": 1}, "trial has no 'thread'"),
        ({"schema": 2}, "schema 2; this version of orpheus-experiments reads 1"),
        ({"schema": True}, "schema True"),
        ({"engine": ""}, "trial.engine"),
        ({"engine": "a,,b"}, "trial.engine"),
        ({"engine": "peer:"}, "trial.engine"),
        ({"engine": "numpy,peer:x"}, "trial.engine"),
        ({"engine": "numpy:Conv/direct"}, "trial.engine"),
        ({"scenario": "server"}, "single-stream, offline"),
        ({"streams": 2}, "offline"),
        ({"metrics": []}, "trial.metrics"),
        ({"metrics": ["latency", "latency"]}, "twice"),
        ({"metrics": ["speed"]}, "trial.metrics[0] must be one of latency"),
        ({"min_time": float("inf")}, "trial.min_time"),
        ({"min_time": -1}, "trial.min_time"),
        ({"time_limit": 0}, "trial.time_limit"),
        ({"memory_limit": 5}, "trial.memory_limit"),
        ({"cpus": []}, "trial.cpus"),
        ({"shapes": {"x": [1, -1]}}, "trial.shapes['x'][1]"),
        ({"kernels": {"Conv": 1}}, "trial.kernels['Conv']"),
        ({"engine": "peer:x", "tuned": True}, "peer:x is no backend"),
        ({"model": {}}, "a path or the name"),
        ({"model": {"path": "a", "zoo": "b"}}, "not both"),
        ({"model": {"path": "a", "seed": 1}}, "zoo"),
        ({"model": {"path": "a", "sha256": "12"}}, "SHA-256"),
        ({"model": {"file": "a"}}, "trial.model has no 'file'"),
        ({"model": "a"}, "trial.model must be an object"),
        ({"model": {"path": "a\0b"}}, "must be a text"),
    ],
)
def test_a_bad_trial_names_what_is_wrong(change, part) -> None:
    with pytest.raises(UsageError) as found:
        Trial.from_data({**PLAIN, **change})
    assert part in str(found.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"schema":1,"schema":1}', '{"a":NaN}', "[" * 100_000]
)
def test_what_is_no_trial(text) -> None:
    with pytest.raises(UsageError):
        Trial.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 9},
        {"status": "failed"},
        {"key": "0" * 16},
        {"failure": {"kind": "bored", "message": ""}},
        {"metrics": {"speed": {}}},
        {"extra": 1},
        {"seconds": -1},
    ],
)
def test_a_bad_record_is_refused(change) -> None:
    data = Record(trial=Trial.from_data(PLAIN)).as_data()
    with pytest.raises(UsageError, match="record"):
        Record.from_data({**data, **change})
    for key in data:
        with pytest.raises(UsageError, match="lacks"):
            Record.from_data({k: v for k, v in data.items() if k != key})


def test_memory_on_gpus_is_told_where_there_is_any_and_older_records_have_none() -> None:
    bare = Process(load=1.0, steady=True, warm_runs=1, turns=(), peak_bytes=100, growth_bytes=10)
    found = [dataclasses.replace(bare, device_bytes=n, device_growth_bytes=n // 2) for n in (600, 500, 800)]
    trial = Trial.from_data(PLAIN)
    assert memory.measure(Observed(trial=trial, processes=[bare])).values == {"peak": 100, "growth": 10}
    measured = memory.measure(Observed(trial=trial, processes=found))
    assert (measured.get("device"), measured.get("device_growth")) == (600, 300)
    assert "nvml" in measured.source
    data = Record(trial=trial, processes=(bare,)).as_data()
    for name in ("device_bytes", "device_growth_bytes"):
        del data["processes"][0][name]
    assert Record.from_data(data).processes == (bare,)


def test_what_is_not_finite_is_null() -> None:
    found = Measurement("share", {"error": float("inf")}, "numpy")
    text = Record(trial=Trial.from_data(PLAIN), metrics={"error": found}).to_json()
    assert json.loads(text)["metrics"]["error"]["values"] == {"error": None}
    assert Record.from_json(text).value("error", "error") is None
