"""The race: its statistics and goals, and a whole one between engines of the test's own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes import small_network
from orpheus_experiments.accuracy.exact import error, evaluate
from orpheus_experiments.race.goals import check, read
from orpheus_experiments.statistics.rounds import best_ratio, geometric_mean, spread

from orpheus_core.errors import UsageError


@pytest.fixture
def race(tmp_path, environment):
    """``race(...)``: a short race on a small network; the exit code, the record, and what was printed."""
    model = tmp_path / "small.onnx"
    network = small_network()
    network.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    network.graph.output[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(network, model)

    def run(engines: str, *arguments: object):
        record = tmp_path / "record.json"
        done = subprocess.run(
            [sys.executable, "-m", "orpheus_experiments.race", "--model", str(model), "--engines", engines,
             "--backends", "numpy", "--rounds", "3", "--runs", "6", "--turn", "0", "--warm", "0.1", "--loads", "1",
             "--threads", "1", "--tune", "0.001", "--json", str(record), *map(str, arguments)],
            capture_output=True, text=True, timeout=300, check=False,
            env={**environment, "ORPHEUS_BACKENDS": "experiments,hostile,numpy"},  # not the one that hurts
        )  # fmt: skip
        data = json.loads(record.read_text()) if record.exists() else None
        lanes = {lane["name"]: lane for lane in data["heats"][0]["engines"]} if data else {}
        return done.returncode, data, lanes, done.stdout + done.stderr

    return run


def test_a_race(race, tmp_path) -> None:
    goals = tmp_path / "goals.json"
    goals.write_text(json.dumps({"ratio": {"1": {"small": 1e6}}, "error": 1e-5}))
    code, data, lanes, text = race("right,absent", "--check", goals, "--loads", 2)
    assert code == 0, text
    for name in ("orpheus", "orpheus-tuned", "right"):
        lane = lanes[name]
        assert lane["runs"] >= 6 and len(lane["rounds"]) == 3, text
        assert lane["quartiles"][0] <= lane["median"] <= lane["quartiles"][1]
        assert lane["load"] > 0 and lane["cores"] >= 0
    assert lanes["right"]["error"] < 1e-5 and lanes["orpheus"]["error"] < 1e-5
    assert lanes["absent"]["reason"] == "not installed: no module 'no_such_module'; try: pip install it"
    assert lanes["orpheus"]["planned_bytes"] > 0 and lanes["right"]["planned_bytes"] is None
    ratio = data["heats"][0]["ratios"]["orpheus-tuned"]
    assert ratio["peer"] == "right" and ratio["low"] <= ratio["high"]
    met = {goal["what"]: goal["met"] for goal in data["goals"]}
    assert met["ratio, small, 1 thread(s)"] is False and met["error of orpheus, small, 1 thread(s)"] is True
    assert "MISSED" in text and "not installed" in text
    assert "small, threads 1: orpheus " in text  # when the network is done, without a terminal too
    assert data["environment"]["versions"].keys() >= {"orpheus", "right"}
    assert race("right", "--check", goals, "--strict", "--orpheus", "orpheus")[0] == 1


def test_an_engine_that_dies_costs_its_row_only(race) -> None:
    code, _, lanes, text = race("later,right", "--orpheus", "orpheus")
    assert code == 4 and lanes["later"]["reason"].startswith("crashed: its process was ended by SIGSEGV"), (
        text
    )
    assert lanes["right"]["runs"] >= 6 and lanes["orpheus"]["runs"] >= 6


def test_a_wrong_engine_is_no_peer(race) -> None:
    code, data, lanes, text = race("wrong", "--orpheus", "orpheus")
    assert code == 1 and lanes["wrong"]["reason"].startswith("wrong: its error is"), text
    assert (
        lanes["wrong"]["error"] > 0.01 and lanes["wrong"]["median"] is None and not data["heats"][0]["ratios"]
    )


def test_confined_to_an_instruction_set(race) -> None:
    code, _, lanes, text = race("right,wrong", "--isa", "avx2", "--orpheus", "orpheus")
    assert code == 0, text
    assert "isa avx2" in lanes["right"]["settings"]
    assert (
        lanes["wrong"]["reason"].startswith("left out: it has no setting")
        and lanes["wrong"]["median"] is None
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("nonesuch",), "no engine is called 'nonesuch'"),
        (("right,right",), "given twice"),
        (("right", "--threads", "0"), "--threads 0"),
        (("right", "--strict"), "--check"),
        (("right", "--check", "no-such-file"), "no-such-file"),
    ],
)
def test_usage(race, arguments, part) -> None:
    code, data, _, text = race(*arguments)
    assert code == 2 and part in text and data is None


def test_float64_is_what_it_says(tmp_path) -> None:
    path = tmp_path / "small.onnx"
    network = small_network()
    onnx.save(network, path)
    feeds = {"x": np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)}
    (got,) = evaluate(path, feeds, tmp_path / "kept")
    assert got.dtype == np.float64
    w = {t.name: onnx.numpy_helper.to_array(t).astype(np.float64) for t in network.graph.initializer}
    x = np.pad(feeds["x"].astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3))
    y = np.einsum("nchwij,ocij->nohw", windows, w["W"])
    scale, bias, mean, var = (w[k][:, None, None] for k in ("scale", "bias", "mean", "var"))
    y = np.maximum((y - mean) / np.sqrt(var + np.float32(1e-5)) * scale + bias, 0)
    assert np.abs(got - y.mean((2, 3)) @ w["G"]).max() < 1e-13
    (kept,) = evaluate(path, feeds, tmp_path / "kept")
    assert np.array_equal(kept, got) and len(list((tmp_path / "kept").iterdir())) == 1
    other = {"x": feeds["x"] + 1}
    assert not np.array_equal(evaluate(path, other, tmp_path / "kept")[0], got)


def test_error_is_a_share_of_the_range() -> None:
    exact = [np.array([-1.0, 3.0])]
    assert error([np.array([-1.0, 3.04], np.float32)], exact) == pytest.approx(0.01, rel=1e-5)
    assert error([np.array([np.nan, 3.0])], exact) == float("inf")
    assert error([np.zeros(3)], exact) == error([], exact) == float("inf")


def test_the_ratio_is_the_best_peers() -> None:
    generator = np.random.default_rng(0)

    def rounds(median: float, noise: float = 0.01) -> list[list[float]]:
        return [list(median * generator.normal(1, noise, 5)) for _ in range(10)]

    mine, peers = rounds(1.0), {"slow": rounds(3.0), "fast": rounds(2.0)}
    name, found = best_ratio(mine, peers)
    assert name == "fast" and found.value == pytest.approx(2.0, rel=0.02)
    assert found.low < found.value < found.high and found.high - found.low < 0.1
    wild = best_ratio(mine, {"wild": rounds(2.0, 0.3)})[1]
    assert wild.high - wild.low > found.high - found.low
    mean = geometric_mean([found, best_ratio(rounds(1.0), {"even": rounds(0.5)})[1]])
    assert mean.value == pytest.approx(1.0, rel=0.02) and mean.low < mean.value < mean.high
    with pytest.raises(ValueError, match="rounds differ"):
        best_ratio(mine, {"short": rounds(2.0)[:4]})
    with pytest.raises(ValueError, match="no peer"):
        best_ratio(mine, {})


def test_rounds_of_different_lengths() -> None:
    uneven = [[1.0, 1.0, 1.0], [2.0], [1.0, 1.0]]
    assert spread(uneven).median == 1.0 and spread(uneven).runs == 6
    ratio = best_ratio(uneven, {"it": [[2.0], [4.0, 4.0], [2.0]]})[1]
    assert 1.0 <= ratio.low <= ratio.high <= 4.0 and ratio.value == 3.0


def test_goals() -> None:
    lane = {"error": 1e-6, "median": 1.0, "load": 0.3, "planned_bytes": 100, "growth_bytes": None}
    heat = {
        "network": "net",
        "threads": 1,
        "engines": [
            {**lane, "name": "orpheus"},
            {**lane, "name": "orpheus-tuned", "median": 0.95},
            {**lane, "name": "other", "load": 0.1, "growth_bytes": 80},
        ],
        "ratios": {"orpheus": {"value": 1.4}, "orpheus-tuned": {"value": 1.6}},
    }
    record = {
        "settings": {"isa": None},
        "heats": [heat],
        "geometric_means": {"1": {"orpheus": {"value": 1.1}}},
    }
    goals = {
        "ratio": {"1": {"net": 1.5}, "2": {"net": 9}},
        "geometric_mean": {"1": 1.2},
        "error": 1e-5,
        "untuned_over_tuned": 1.1,
        "load_over": {"other": 1.5},
        "memory_over": {"other": 1.5, "absent": 1.5},
        "isa": {"avx2": {"geometric_mean": {"1": 1.05}}},
    }
    met = [v.met for v in check(goals, record)]
    # geometric mean, ratio, two errors, untuned over tuned, load, memory over one engine and over one not measured
    assert met == [False, True, True, True, True, False, True, None]
    confined = check(goals, {**record, "settings": {"isa": "avx2"}})
    assert [(v.wanted, v.met) for v in confined] == [(1.05, True)]


@pytest.mark.parametrize("text", ["{", "[]", '{"rato": 1}'])
def test_a_bad_file_of_goals(tmp_path, text) -> None:
    path = tmp_path / "goals.json"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"goals"):
        read(path)


def test_the_goals_of_the_benchmark_are_readable() -> None:
    goals = read(Path(__file__).parents[2] / "benchmarks" / "goals.json")
    assert goals["ratio"]["1"].keys() == goals["ratio"]["2"].keys()
