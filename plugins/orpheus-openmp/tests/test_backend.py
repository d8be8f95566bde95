"""The backend as the core sees it: found, chosen, sealed, refused by name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from onnx import TensorProto, helper

import orpheus_core as orpheus
from orpheus_core.errors import BackendError, KernelError
from orpheus_core.plugin import Unavailable

isas = pytest.importorskip("orpheus_openmp.isa", reason="orpheus-openmp is not installed")
convolutions = pytest.importorskip("orpheus_openmp.conv", reason="orpheus-openmp is not installed")


def python(code, **variables):
    """What a fresh interpreter prints."""
    environment = {**os.environ, **variables}
    found = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def model(channels=24, size=12):
    """Conv, Relu, a residual, a pool, a strided convolution, a global average, a classifier."""
    rng = np.random.default_rng(0)

    def weights(name, *shape):
        values = (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)
        return helper.make_tensor(name, TensorProto.FLOAT, shape, values.tobytes(), raw=True)

    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "b"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Conv", ["e", "w2"], ["f"], strides=[2, 2]),
        helper.make_node("Sigmoid", ["f"], ["g"]),
        helper.make_node("GlobalAveragePool", ["g"], ["h"]),
        helper.make_node("Flatten", ["h"], ["i"]),
        helper.make_node("MatMul", ["i", "w3"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, size, size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 10])],
        [weights("w0", channels, 3, 3, 3), weights("w1", channels, channels, 3, 3),
         weights("w2", 2 * channels, channels, 3, 3), weights("w3", 2 * channels, 10)],
    )  # fmt: skip
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9
    ).SerializeToString()


X = np.random.default_rng(1).standard_normal((1, 3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_network_agrees_with_the_reference_and_is_one_segment(threads):
    session = orpheus.InferenceSession(
        model(), providers=["openmp", "numpy"], threads=threads, fallback="error"
    )
    (expected,) = orpheus.InferenceSession(model(), providers=["numpy"]).run(None, {"x": X})
    for _ in range(3):
        np.testing.assert_allclose(session.run(None, {"x": X})[0], expected, rtol=1e-4, atol=1e-5)
    (plan,) = session.executable.plans
    with session.executable.ready().context() as context:
        assert len(context.steps) == 1 < len(context.single_steps) == len(plan.program.operations)


def test_every_instruction_set_runs_a_network(tmp_path):
    (expected,) = orpheus.InferenceSession(model(), providers=["numpy"]).run(None, {"x": X})
    path = tmp_path / "model.onnx"
    path.write_bytes(model())
    np.save(tmp_path / "x.npy", X)
    code = f"""
        import numpy as np, orpheus_core as orpheus
        session = orpheus.InferenceSession({str(path)!r}, providers=["openmp", "numpy"], threads=1)
        print(session.run(None, {{"x": np.load({str(tmp_path / "x.npy")!r})}})[0].tolist())
    """
    for name in isas.available():
        got = np.array(json.loads(python(code, ORPHEUS_ISA=name)))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5)


def test_the_manifest_loads_no_native_code():
    code = """
        import sys, orpheus_openmp, orpheus_openmp.manifest
        print([m for m in sys.modules if m == "orpheus_openmp._native"])
    """
    assert python(code) == "[]"


def test_an_instruction_set_that_is_not_here_is_refused_by_name(monkeypatch):
    absent = "neon" if "neon" not in isas.available() else "avx512"
    monkeypatch.setenv("ORPHEUS_ISA", absent)
    with pytest.raises(BackendError, match=f"ORPHEUS_ISA={absent}.*it has .*generic"):
        isas.current()
    found = isas.probe()
    assert isinstance(found, Unavailable)
    assert "ORPHEUS_ISA" in found.fix
    monkeypatch.setenv("ORPHEUS_ISA", "sse9")
    with pytest.raises(BackendError, match="sse9 is no instruction set"):
        isas.current()


def test_without_its_module_the_backend_says_what_to_install():
    code = """
        import sys
        sys.modules["orpheus_openmp._native"] = None
        import orpheus_openmp
        from orpheus_openmp import isa
        backend, found = orpheus_openmp.orpheus_backend(), isa.probe()
        print(type(found).__name__, len(backend.kernels) > 50, "pip install" in found.fix)
    """
    assert python(code) == "Unavailable True True"


@pytest.fixture
def looked_for_anew():
    """Once found, the module is not checked again."""
    isas.native.cache_clear()
    yield isas.native.cache_clear
    isas.native.cache_clear()


def test_a_module_of_other_sources_is_refused_with_what_builds_it_anew(
    monkeypatch, tmp_path, looked_for_anew
):
    (tmp_path / "native").mkdir()
    (tmp_path / "native" / "args.hpp").write_text("newer")
    monkeypatch.setattr(isas, "_ROOT", tmp_path)
    found = isas.probe()
    assert isinstance(found, Unavailable)
    assert "was built from other sources" in found.reason
    assert found.fix == f"pip install --force-reinstall --no-deps {tmp_path}"
    (tmp_path / "native" / "args.hpp").unlink()  # an installed wheel
    monkeypatch.setattr(isas, "_ROOT", tmp_path / "elsewhere")
    looked_for_anew()
    assert not isinstance(isas.probe(), Unavailable)


def test_a_build_without_openmp_tells_its_threads(monkeypatch):
    from orpheus_core import processors

    monkeypatch.setattr(processors, "default_threads", lambda: 3)
    assert "3 threads" in isas.probe().detail
    monkeypatch.setattr(isas.native(), "has_openmp", False)
    assert "3 threads (built without OpenMP" in isas.probe().detail


def test_an_index_outside_is_an_error_of_the_session():
    """Indices that come at run time; the next run, with right ones, is not concerned."""
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("Gather", ["x", "i"], ["g"]), helper.make_node("Relu", ["g"], ["y"])], "g",
        [info("x", TensorProto.FLOAT, [5, 3]), info("i", TensorProto.INT64, [2])],
        [info("y", TensorProto.FLOAT, [2, 3])],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()
    session = orpheus.InferenceSession(made, providers=["openmp"], fallback="error")
    x = np.arange(15, dtype=np.float32).reshape(5, 3)
    with pytest.raises(KernelError, match="index 7 is outside an axis of 5 elements"):
        session.run(None, {"x": x, "i": np.array([1, 7])})
    np.testing.assert_array_equal(session.run(None, {"x": x, "i": np.array([1, -2])})[0], x[[1, -2]])


def test_a_wrong_array_cannot_reach_a_kernel(layers):
    x, w = np.zeros((1, 8, 5, 5), np.float32), np.zeros((8, 8, 1, 1), np.float32)
    places = {"layouts": (layers.blocked,), "out": (layers.blocked,), "constants": (1,)}
    problem = layers.problem("Conv", [x, w], [(1, 8, 5, 5)], **places)
    layer = convolutions.Pointwise(problem, layers.isa)
    shape = problem.inputs[0].layout.physical_shape((1, 8, 5, 5))
    right, y = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    layer.bind([right, None], [y], None)()
    wrong = [
        np.zeros((1, 8, 5, 5), np.float32), np.zeros(shape, np.float64),
        np.zeros((*shape[:-1], 2 * shape[-1]), np.float32)[..., ::2], None,
    ]  # fmt: skip
    for bad in wrong:
        with pytest.raises(KernelError, match="Conv x"):
            layer.bind([bad, None], [y], None)
    with pytest.raises(KernelError, match=r"Conv y was prepared for float32.*, got NoneType"):
        layer.bind([right, None], [None], None)
    frozen = y.copy()
    frozen.flags.writeable = False
    with pytest.raises(KernelError, match="read-only"):
        layer.bind([right, None], [frozen], None)


def test_native_steps_check_their_arguments():
    native, name = isas.native(), isas.available()[0]
    values = {"n": 1, "channels": 1, "plane": 1, "to_blocked": 1}
    with pytest.raises(ValueError, match="no kernel 'nothing'"):
        native.Step(name, "nothing", 1, values)
    with pytest.raises(TypeError, match="reorder needs plane"):
        native.Step(name, "reorder", 1, {k: v for k, v in values.items() if k != "plane"})
    with pytest.raises(TypeError, match="reorder has no argument size"):
        native.Step(name, "reorder", 1, {**values, "size": 3})
    with pytest.raises(ValueError, match="'mmx' is not usable here; there are: "):
        native.Step("mmx", "reorder", 1, values)


def test_segments_hold_steps_and_segments():
    native, name = isas.native(), isas.available()[0]
    block = isas.tile(name)[0]
    x, y, z = np.arange(3, dtype=np.float32), np.zeros((3, block), np.float32), np.zeros(3, np.float32)
    values = {"n": 1, "channels": 1, "plane": 3}
    there = native.Step(name, "reorder", 2, {**values, "to_blocked": 1, "x": x, "y": y})
    back = native.Step(name, "reorder", 2, {**values, "to_blocked": 0, "x": y, "y": z})
    both = native.Segment([native.Segment([there]), back])
    assert len(both) == 2
    both()
    np.testing.assert_array_equal(z, x)
    alone = native.Step(name, "reorder", 1, {**values, "to_blocked": 1, "x": x, "y": y})
    for steps in ([alone, back], [native.Segment([back]), alone], [alone, native.Segment([back])]):
        with pytest.raises(ValueError, match=r"one team; its steps are for . and . threads"):
            native.Segment(steps)


def test_weights_are_counted_as_they_are_packed():
    rng = np.random.default_rng(0)
    w = rng.standard_normal((64, 64, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], pads=[1] * 4)],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, 24, 24])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64, 24, 24])],
        [helper.make_tensor("w", TensorProto.FLOAT, w.shape, w.tobytes(), raw=True)],
    )
    whole = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)

    def weights(kernel):
        session = orpheus.InferenceSession(whole, providers=["openmp"], pin={"Conv": f"openmp:Conv/{kernel}"})
        return session.stats.weight_bytes

    assert weights("direct") == w.nbytes
    assert weights("winograd4") == w.nbytes // 9 * 36  # F(4,3) multiplies 6 x 6 sums of 3 x 3 taps
