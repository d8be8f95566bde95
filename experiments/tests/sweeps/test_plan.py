"""Plan files: what they amount to, and what is refused with which words."""

from __future__ import annotations

from pathlib import Path

import pytest
from orpheus_experiments.sweeps import Plan, read_plan
from orpheus_experiments.sweeps.plan import make_plan

from orpheus_core.errors import BackendError, UsageError

GRID = '[grid]\nmodels = ["resnet-18", "wrn-40-2"]\nengines = ["numpy", "peer:onnxruntime"]\n'


@pytest.fixture
def plan(tmp_path: Path):
    def read(text: str, **more) -> Plan:
        path = tmp_path / "p.toml"
        path.write_text(text)
        return read_plan(path, **more)

    return read


def rows(found: Plan) -> list[tuple]:
    return [
        (c.trial.model.name, c.label, c.trial.threads, c.trial.batch, c.trial.scenario) for c in found.cells
    ]


def test_the_grid_is_the_product_of_its_axes(plan) -> None:
    found = plan(
        GRID
        + 'threads = [1, 2]\nbatch = 3\nscenario = ["single-stream", "offline"]\n[settings]\nprocesses = 2\nstreams = 2'
    )
    assert len(found.cells) == 2 * 2 * 2 * 2 and found.name == "p"
    assert rows(found)[0] == ("resnet-18", "numpy", 1, 3, "single-stream")
    assert all(c.trial.processes == 2 for c in found.cells)
    assert {(c.trial.scenario, c.trial.streams) for c in found.cells} == {
        ("single-stream", 1),
        ("offline", 2),
    }
    sizes = [len(g) for g in found.groups(found.cells)]
    assert sizes == [2] * 8  # engines take turns
    alone = plan(GRID + "[settings]\ntogether = false")
    assert [len(g) for g in alone.groups(alone.cells)] == [1] * 4


def test_rows_more_and_rows_less(plan) -> None:
    found = plan(
        GRID + '[[exclude]]\nmodel = "resnet-18"\nengine = ["peer:onnxruntime"]\n'
        '[[include]]\nmodel = "wrn-40-2"\nengine = "numpy:Conv/im2col"\nthreads = 2\nmin_runs = 5\n'
        '[[include]]\nmodel = "wrn-40-2"\nengine = "numpy"\n'  # which the grid has
    )
    assert rows(found) == [
        ("resnet-18", "numpy", 1, 1, "single-stream"),
        ("wrn-40-2", "numpy", 1, 1, "single-stream"),
        ("wrn-40-2", "peer:onnxruntime", 1, 1, "single-stream"),
        ("wrn-40-2", "numpy:Conv/im2col", 2, 1, "single-stream"),
    ]
    assert (
        found.cells[3].trial.kernels == {"Conv": "numpy:Conv/im2col"} and found.cells[3].trial.min_runs == 5
    )


def test_a_model_is_looked_for_beside_the_plan_and_known_by_its_digest(plan, model, tmp_path) -> None:
    (tmp_path / "net.onnx").write_bytes(model.read_bytes())
    found = plan('[grid]\nmodels = ["net.onnx"]\nengines = ["numpy"]')
    assert found.cells[0].trial.model.path == str(tmp_path / "net.onnx") and found.cells[0].trial.model.sha256


def test_an_engine_that_may_be_absent_is_a_trial(plan) -> None:
    text = '[grid]\nmodels = ["wrn-40-2"]\nengines = ["numpy"]\noptional = ["peer:nonesuch", "nothing+numpy"]'
    assert [c.trial.engine for c in plan(text).cells] == ["numpy", "peer:nonesuch", "nothing,numpy"]
    elsewhere = plan('[grid]\nmodels = ["wrn-40-2"]\nengines = ["theirs:Conv/x"]', elsewhere=True)
    assert elsewhere.cells[0].trial.engine == "theirs"
    assert elsewhere.cells[0].trial.kernels == {"Conv": "theirs:Conv/x"}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[grid", "is not TOML"),
        ("", "nothing to measure"),
        ("[gird]", "no key 'gird'; did you mean 'grid'?"),
        ('[grid]\nmodel = ["resnet-18"]', "did you mean 'models'?"),
        ('[grid]\nmodels = ["resnet-18"]', "lacks 'engines'"),
        ('[grid]\nmodels = []\nengines = ["numpy"]', "models is empty"),
        (GRID + "threads = [1, 1]", "threads has 1 twice"),
        (GRID + "threads = 0", "trial.threads must be a whole number"),
        (GRID + 'threads = ["two"]', "trial.threads"),
        (GRID + 'scenario = "ofline"', "must be one of single-stream, offline"),
        (GRID + "[settings]\nprocesess = 3", "did you mean 'processes'?"),
        (GRID + "[settings]\nprocesses = 2.5", "trial.processes"),
        (GRID + '[settings]\nmetrics = ["latancy"]', "did you mean 'latency'?"),
        (GRID + "[settings]\nthreads = 2", "no key 'threads'"),
        (GRID + '[settings]\npin = "yes"', "pin must be"),
        (GRID + '[settings]\ntogether = "yes"', "together must be true or false"),
        (GRID + "[settings]\ncooldown = -1", "cooldown"),
        (GRID + '[[exclude]]\nmodel = "resnet18"', "did you mean 'resnet-18'?"),
        (GRID + "[[exclude]]", "empty"),
        (GRID + "[[exclude]]\nthreads = 1", "leaves nothing"),
        (GRID + '[exclude]\nmodel = "resnet-18"', "[[exclude]]"),
        ('[[include]]\nmodel = "resnet-18"', "lacks 'engine'"),
        ('[[include]]\nmodel = "resnet-18"\nengine = "numpy"\npin = 1', "pin"),
        ('[[include]]\nmodel = "resnet-18"\nengine = "numpy"\ntogether = true', "no key 'together'"),
        ('[grid]\nmodels = ["resnet-81"]\nengines = ["numpy"]', "did you mean 'resnet-18'?"),
        ('[grid]\nmodels = "resnet-18"\nengines = ["nunpy"]', "did you mean 'numpy'?"),
        ('[grid]\nmodels = "resnet-18"\nengines = ["peer:onnxruntme"]', "offered: "),
        ('[grid]\nmodels = "resnet-18"\nengines = [3]', "must be a text"),
    ],
)
def test_what_is_wrong_is_named(plan, text, part) -> None:
    with pytest.raises((UsageError, BackendError)) as found:
        plan(text)
    assert part in str(found.value) and "p.toml" in str(found.value)


def test_a_plan_that_cannot_be_read(tmp_path) -> None:
    with pytest.raises(UsageError, match="cannot read the plan"):
        read_plan(tmp_path / "none.toml")
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="is not TOML"):
        read_plan(tmp_path / "bytes.toml")


def test_a_fleets_processors_are_not_known_here() -> None:
    data = {"grid": {"models": ["resnet-18"], "engines": ["x"]}, "settings": {"pin": True}}
    with pytest.raises(UsageError, match="fleet's processors"):
        make_plan(data, elsewhere=True)


def test_the_papers_figure_is_a_plan() -> None:
    found = read_plan(Path(__file__).parents[3] / "examples" / "figure2.toml")
    models, engines = {c.trial.model.zoo for c in found.cells}, {c.trial.engine for c in found.cells}
    assert models == {"wrn-40-2", "mobilenet-v1", "resnet-18", "inception-v3", "resnet-50"}
    assert {"openmp", "numpy", "peer:onnxruntime", "peer:openvino", "peer:tvm"} < engines
    assert len(found.cells) == len(models) * len(engines) and {c.trial.threads for c in found.cells} == {1}
