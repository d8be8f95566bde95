"""ONNX's own backend tests, whole, with every pass and with none; and the runner that ONNX ships."""

from __future__ import annotations

import unittest
import warnings

import onnx.backend.test
import onnx_suite
import pytest

from orpheus_core import onnx_backend
from orpheus_core.errors import InputError, UnsupportedModelError

pytest.importorskip("orpheus_numpy")
pytest.importorskip("PIL", reason="ImageDecoder's cases need Pillow")


@pytest.mark.slow
def test_the_suite_passes_but_for_what_cannot_and_passes_change_nothing() -> None:
    simplified, bare = onnx_suite.run("all", None), onnx_suite.run("none", None)
    for result in (simplified, bare):
        unexpected = {**result.failed, **result.unsupported}.keys() - onnx_suite.EXPECTED.keys()
        assert not unexpected, {n: result.failed.get(n) or result.unsupported[n] for n in unexpected}
        assert len(result.passed) >= 2020
    # A case that draws random numbers is left out: now and then it draws the suite's own.
    assert (
        set(simplified.passed) - onnx_suite.EXPECTED.keys() == set(bare.passed) - onnx_suite.EXPECTED.keys()
    )


def test_onnx_own_runner_drives_the_module() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        suite = onnx.backend.test.BackendTest(onnx_backend, __name__)
        suite.include(r"^test_(relu|conv_with_strides|lstm_defaults)[a-z_]*_cpu$")
        result = unittest.TestResult()
        suite.test_suite.run(result)
    assert result.wasSuccessful()
    assert result.testsRun - len(result.skipped) >= 4


def test_run_node_and_run_model() -> None:
    np = pytest.importorskip("numpy")
    x = np.array([[-1.0, 2.0]], np.float32)
    node = onnx.helper.make_node("Relu", ["x"], ["y"])
    np.testing.assert_array_equal(onnx_backend.run_node(node, [x])[0], np.maximum(x, 0))
    infos = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 2]) for n in "xy"]
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", infos[:1], infos[1:]))
    model.opset_import[0].version = 21
    np.testing.assert_array_equal(onnx_backend.run_model(model, x)[0], np.maximum(x, 0))
    assert onnx_backend.supports_device("CPU")
    assert not onnx_backend.supports_device("CUDA")
    with pytest.raises(UnsupportedModelError, match="CUDA"):
        onnx_backend.prepare(model, "CUDA")
    with pytest.raises(InputError, match="2 inputs given, the model takes 1"):
        onnx_backend.prepare(model).run([x, x])
