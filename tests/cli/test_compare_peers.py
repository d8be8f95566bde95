"""``compare`` with whole engines that a plugin offers."""

from __future__ import annotations

import json

import pytest

QUICK = ("--runs", 3, "--min-time", 0, "--json")


@pytest.fixture
def compare(orpheus, relu_model):
    """``compare(LIST, engine="the body of one inference on x")``: the exit code, the rows by name, and stderr."""

    def run(backends: str, inference: str = "np.maximum(x, 0)", **facts: object):
        given = "".join(f", {key}={value!r}" for key, value in facts.items())
        orpheus.install(
            "engines",
            "import os\nimport numpy as np\n"
            "from orpheus_core.plugin import RuntimeSpec, hookimpl\n"
            "class Engine:\n"
            "    def __init__(self, path, threads):\n"
            "        self.settings = {'threads': threads, 'file': path.name}\n"
            "    def bind(self, inputs):\n"
            "        (x,) = inputs\n"
            f"        return lambda: [{inference}]\n"
            "@hookimpl\n"
            "def orpheus_runtimes():\n"
            "    return (RuntimeSpec(name='fake', load='fake_engines:Engine', install='pip install fake'"
            f"{given}),)\n",
        )
        done = orpheus("compare", relu_model, "-b", backends, "--threads", 3, *QUICK)
        rows = json.loads(done.out)["models"][0]["variants"] if done.out else []
        return done.code, {row["backend"]: row for row in rows}, done.err

    return run


def test_an_engine_beside_a_backend(compare) -> None:
    code, rows, _ = compare("numpy,peer:fake")
    row = rows["peer:fake"]
    assert code == 0 and row["verdict"] == "pass" and row["runs"] >= 3
    assert row["plan"] == "fake: threads 3, file relu.onnx"
    assert row["weight_bytes"] is None and row["load"] >= 0


def test_an_engine_as_the_reference(compare) -> None:
    code, rows, _ = compare("peer:fake,numpy")
    assert code == 0 and rows["peer:fake"]["verdict"] == "reference" and rows["numpy"]["verdict"] == "pass"


def test_a_wrong_engine_fails(compare) -> None:
    code, rows, _ = compare("numpy,peer:fake", "np.maximum(x, np.float32(0.01))")
    assert code == 1 and rows["peer:fake"]["max_error"] == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(
    ("inference", "status", "part", "code"),
    [("os._exit(7)", "crashed", "code 7", 4), ("1 / 0", "failed", "ZeroDivisionError", 4)],
)
def test_an_engine_that_does_not_survive(compare, inference: str, status: str, part: str, code: int) -> None:
    got, rows, _ = compare("numpy,peer:fake", inference)
    assert got == code and rows["peer:fake"]["status"] == status and part in rows["peer:fake"]["reason"]
    assert rows["numpy"]["runs"] >= 3


def test_an_engine_that_is_not_installed_is_a_row(compare) -> None:
    code, rows, _ = compare("numpy,peer:fake", modules=("no_such_module",))
    assert code == 2 and rows["peer:fake"]["status"] == "skipped"
    assert rows["peer:fake"]["reason"] == "not installed: no module 'no_such_module'; try: pip install fake"


def test_an_engine_that_does_not_take_the_model(compare) -> None:
    code, rows, _ = compare("numpy,peer:fake", convert="fake_engines:nonesuch")
    assert code == 2 and "peer:fake does not take relu.onnx: AttributeError" in rows["peer:fake"]["reason"]


def test_an_unknown_engine_is_named(compare) -> None:
    code, _, said = compare("numpy,peer:nonesuch")
    assert code == 2 and "peer:nonesuch" in said and "fake" in said


def test_an_open_batch_is_fixed_for_an_engine(orpheus, model) -> None:
    orpheus.install(
        "engines",
        "import numpy as np, onnx\n"
        "from orpheus_core.plugin import RuntimeSpec, hookimpl\n"
        "class Engine:\n"
        "    def __init__(self, path, threads):\n"
        "        dims = onnx.load(path).graph.input[0].type.tensor_type.shape.dim\n"
        "        self.settings = {'shape': [d.dim_value for d in dims]}\n"
        "    def bind(self, inputs):\n"
        "        return lambda: [np.zeros((len(inputs[0]), 5), np.float32)]\n"
        "@hookimpl\n"
        "def orpheus_runtimes():\n"
        "    return (RuntimeSpec(name='fake', load='fake_engines:Engine'),)\n",
    )
    for arguments, shape in (((), "[1, 3, 8, 8]"), (("--shape", "x:[4,3,8,8]"), "[4, 3, 8, 8]")):
        done = orpheus("compare", model, "-b", "peer:fake", *QUICK, *arguments)
        (row,) = json.loads(done.out)["models"][0]["variants"]
        assert done.code == 0 and row["plan"] == f"fake: shape {shape}", done.err
