"""``orpheus profile`` as a user runs it, and what its figures are made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from orpheus_experiments.profile.peak import measured_peak
from orpheus_experiments.zoo.registry import build

from orpheus_core.cli.main import main
from orpheus_core.plugin import Backend, Kernel


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "wrn.onnx"
    path.write_bytes(build("wrn-40-2").SerializeToString())
    return path


def seven_gigaflops(threads: int) -> float:
    return 7e9 * threads


def test_a_backend_s_own_peak_is_taken_and_named() -> None:
    kernel = Kernel(op="Relu", name="r", run="toys:relu")
    known = Backend(name="known", api=1, kernels=(kernel,), peak=f"{__name__}:seven_gigaflops")
    silent = Backend(name="silent", api=1, kernels=(kernel,))
    peak = measured_peak([silent, known], 2)
    assert (peak.flops, peak.source) == (14e9, "known's multiply-adds")
    assert "numpy" in measured_peak([silent], 1).source


def test_the_table_has_every_layer_and_its_share(model: Path, capsys: Any) -> None:
    assert main(["profile", str(model), "-b", "numpy", "--threads", "1", "--runs", "2"]) == 0
    out = capsys.readouterr().out
    assert "% of peak" in out and "latency" in out and "numpy:" in out


def test_json_counts_the_network_s_macs_and_the_trace_opens(model: Path, tmp_path: Path, capsys: Any) -> None:
    trace = tmp_path / "trace.json"
    args = [
        "profile",
        str(model),
        "-b",
        "numpy",
        "--threads",
        "1",
        "--runs",
        "2",
        "--json",
        "--trace",
        str(trace),
    ]
    assert main(args) == 0
    data = json.loads(capsys.readouterr().out)
    assert sum(layer["macs"] or 0 for layer in data["layers"]) == pytest.approx(0.328e9, rel=0.02)
    conv = next(layer for layer in data["layers"] if layer["macs"])
    assert conv["flops"] == pytest.approx(2 * conv["macs"] / conv["seconds"])
    assert conv["low"] <= conv["seconds"] <= conv["high"]
    events = json.loads(trace.read_text())["traceEvents"]
    assert len(events) == len(data["layers"])


def test_groups_add_up_to_the_layers(model: Path, capsys: Any) -> None:
    assert main(["profile", str(model), "-b", "numpy", "--threads", "1", "--runs", "1", "--group"]) == 0
    out = capsys.readouterr().out
    assert " x " in out


def test_a_trace_that_cannot_be_written_is_a_usage_error(model: Path, tmp_path: Path, capsys: Any) -> None:
    args = ["profile", str(model), "-b", "numpy", "--runs", "1", "--trace", str(tmp_path / "no" / "t.json")]
    assert main(args) == 2
    assert "cannot write" in capsys.readouterr().err
