"""``inspect``, ``explain`` and ``run`` on small models, as a user would."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from fakes import small_network, unary_network
from onnx.reference import ReferenceEvaluator


def test_inspect_summarizes(orpheus, model) -> None:
    done = orpheus("inspect", model, "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert report["inputs"] == {"x": "float32[N,3,8,8]"}
    assert list(report["outputs"]) == ["y"]
    assert report["opsets"][""] == 17
    raw, simple = report["raw"], report["simplified"]
    assert raw["ops"]["Conv"] == raw["ops"]["BatchNormalization"] == 1
    assert raw["parameters"] >= 4 * 27 + 4 * 4 + 20
    # 4 filters of 27 weights at 64 places; 4 x 5 of the last layer.
    assert raw["macs"] == simple["macs"] == 4 * 27 * 64 + 20
    assert "BatchNormalization" not in simple["ops"]
    text = orpheus("inspect", model, "--nodes").out
    assert "float32[N,3,8,8]" in text and "operator" in text and "6.932 k" in text


def test_inspect_takes_shapes(orpheus, model) -> None:
    report = json.loads(orpheus("inspect", model, "--shape", "x:[4,3,8,8]", "--json").out)
    assert report["raw"]["macs"] == 4 * (4 * 27 * 64 + 20)
    done = orpheus("inspect", model, "--shape", "z:[4]")
    assert done.code == 2 and "'z'" in done.err and "x" in done.err


def test_inspect_counts_weights_that_are_inputs_with_a_default(orpheus, tmp_path) -> None:
    model = small_network()
    model.graph.input.append(onnx.helper.make_tensor_value_info("W", onnx.TensorProto.FLOAT, [4, 3, 3, 3]))
    onnx.save(model, tmp_path / "old.onnx")
    report = json.loads(orpheus("inspect", tmp_path / "old.onnx", "--json").out)
    assert list(report["inputs"]) == ["x"]
    assert report["raw"]["parameters"] >= 108 and "BatchNormalization" not in report["simplified"]["ops"]


def test_inspect_raw_nodes_are_the_imported_ones(orpheus, model) -> None:
    assert "BatchNormalization" in orpheus("inspect", model, "--nodes", "--raw").out.split("operator")[-1]
    assert "BatchNormalization" not in orpheus("inspect", model, "--nodes").out.split("operator")[-1]


def test_inspect_around_a_pass(orpheus, model) -> None:
    passes = [line.split()[0] for line in orpheus("inspect", "--list-passes").out.splitlines()[1:]]
    assert len(passes) > 5 and len(set(passes)) == len(passes)
    changed = [
        name for name in passes if "changes nothing" not in orpheus("inspect", model, "--diff", name).out
    ]
    assert changed, "simplification must do something on Conv + BatchNormalization + Relu"
    before = orpheus("inspect", model, "--before", passes[0]).out
    assert before.startswith("graph small(%x: float32[N,3,8,8])") and "BatchNormalization" in before
    assert "BatchNormalization" not in orpheus("inspect", model, "--after", passes[-1]).out
    diff = orpheus("inspect", model, "--diff", changed[0]).out
    assert any(line.startswith("-") for line in diff.splitlines())
    facts = json.loads(orpheus("inspect", model, "--after", passes[-1], "--json").out)
    assert facts["pass"] == passes[-1] and facts["graph"].startswith("graph small(")
    assert facts["nodes_before"] >= facts["nodes_after"] > 0
    done = orpheus("inspect", model, "--after", "nonesuch")
    assert done.code == 2 and "'nonesuch'" in done.err
    assert orpheus("inspect").code == 2


def test_explain_tells_kernels_and_refusals(orpheus, model, toy) -> None:
    orpheus.install("toy", toy("toy"))
    done = orpheus("explain", model, "-b", "numpy", "--shape", "x:[1,3,8,8]", "--json")
    assert done.code == 0, done.err
    report = json.loads(done.out)
    assert "nodes: numpy" in report["summary"]
    assert any("Conv" in d["op"] and d["chosen"].startswith("numpy:") for d in report["decisions"])
    text = orpheus("explain", model, "-b", "numpy", "--shape", "x:[1,3,8,8]").out
    assert text.splitlines()[0] == report["summary"] and "why" in text
    node = report["decisions"][0]["node"]
    one = orpheus("explain", model, "-b", "numpy", "--node", node).out
    assert "chosen" in one and node in one
    absent = orpheus("explain", model, "-b", "numpy", "--node", node + "x")
    assert absent.code == 2 and node in absent.err


def test_explain_says_why_a_kernel_was_refused(orpheus, relu_model, toy) -> None:
    source = toy("toy").replace("name='k',", "name='k', dtypes={'T': ('float16',)},")
    orpheus.install("toy", source)
    done = orpheus("explain", relu_model, "-b", "toy,numpy")
    assert done.code == 0, done.err
    assert "numpy:Relu/" in done.out
    refusal = next(line for line in done.out.splitlines() if "toy:Relu/k" in line)
    assert "float16" in refusal or "float32" in refusal


def test_run_writes_what_the_reference_computes(orpheus, model, tmp_path) -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 8)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    done = orpheus("run", model, "-b", "numpy", "-i", f"x={tmp_path / 'x.npy'}", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    (wanted,) = ReferenceEvaluator(small_network()).run(None, {"x": x})
    np.testing.assert_allclose(np.load(tmp_path / "out" / "y.npy"), wanted, rtol=1e-4, atol=1e-5)
    assert "y" in done.out and "[2, 5]" in done.out


def test_run_gives_outputs_of_similar_names_files_of_their_own(orpheus, tmp_path) -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]>
    agraph (float[2] x) => (float[2] a_b, float[2] c, float[2] A_B) { a_b = Abs(x) c = Neg(x) A_B = Sign(x) }"""
    model = onnx.parser.parse_model(text)
    model.graph.output[1].name = model.graph.node[1].output[0] = "a/b"
    onnx.save(model, tmp_path / "m.onnx")
    np.save(tmp_path / "x.npy", np.float32([-3, 5]))
    arguments = ("-b", "numpy", "-i", f"x={tmp_path / 'x.npy'}", "-o", tmp_path / "out", "--json")
    done = orpheus("run", tmp_path / "m.onnx", *arguments)
    assert done.code == 0, done.err
    got = {row["output"]: np.load(row["file"]).tolist() for row in json.loads(done.out)["outputs"]}
    assert got == {"a_b": [3, 5], "a/b": [3, -5], "A_B": [-1, 1]}
    assert len({path.name.casefold() for path in (tmp_path / "out").iterdir()}) == 3


def test_run_on_random_inputs_repeats(orpheus, model) -> None:
    arguments = ("run", model, "-b", "numpy", "--shape", "x:[3,3,8,8]", "--json")
    first, again, other = (json.loads(orpheus(*arguments, "--seed", s).out)["outputs"][0] for s in (1, 1, 2))
    assert first == again != other
    assert first["shape"] == [3, 5] and first["min"] <= first["mean"] <= first["max"]


def test_run_writes_a_trace(orpheus, model, tmp_path) -> None:
    done = orpheus("run", model, "-b", "numpy", "--trace", tmp_path / "trace.json")
    assert done.code == 0, done.err
    trace = json.loads((tmp_path / "trace.json").read_text())
    events = trace["traceEvents"] if isinstance(trace, dict) else trace
    assert any(e.get("ph") == "X" and e["dur"] >= 0 for e in events)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["-b", "nonesuch"], "pip install orpheus-nonesuch"),
        (["-b", "numpy", "-i", "z=f.npy"], "'z'"),
        (["-b", "numpy", "-i", "x=absent.npy"], "absent.npy"),
        (["-b", "numpy", "--pin", "Conv=numpy:Conv/nonesuch"], "nonesuch"),
        (["-b", "numpy", "--shape", "x:[1,4,8,8]"], "x"),
        (["-b", "numpy", "--seed", "-1"], "--seed"),
    ],
)
def test_run_refuses_what_does_not_fit(orpheus, model, arguments: list[str], part: str) -> None:
    done = orpheus("run", model, *arguments)
    assert done.code == 2, done.err
    assert part in done.err and "Traceback" not in done.err


def test_run_reports_a_failing_kernel_as_4(orpheus, relu_model, toy) -> None:
    orpheus.install("toy", toy("toy", "raise RuntimeError('no luck')"))
    done = orpheus("run", relu_model, "-b", "toy")
    assert done.code == 4
    assert "toy:Relu/k" in done.err and "no luck" in done.err


def test_a_model_that_nothing_implements_is_3(orpheus, tmp_path, toy) -> None:
    path = tmp_path / "neg.onnx"
    onnx.save(unary_network("Neg"), path)
    orpheus.install("toy", toy("toy"))
    done = orpheus("run", path, "-b", "toy", ORPHEUS_BACKENDS="toy")
    assert done.code == 3 and "Neg" in done.err


def test_tune_measures_keeps_and_is_used(orpheus, model, tmp_path) -> None:
    arguments = (model, "--shape", "x:[1,3,8,8]", "--threads", "1")
    done = orpheus("tune", *arguments, "--seconds", "0.001", ORPHEUS_CACHE=str(tmp_path))
    assert done.code == 0, done.err
    assert "distinct layers; times kept in" in done.out
    assert "whole network, policy cost: " in done.out
    done = orpheus("tune", *arguments, "--seconds", "0.001", "--json", ORPHEUS_CACHE=str(tmp_path))
    kept = {p["policy"]: p["kept"] for p in json.loads(done.out)["plans"]}
    done = orpheus("explain", *arguments, "--policy", "cost", "--json", ORPHEUS_CACHE=str(tmp_path))
    found = json.loads(done.out)
    sources = {d["source"] for d in found["decisions"] if "Conv" in d["op"]}
    assert ("measured as a whole" in found["summary"]) == ("measured" not in sources)
    # Where it is the same, the other policy's turns may lead back to a plan of which another verdict is kept.
    if kept["cost"] != "same":
        assert ("measured" in sources) == (kept["cost"] != "untuned")
