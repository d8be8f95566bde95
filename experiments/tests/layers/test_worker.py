"""The processes behind the layer study and the sides of a bisection, looked at from within."""

from __future__ import annotations

import numpy as np
import pytest
import toys
from orpheus_experiments.bisect.side import SessionSide, Setting, observed
from orpheus_experiments.layer import study_layer, study_network
from orpheus_experiments.layer.stand import Timing
from orpheus_experiments.layer.worker import Ask, Worker

import orpheus_core as core
from orpheus_core import discovery
from orpheus_core.errors import UsageError
from orpheus_core.graph import Node, Value
from orpheus_core.process import Child, ChildError
from orpheus_core.selection.candidates import problem_of
from orpheus_core.types import DType, TensorType

X = np.random.default_rng(0).standard_normal((1, 20, 6, 6)).astype(np.float32)
CHAIN = [("Neg", ["x"], "a"), ("Relu", ["a"], "b"), ("Neg", ["b"], "c")]


def relu_problem():
    type_ = TensorType(DType.FLOAT32, X.shape)
    return problem_of(Node("Relu", (Value("x", type_),), (Value("y", type_),), {}, "relu", version=14))


def test_a_child_answers_and_raises_what_it_raised() -> None:
    with Child("orpheus_experiments.layer.worker:Worker", (toys.plain(),), 1, timeout=60) as child:
        labels = child.call("take", Ask(relu_problem(), (X,), None, 0))
        assert labels == ("plain:Relu/p",)
        assert child.call("prepare", 0).errors is None
        with pytest.raises(ChildError, match="IndexError") as caught:
            child.call("prepare", 7)
        assert caught.value.kind == "failed"
        assert len(child.call("turn", 0, 2, 0.0)) == 2, "it lives on"
    with pytest.raises(UsageError, match="no backend to select from"):
        Child("orpheus_experiments.layer.worker:Worker", (), 1, timeout=60)


@pytest.mark.parametrize("backend", [toys.plain(), toys.blocked(), toys.device()], ids=lambda b: b.name)
def test_every_layout_and_device_gives_the_layer_s_result(backend) -> None:
    worker = Worker(lambda text: None, [backend], 1)
    problem = relu_problem()
    labels = worker.take(Ask(problem, (X,), (np.maximum(X.astype(np.float64), 0),), 1024))
    assert len(labels) == 1 and backend.name in labels[0]
    fact = worker.prepare(0)
    assert fact.errors == ((0.0, 0.0),)
    assert len(worker.turn(0, 3, 0.0)) == 3
    wrong = worker.take(Ask(problem, (X,), (np.maximum(X.astype(np.float64), 0.5),), 0))
    assert wrong == labels and worker.prepare(0).errors[0][0] == pytest.approx(0.5)


def test_conversions_are_measured() -> None:
    worker = Worker(lambda text: None, [toys.plain()], 1)
    type_, home = TensorType(DType.FLOAT32, X.shape), ("plain", core.types.Device())
    assert worker.convert(type_, home, ("NCHW16c", core.types.Device())) > 0


def test_a_session_s_side_sees_plain_values_of_any_layout_and_device(tmp_path) -> None:
    import onnx

    path = tmp_path / "m.onnx"
    onnx.save(toys.model(CHAIN, [1, 20, 6, 6], ["c"]), path)
    for backend in (toys.blocked(), toys.device()):
        with discovery.override(backend, toys.plain(relu="toys:cost_1000")):
            side = SessionSide(lambda text: None, Setting(str(path), backend.name, {}, 1, {}))
            found = side.capture({"x": X})
        assert found.makers["b"].kernel.startswith(f"{backend.name}:Relu/")
        np.testing.assert_array_equal(found.values["b"], np.maximum(-X, 0))
        np.testing.assert_array_equal(found.values["c"], found.outputs[0])
        assert found.values.keys() == {"a", "b", "c"}, "conversions give no values of their own"


def test_a_model_is_observed_where_it_has_the_value(tmp_path) -> None:
    import onnx

    source, target = tmp_path / "m.onnx", tmp_path / "o.onnx"
    onnx.save(toys.model(CHAIN, [2, 3], ["c"]), source)
    assert observed(str(source), ["b", "nonesuch", "c", "a"], target) == ["c", "b", "a"]
    onnx.checker.check_model(str(target), full_check=True)


def test_both_studies_from_python() -> None:
    """With backends that are registered and not installed: they cross to the worker as data."""
    model = toys.model(CHAIN, [1, 20, 6, 6], ["c"])
    with discovery.override(toys.plain(), toys.blocked(cost="toys:cost_1000")):
        session = core.InferenceSession(model, threads=1)
        quick = Timing(rounds=2, seconds=0.01)
        study = study_layer(session, "b", {"x": X}, timing=quick)
        network = study_network(session, {"x": X}, timing=quick)
        assert session.run(None, {"x": X})[0].shape == X.shape
        with pytest.raises(UsageError, match="close to it: b"):
            study_layer(session, "bb", {"x": X})
    assert {r.kernel for r in study.rows} == {"plain:Relu/p", "blocked:Relu/b[NCHW16c]"}
    assert all(r.status == "ok" for r in study.rows), study.rows
    assert study.best is study.rows[0]
    assert [x.node for x in network.layers] == ["a", "b", "c"] and network.distinct == 2
    assert network.seconds > 0
