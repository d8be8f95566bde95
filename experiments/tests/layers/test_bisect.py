"""``orpheus bisect``: the layer at fault is found, a right one is not blamed, and the difference replays alone."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import pytest
from fakes import small_network
from onnx import TensorProto, helper, numpy_helper

#: Only the second Relu of the network has five columns.
SECOND = {"wrong": "where=(Rule('X.shape[1]', '==', 5),)"}
BOUNDARY = {
    "value", "node", "op", "nodes", "type", "difference", "relative", "inputs", "inputs_relative", "carried", "a", "b",
    "parts", "reason",
}  # fmt: skip
ENGINE = """
import numpy as np
import onnx
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator
from orpheus_core.plugin import RuntimeSpec, hookimpl

class Engine:
    def __init__(self, path, threads):
        model = onnx.load(path)
        for weights in model.graph.initializer:
            if weights.name == "W" and WRONG:
                array = numpy_helper.to_array(weights) * np.float32(1.01)
                weights.CopyFrom(numpy_helper.from_array(array, "W"))
        self.evaluator = ReferenceEvaluator(model)
        self.settings = {"threads": threads, "outputs": len(model.graph.output)}

    def bind(self, inputs):
        feeds = dict(zip(self.evaluator.input_names, inputs))
        return lambda: self.evaluator.run(None, feeds)

@hookimpl
def orpheus_runtimes():
    return (RuntimeSpec(name="fake", load="fake_engines:Engine"),)
"""


def bisected(orpheus, model: Path, sides: str, *arguments: object) -> tuple[int, dict]:
    done = orpheus("bisect", model, "-b", sides, "--threads", 1, "--json", *arguments)
    assert done.out, done.err
    return done.code, json.loads(done.out)


def test_sides_that_agree(orpheus, relus: Path) -> None:
    orpheus.toys("toy", "good")
    code, found = bisected(orpheus, relus, "numpy,toy")
    assert code == 0 and found["first"] is None and found["whole"] == {}
    assert found.keys() == {
        "model", "machine", "schema", "sides", "summaries", "bound", "first", "whole", "outputs", "boundaries", "repro",
    }  # fmt: skip
    assert found["schema"] == 1 and [b["value"] for b in found["boundaries"]] == ["r", "s", "y"]
    assert all(b.keys() == BOUNDARY and not b["parts"] for b in found["boundaries"])
    shown = orpheus("bisect", relus, "-b", "numpy,toy", "--layers")
    assert shown.code == 0 and "no layer of 3 parts" in shown.out


@pytest.mark.parametrize("sides", ["numpy,toy", "toy,numpy"])
def test_the_layer_at_fault_is_found_and_replays_alone(
    orpheus, relus: Path, tmp_path: Path, sides: str
) -> None:
    orpheus.toys("toy", "wrong", "good", **SECOND)
    code, found = bisected(orpheus, relus, sides, "--repro", tmp_path / "repro")
    first = found["first"]
    assert code == 1 and first["value"] == "s" and first["inputs"] == {"r": 0.0}
    bad, good = (first["b"], first["a"]) if sides.endswith("toy") else (first["a"], first["b"])
    assert bad["kernel"] == "toy:Relu/wrong" and bad["error"] == pytest.approx(0.01, rel=0.1)
    assert bad["error"] > bad["limit"] and good["error"] <= good["limit"]
    # What follows is right: it carries the difference on, and is not blamed for it.
    last = found["boundaries"][-1]
    assert last["value"] == "y" and not last["parts"]
    assert last["difference"] == pytest.approx(10, rel=0.1) and last["carried"] == pytest.approx(10, rel=0.1)
    folder = tmp_path / "repro"
    assert {p.name for p in folder.iterdir()} == {"model.onnx", "r.npy", "difference.json"}
    onnx.checker.check_model(str(folder / "model.onnx"), full_check=True)
    assert found["repro"]["replayed"] == pytest.approx(first["difference"], rel=1e-3)
    words = shlex.split(found["repro"]["command"])
    assert words[0] == "orpheus" and orpheus(*words[1:]).code == 1
    told = json.loads((folder / "difference.json").read_text())
    assert told["command"] == found["repro"]["command"] and told["first"] == first


def test_a_rounding_that_grows_is_no_parting_unless_a_bound_is_given(orpheus, relus: Path) -> None:
    orpheus.toys("toy", "rough")
    code, found = bisected(orpheus, relus, "numpy,toy")
    assert code == 0 and found["outputs"]["y"] > 0
    code, found = bisected(orpheus, relus, "numpy,toy", "--bound", "1e-8")
    assert code == 1 and found["first"]["value"] == "r" and found["bound"] == 1e-8
    assert bisected(orpheus, relus, "numpy,toy", "--bound", "1e-3")[0] == 0


def test_nan_parts(orpheus, relus: Path) -> None:
    orpheus.toys("toy", "nan")
    code, found = bisected(orpheus, relus, "numpy,toy")
    assert code == 1 and found["first"]["value"] == "r" and found["first"]["difference"] == "inf"


def test_two_sides_that_are_wrong_alike_do_not_part(orpheus, relus: Path) -> None:
    orpheus.toys("one", "wrong")
    orpheus.toys("two", "wrong")
    code, found = bisected(orpheus, relus, "one,two")
    assert code == 0 and all(b["difference"] == 0 for b in found["boundaries"])


def test_overflow_on_both_sides_is_no_parting(orpheus, tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["r"], "relu"), helper.make_node("Mul", ["r", "k"], ["y"], "huge")],
        "overflow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [3])],
        [numpy_helper.from_array(np.float32(3e38), "k")],
    )
    path = tmp_path / "overflow.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    np.save(tmp_path / "x.npy", np.float32([1, 2, 3]))
    orpheus.toys("toy", "good")
    code, found = bisected(orpheus, path, "numpy,toy", "-i", f"x={tmp_path / 'x.npy'}")
    assert code == 0 and found["boundaries"][-1]["a"]["error"] == "inf"


@pytest.mark.parametrize(
    ("kernel", "part"),
    [("crash", "SIGSEGV"), ("leave", "code 0"), ("hang", "no answer in 5 s"), ("fails", "on purpose")],
)
def test_a_side_that_does_not_survive_ends_with_4_and_names_the_node(
    orpheus, relus: Path, kernel: str, part: str
) -> None:
    orpheus.toys("toy", kernel)
    done = orpheus("bisect", relus, "-b", "numpy,toy", "--timeout", 5)
    assert done.code == 4 and part in done.err and "toy" in done.err
    assert "the plain run" in done.err or "first" in done.err


def test_an_engine_as_a_side(orpheus, relus: Path, tmp_path: Path) -> None:
    orpheus.install("engines", ENGINE.replace("WRONG", "False"))
    code, found = bisected(orpheus, relus, "numpy,peer:fake")
    assert code == 0 and [b["value"] for b in found["boundaries"]] == ["r", "s", "y"]
    assert "outputs 1" in found["summaries"][1], "the plain run is of the model as it is"


def test_an_engine_at_fault(orpheus, relus: Path, tmp_path: Path) -> None:
    orpheus.install("engines", ENGINE.replace("WRONG", "True"))
    code, found = bisected(orpheus, relus, "peer:fake,numpy", "--repro", tmp_path / "repro")
    first = found["first"]
    assert code == 1 and first["value"] == "s" and first["op"] == "ai.orpheus:FusedGemm"
    assert first["a"]["error"] > first["a"]["limit"] and first["b"]["error"] <= first["b"]["limit"]
    assert found["repro"]["replayed"] == pytest.approx(first["difference"], rel=1e-3)


def test_an_engine_whose_fusion_is_at_fault(orpheus, relus: Path) -> None:
    """It is wrong unless the first Relu's result is looked at: then nothing that it computes can be seen to part."""
    orpheus.install("engines", ENGINE.replace("WRONG", "'r' not in [v.name for v in model.graph.output]"))
    code, found = bisected(orpheus, relus, "numpy,peer:fake")
    assert code == 1 and found["first"] is None and found["outputs"]["y"] > 0
    text = found["whole"]["peer:fake"]
    assert "output 'y' of the plain run is" in text and "looking at r (node first) alone cures it" in text
    shown = orpheus("bisect", relus, "-b", "numpy,peer:fake")
    assert shown.code == 1 and "peer:fake: output 'y'" in shown.out


def test_onnxruntime_agrees(orpheus, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    path = tmp_path / "small.onnx"
    onnx.save(small_network(), path)
    code, found = bisected(orpheus, path, "numpy,peer:onnxruntime")
    assert code == 0 and len(found["boundaries"]) >= 3


def test_the_verdict_in_words(orpheus, relus: Path) -> None:
    orpheus.toys("toy", "wrong", "good", **SECOND)
    done = orpheus("bisect", relus, "-b", "numpy,toy", "--threads", 1)
    assert done.code == 1
    for part in (
        "they part at node",
        "value s",
        "B: toy:Relu/wrong: at fault",
        "A: numpy:",
        "rounding explains",
    ):
        assert part in done.out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("-b", "numpy"), "-b A,B is needed"),
        (("-b", "numpy,nonesuch"), "nonesuch"),
        (("-b", "numpy,peer:nonesuch"), "nonesuch"),
        (("-b", "numpy,numpy:Relu/nonesuch"), "nonesuch"),
        (("-b", "numpy,toy", "-i", "z=1.npy"), "no input 'z'"),
        (("-b", "numpy,toy", "--bound", "-1"), "from zero up"),
    ],
)
def test_bad_requests_are_told(orpheus, relus: Path, arguments: tuple[str, ...], part: str) -> None:
    orpheus.toys("toy", "good")
    done = orpheus("bisect", relus, *arguments)
    assert done.code == 2 and part in done.err


def test_a_bad_model_and_a_folder_that_cannot_be_written(orpheus, relus: Path, tmp_path: Path) -> None:
    orpheus.toys("toy", "wrong")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    assert orpheus("bisect", broken, "-b", "numpy,toy").code == 3
    done = orpheus("bisect", relus, "-b", "numpy,toy", "--repro", broken / "under")
    assert done.code == 2 and "cannot write into" in done.err
