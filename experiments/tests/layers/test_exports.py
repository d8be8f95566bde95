"""What ``orpheus profile`` writes for other tools to show."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes import small_network
from orpheus_experiments.profile.annotate import annotated, seconds_by_name
from orpheus_experiments.profile.layers import LayerProfile, LayerTime, profile_layers
from orpheus_experiments.profile.peak import Bandwidth, Peak, measured_bandwidth

import orpheus_core as core
from orpheus_core.cli.main import main
from orpheus_core.errors import UsageError


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(small_network(), path)
    return path


@pytest.fixture
def profiled(small: Path):
    """A session on the small network with its profile, and the feeds."""
    session = core.InferenceSession(small, providers=["numpy"], threads=1, shapes={"x": (1, 3, 8, 8)})
    feeds = {"x": np.random.default_rng(2).standard_normal((1, 3, 8, 8)).astype(np.float32)}
    return session, profile_layers(session, feeds, runs=2), feeds


def test_all_files_at_once(small: Path, tmp_path: Path, capsys) -> None:
    pytest.importorskip("matplotlib")
    files = {k: tmp_path / f"out.{k}" for k in ("trace.json", "svg", "node.json", "onnx")}
    arguments = ["profile", str(small), "-b", "numpy", "--threads", "1", "--runs", "2"]
    for option, path in zip(("--trace", "--roofline", "--node-data", "--annotated"), files.values()):
        arguments += [option, str(path)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert all(path.exists() and str(path) in out for path in files.values())


def test_the_annotated_model_is_sound_runs_and_says_what_ran(profiled) -> None:
    session, found, feeds = profiled
    model = annotated(session.latest_plan(), found, {"threads": "1"})
    onnx.checker.check_model(model, full_check=True)
    again = core.InferenceSession(model, providers=["numpy"])
    np.testing.assert_allclose(again.run(None, feeds)[0], session.run(None, feeds)[0], rtol=1e-5, atol=1e-6)
    assert {p.key: p.value for p in model.metadata_props} == {"orpheus.threads": "1"}
    nodes = {n.name: {p.key: p.value for p in n.metadata_props} for n in model.graph.node}
    assert len(nodes) == len(model.graph.node), "every node has a name of its own"
    times = {x.node: x for x in found.layers}
    for name, kept in nodes.items():
        assert kept["orpheus.kernel"] and kept["orpheus.why"]
        if name in times:
            assert float(kept["orpheus.us"]) == pytest.approx(times[name].seconds * 1e6, abs=0.01)
    conv = next(n for n in model.graph.node if n.domain == "ai.orpheus" and n.op_type.startswith("FusedConv"))
    assert nodes[conv.name]["orpheus.group"] == "Conv + Relu" and "gflops" in str(conv.metadata_props)
    assert conv.doc_string.startswith("Conv + Relu: numpy:ai.orpheus:FusedConv/")
    assert any(v.name == conv.output[0] and v.type.tensor_type.shape.dim for v in model.graph.value_info)


def test_another_runtime_runs_the_annotated_model(profiled) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session, found, feeds = profiled
    model = annotated(session.latest_plan(), found, {})
    other = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(other.run(None, feeds)[0], session.run(None, feeds)[0], rtol=1e-5, atol=1e-6)


def test_node_data_is_of_the_annotated_model(small: Path, tmp_path: Path) -> None:
    data, model = tmp_path / "n.json", tmp_path / "a.onnx"
    arguments = ["profile", str(small), "-b", "numpy", "--runs", "1", "--node-data", str(data)]
    assert main([*arguments, "--annotated", str(model)]) == 0
    found = json.loads(data.read_text())
    graph = onnx.load(model).graph
    assert list(found) == [graph.name]
    results = found[graph.name]["results"]
    assert results and set(results) <= {n.name for n in graph.node}
    assert all(set(v) == {"value"} and v["value"] >= 0 for v in results.values())
    stops = [stop["stop"] for stop in found[graph.name]["gradient"]]
    assert stops[0] == 0 and stops[-1] == 1 and stops == sorted(stops)


def test_conversions_are_told_at_the_node_that_reads_them(tmp_path: Path) -> None:
    import toys

    from orpheus_core import discovery

    with discovery.override(toys.plain(relu="toys:cost_1000"), toys.blocked()):
        model = toys.model(
            [("Neg", ["x"], "a"), ("Relu", ["a"], "b"), ("Neg", ["b"], "c")], [1, 20, 6, 6], ["c"]
        )
        session = core.InferenceSession(model, providers=["plain", "blocked"], policy="cost")
        found = profile_layers(session, {"x": np.ones((1, 20, 6, 6), np.float32)}, runs=1)
        seconds = seconds_by_name(session.latest_plan(), found)
        nodes = {n.name: n for n in annotated(session.latest_plan(), found, {}).graph.node}
    keys = {name: {p.key for p in node.metadata_props} for name, node in nodes.items()}
    assert "orpheus.conversion_us" in keys["b"] and "orpheus.conversion_us" in keys["c"]
    assert "orpheus.conversion_us" not in keys["a"]
    assert seconds.keys() == {"a", "b", "c"}
    assert sum(seconds.values()) == pytest.approx(found.seconds), "every step is some node's"


def test_the_roofline_is_a_plot_of_the_layers_with_operations(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from orpheus_experiments.profile.roofline import save_roofline

    layers = (
        LayerTime("a", "Conv", "k:Conv/direct", 1e-3, 1e-3, 1e-3, 10**8, 10**6),
        LayerTime("b", "Conv", "k:Conv/winograd", 1e-4, 1e-4, 1e-4, 10**7, 10**6),
        LayerTime("c", "Relu", "k:Relu/simple", 1e-4, 1e-4, 1e-4, 0, 10**6),
    )
    path = tmp_path / "r.svg"
    limits = Peak(1e11, "a peak"), Bandwidth(1e10, "a copy")
    assert save_roofline(path, LayerProfile(layers, 1e-3, ()), *limits, "a title") == 2
    root = ET.parse(path).getroot()
    ids = {e.get("id") or "" for e in root.iter()}
    assert {i for i in ids if i.startswith("group")} == {
        "group k:Conv/direct (91 %)", "group k:Conv/winograd (9 %)"
    }  # fmt: skip
    text = " ".join("".join(e.itertext()) for e in root.iter())
    for part in ("a title", "a peak", "a copy", "100.0 GFLOP/s", "10.0 GB/s"):
        assert part in text
    first = path.read_bytes()
    save_roofline(path, LayerProfile(layers, 1e-3, ()), *limits, "a title")
    assert path.read_bytes() == first, "the same data give the same file"
    with pytest.raises(UsageError, match="nothing to plot"):
        save_roofline(path, LayerProfile(layers[2:], 1e-3, ()), *limits, "")


def test_what_is_missing_or_cannot_be_written_is_told(
    small: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    arguments = ["profile", str(small), "-b", "numpy", "--runs", "1"]
    for option in ("--node-data", "--annotated"):
        assert main([*arguments, option, str(tmp_path / "no" / "file")]) == 2
        assert "cannot write" in capsys.readouterr().err
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert main([*arguments, "--roofline", str(tmp_path / "r.svg")]) == 2
    assert "orpheus-experiments[report]" in capsys.readouterr().err


def test_bandwidth_is_measured_and_named() -> None:
    found = measured_bandwidth(1)
    assert found.rate > 0 and "numpy" in found.source
