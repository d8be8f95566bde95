"""float16: stored as halves, computed as floats, whether a device has cl_khr_fp16 or not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import orpheus_core as orpheus
from orpheus_core.errors import SelectionError
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType

pytest.importorskip("pyopencl", reason="pyopencl is not installed")
pytest.importorskip("orpheus_opencl", reason="orpheus-opencl is not installed")

from orpheus_opencl import limits

HALF, FLOAT = TensorProto.FLOAT16, TensorProto.FLOAT


def one(
    op: str, x: Any, target: int, constants: Sequence[Any] = (), version: int = 17, **attributes: Any
) -> Any:
    """A model of one layer; its input is as ``x`` is."""
    names = [f"c{i}" for i in range(len(constants))]
    given = [numpy_helper.from_array(c, n) for c, n in zip(constants, names)]
    node = helper.make_node(op, ["x", *names], ["y"], "layer", **attributes)
    source = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    graph = helper.make_graph(
        [node], "g", [source], [helper.make_tensor_value_info("y", target, None)], given
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=8)


def run(proto: Any, x: Any, **options: Any) -> Any:
    session = orpheus.InferenceSession(proto, providers=["opencl"], fallback="error", **options)
    return session.run(None, {"x": x})[0]


def halves() -> Any:
    """All that are numbers, the infinities and the denormal ones among them."""
    found = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    return found[~np.isnan(found)]


def test_every_half_is_read_and_written_as_it_is() -> None:
    x = halves()
    np.testing.assert_array_equal(run(one("Neg", x, HALF), x).view(np.uint16), (-x).view(np.uint16))
    assert np.isnan(run(one("Neg", x[:3], HALF), np.full(3, np.nan, np.float16))).all()


def test_a_cast_rounds_as_ieee_does() -> None:
    exact = halves()
    steps = np.sort(exact[np.isfinite(exact)]).astype(np.float32)
    rng = np.random.default_rng(0)
    ties = (steps[1:] + steps[:-1]) / 2
    near = np.nextafter(ties, np.where(rng.random(ties.size) < 0.5, np.inf, -np.inf).astype(np.float32))
    ends = np.array([65519.996, 65520, -65520, 1e9, np.inf, -np.inf, 0.0, -0.0, 2e-8, 4e-8], np.float32)
    x = np.concatenate([ties, near, ends])
    with np.errstate(over="ignore"):
        wanted = x.astype(np.float16)
    np.testing.assert_array_equal(
        run(one("Cast", x, HALF, to=HALF), x).view(np.uint16), wanted.view(np.uint16)
    )
    np.testing.assert_array_equal(run(one("Cast", exact, FLOAT, to=FLOAT), exact), exact.astype(np.float32))


def test_other_casts_are_refused() -> None:
    x = np.zeros(3, np.float32)
    with pytest.raises(SelectionError, match=r"T2.*(float16|int32)"):
        run(one("Cast", x, TensorProto.INT32, to=TensorProto.INT32), x, pin={"layer": "opencl:Cast/vector"})


def test_sums_are_made_in_float32() -> None:
    """Ones that are added up in halves stop at 2048."""
    x = np.ones((1, 4096), np.float16)
    weights = np.ones((4096, 1), np.float16)
    assert run(one("MatMul", x, HALF, [weights]), x).item() == 4096
    assert run(one("ReduceSum", x, HALF), x).item() == 4096
    plane = x.reshape(1, 1, 64, 64)
    assert run(one("Conv", plane, HALF, [np.ones((1, 1, 64, 64), np.float16)]), plane).item() == 4096


def test_a_normalisation_of_mixed_types_is_refused() -> None:
    half, single = (TensorType(DType(name), (2, 4)) for name in ("float16", "float32"))
    for inputs in ((half, single), (single, half)):
        problem = Problem("RMSNormalization", "", 23, {"axis": 0}, inputs, (inputs[1],))
        assert "needs X and scale of one type" in (limits.normal(problem) or "")


def test_a_scale_of_other_axes_is_refused() -> None:
    """As many elements as a line, but one for each line."""
    x = np.arange(9, dtype=np.float32).reshape(3, 3)
    pin = {"layer": "opencl:RMSNormalization/lines"}
    with pytest.raises(SelectionError, match=r"needs scale and bias of \[3\], has \[3, 1\]"):
        run(one("RMSNormalization", x, FLOAT, [np.ones((3, 1), np.float32)], 23), x, pin=pin)
    scale = np.array([[1.0, 2.0, 3.0]], np.float32)
    got = run(one("RMSNormalization", x, FLOAT, [scale], 23), x, pin=pin)
    wide = x.astype(np.float64)
    wanted = wide / np.sqrt((wide**2).mean(-1, keepdims=True) + 1e-5) * scale
    np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_a_chain_between_casts_runs_on_the_device() -> None:
    """As converters leave a float32 model: halves inside, casts at its ends."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((1, 20, 9, 9)).astype(np.float32)
    w, b = rng.standard_normal((24, 20, 3, 3)).astype(np.float16), rng.standard_normal(24).astype(np.float16)
    nodes = [
        helper.make_node("Cast", ["x"], ["h"], to=HALF),
        helper.make_node("Conv", ["h", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Cast", ["p"], ["y"], to=FLOAT),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", FLOAT, x.shape)],
        [helper.make_tensor_value_info("y", FLOAT, None)],
        [numpy_helper.from_array(w, "w"), numpy_helper.from_array(b, "b")],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    got = run(proto, x)
    padded = np.pad(x.astype(np.float16).astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
    summed = (
        np.einsum("ncpqrs,mcrs->nmpq", windows, w.astype(np.float64)) + b.astype(np.float64)[:, None, None]
    )
    wanted = np.maximum(summed, 0).mean((2, 3), keepdims=True)
    # Two roundings to halves: of the convolution, and of the mean.
    np.testing.assert_allclose(got, wanted, rtol=2 * 2.0**-11 + 1e-5)
