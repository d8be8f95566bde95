"""TVM's own: the tiles of its rule, logs of its tuner, processors, and what it does not import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from orpheus_experiments.accuracy.exact import error, evaluate
from orpheus_experiments.peers import ENGINES

from orpheus_core.errors import BackendError
from orpheus_core.peers import Peer, absence, source

(SPEC,) = (spec for spec in ENGINES if spec.name == "tvm")
if (_missing := absence(SPEC)) is not None:
    pytest.skip(_missing, allow_module_level=True)

import tvm  # noqa: E402
from orpheus_experiments.peers import tvm as peer  # noqa: E402
from orpheus_experiments.peers import tvm_log  # noqa: E402
from orpheus_experiments.peers.tvm_graph import fused  # noqa: E402
from orpheus_experiments.peers.tvm_schedule import Rule, tile  # noqa: E402


@pytest.fixture
def model(tmp_path):
    """A convolution, Clip, a pool, a matrix product and a Softmax over two rows."""
    random = np.random.default_rng(0)
    arrays = {
        "W": random.standard_normal((24, 3, 3, 3)) / 5,
        "b": random.standard_normal(24),
        "low": np.array(-0.5),
        "high": np.array(0.75),
        "G": random.standard_normal((12, 10)) / 3,
    }
    nodes = [
        helper.make_node("Conv", ["x", "W", "b"], ["c"], pads=[1, 0, 1, 2], strides=[2, 1]),
        helper.make_node("Clip", ["c", "low", "high"], ["d"]),
        helper.make_node("GlobalAveragePool", ["d"], ["e"]),
        helper.make_node("Reshape", ["e", "shape"], ["f"]),
        helper.make_node("MatMul", ["f", "G"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"], axis=-1),
    ]
    infos = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 11, 13)),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, (2, 10)),
    ]
    weights = [numpy_helper.from_array(a.astype(np.float32), n) for n, a in arrays.items()]
    weights.append(numpy_helper.from_array(np.array([2, 12]), "shape"))
    path = tmp_path / "model.onnx"
    _save(path, nodes, infos, weights)
    return path


@pytest.mark.parametrize(("lanes", "registers"), [(16, 32), (8, 16), (4, 16)])
@pytest.mark.parametrize(
    ("rows", "columns"), [(112, 64), (7, 512), (1, 1000), (149, 32), (14, 24), (5, 3), (1, 1)]
)
def test_tiles_have_no_rest_and_fit_the_registers(rows, columns, lanes, registers) -> None:
    height, width, vector = tile(rows, columns, lanes, registers)
    assert rows % height == columns % width == width % vector == 0
    assert vector <= lanes and vector & (vector - 1) == 0
    assert height * (width // vector) <= registers * 3 // 4


def test_tiles_fill_the_units_where_the_shape_lets_them() -> None:
    height, width, vector = tile(56, 64, 16, 32)
    assert vector == 16 and height * width // vector >= 16


def test_what_the_rule_does_not_fit_is_left_and_told(model, tmp_path) -> None:
    loaded, feeds, run = _loaded(model, tmp_path)
    assert error(run(), evaluate(model, feeds, tmp_path)) < 1e-5
    # Softmax alone has more than one reduction; Clip's bounds are part of the convolution.
    assert " functions by rule + 1 of " in loaded.engine.settings["schedule"]
    assert loaded.engine.settings["schedule"].endswith("functions plain")


def test_clip_ends_no_layout(model) -> None:
    module = fused(model, peer._target()[0])
    names = [variable.name_hint for variable in module.functions]
    assert any("conv2d" in n and "maximum" in n and "minimum" in n for n in names), names


def test_it_is_compiled_for_the_processor_that_is_named(model, tmp_path, monkeypatch) -> None:
    for name, value in SPEC.isa["avx2"].items():
        monkeypatch.setenv(name, value)
    if "x86_64" not in tvm.get_global_func("target.llvm_get_system_triple")():
        pytest.skip("another machine than x86-64")
    loaded, feeds, run = _loaded(model, tmp_path)
    assert "x86-64-v3 (AVX2)" in loaded.engine.settings["device"]
    assert error(run(), evaluate(model, feeds, tmp_path)) < 1e-5


def test_a_log_comes_before_the_rule(model, tmp_path, monkeypatch) -> None:
    log = _logged(model, tmp_path)
    monkeypatch.setenv(tvm_log.VARIABLE, str(log))
    loaded, feeds, run = _loaded(model, tmp_path)
    assert f"functions by the log {log} + " in loaded.engine.settings["schedule"]
    assert loaded.engine.settings["schedule"].startswith("1 of ")
    assert error(run(), evaluate(model, feeds, tmp_path)) < 1e-5


@pytest.mark.slow
def test_a_tuned_log_is_used(model, tmp_path, monkeypatch) -> None:
    for package in ("xgboost", "psutil", "cloudpickle"):
        pytest.importorskip(package)
    log = tmp_path / "log"
    asked = ["-m", "orpheus_experiments.peers.tvm", str(model), "--log", str(log), "--trials", "8"]
    # In a process of its own, as a user does: the tuner starts others.
    done = subprocess.run([sys.executable, *asked], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv(tvm_log.VARIABLE, str(log))
    loaded, feeds, run = _loaded(model, tmp_path)
    assert not loaded.engine.settings["schedule"].startswith("0 of ")
    assert error(run(), evaluate(model, feeds, tmp_path)) < 1e-5


def test_a_log_that_is_not_there_or_of_another_model(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(tvm_log.VARIABLE, str(tmp_path))
    with pytest.raises(BackendError, match=r"ORPHEUS_TVM_LOG.*database_tuning_record\.json.*--trials"):
        source(SPEC, model, tmp_path)
    (tmp_path / "database_workload.json").touch()
    (tmp_path / "database_tuning_record.json").touch()
    loaded, _, _ = _loaded(model, tmp_path)
    assert loaded.engine.settings["schedule"].startswith("0 of ")


def _cut(line: str) -> str:
    return line[: len(line) // 2]


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("tuning_record", _cut),
        ("tuning_record", lambda line: "{}"),  # which TVM takes for a list, and crashes
        ("tuning_record", lambda line: "[7" + line[2:]),
        ("tuning_record", lambda line: line.replace("Parallel", "Unheard")),
        ("workload", _cut),
        ("workload", lambda line: '["1", "AAAA"]'),
        ("workload", None),
    ],
)
def test_a_broken_log_is_an_error(model, tmp_path, monkeypatch, name, broken) -> None:
    log = _logged(model, tmp_path)
    file = log / f"database_{name}.json"
    if broken is None:
        file.unlink()
    else:
        line = file.read_text()
        assert broken(line) != line
        file.write_text(broken(line).rstrip() + "\n")
    monkeypatch.setenv(tvm_log.VARIABLE, str(log))
    with pytest.raises(BackendError, match="TVM does not read the log"):
        source(SPEC, model, tmp_path)


def test_a_tvm_that_crashes_at_logs_names_its_versions(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], -11, "", "Segfault")
    )
    with pytest.raises(BackendError, match=r"crashes \(exit status -11\).*apache-tvm-ffi \d.*pip install"):
        tvm_log.checked(tmp_path)


def test_a_tuner_that_gets_nothing_to_run_says_so(model, tmp_path, monkeypatch) -> None:
    pytest.importorskip("cloudpickle", reason="orpheus-experiments[tvm-tune] is not installed")
    from tvm.s_tir import meta_schedule

    made = meta_schedule.database.JSONDatabase(work_dir=str(_logged(model, tmp_path, seconds=1e10)))
    monkeypatch.setattr(peer, "find_spec", lambda name: name)
    monkeypatch.setattr(meta_schedule.relax_integration, "tune_relax", lambda *_: made)
    with pytest.raises(BackendError, match="none of its schedules"):
        peer.tune(model, tmp_path / "log", 1)


def test_without_the_tuners_packages_it_says_so(model, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(peer, "find_spec", lambda name: None)
    assert peer._main([str(model), "--log", str(tmp_path / "log"), "--trials", "1"]) == 1
    assert "xgboost" in (said := capsys.readouterr().err) and "tvm-tune" in said
    assert not (tmp_path / "log").exists()


def test_an_operator_that_is_not_imported_is_named(tmp_path) -> None:
    infos = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 8, 9)),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 2, 4, 4)),
    ]
    sizes = [numpy_helper.from_array(np.array(v), n) for n, v in (("image", [4, 4]), ("block", [2, 2]))]
    _save(tmp_path / "c.onnx", [helper.make_node("Col2Im", ["x", "image", "block"], ["y"])], infos, sizes)
    with pytest.raises(BackendError, match=r"TVM does not import c\.onnx.*Col2Im"):
        peer.convert(tmp_path / "c.onnx", tmp_path)


def test_without_a_compiler_it_says_so(model, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(tvm.support.cc, "get_cc", lambda: None)
    with pytest.raises(BackendError, match="C compiler"):
        source(SPEC, model, tmp_path)


def _logged(model, folder, seconds=1e-3):
    """A log that schedules the convolution as the rule does."""
    from tvm.s_tir import meta_schedule

    target, told = peer._target()
    tvm_log.checked(folder)  # where TVM does not write logs, it would crash below
    (convolution,) = (f for v, f in fused(model, target).functions.items() if "conv2d" in v.name_hint)
    function = tvm.IRModule({"main": convolution.with_attr("global_symbol", "main")})
    schedule = tvm.s_tir.Schedule(function)
    assert Rule(told["lanes"], told["registers"])(schedule)
    log = folder / "log"
    log.mkdir()
    records = meta_schedule.database.JSONDatabase(work_dir=str(log))
    workload = records.commit_workload(function)
    entry = meta_schedule.database.TuningRecord(schedule.trace, workload, [seconds], target, None)
    records.commit_tuning_record(entry)
    return log


def _loaded(path, folder):
    made = source(SPEC, path, folder)
    loaded = Peer(SPEC, made, 1)
    random = np.random.default_rng(1)
    feeds = {i.name: random.standard_normal(i.shape).astype(np.float32) for i in made.inputs}
    return loaded, feeds, loaded.bind(feeds)


def _save(path, nodes, infos, weights) -> None:
    graph = helper.make_graph(nodes, "made", infos[:1], infos[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
