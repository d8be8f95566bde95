"""Kernels of NVIDIA's libraries against stand-ins that compute what the libraries' documentation says."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import orpheus_cuda
import pytest
import stand_ins
from cases import kind, rounded
from onnx import helper, numpy_helper
from orpheus_cuda import cublaslt, cudnn, device

import orpheus_core as orpheus
from orpheus_core.plugin import Ready

_NUMBERS = {"float32": 1, "float16": 10, "bfloat16": 16, "float64": 11}
#: Of a result in each type, beside half a unit of the sum's own size.
UNITS = {"float32": 2.0**-22, "float16": 2.0**-10, "bfloat16": 2.0**-7}


@pytest.fixture
def libraries(emulated: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both are there."""

    def forget() -> None:
        gc.collect()
        cudnn._judged.cache_clear()
        cudnn._planned.cache_clear()
        cudnn._handles.clear()
        cublaslt._handles.clear()

    forget()
    made = stand_ins.Lt()
    monkeypatch.setattr(cublaslt, "library", lambda: made)
    monkeypatch.setattr(cudnn, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "cudnn", stand_ins.cudnn())
    stand_ins.CALLS.clear()
    yield
    forget()


def conv(dtype: str, x: Any, w: Any, *ends: str, **attributes: Any) -> tuple[Any, dict[str, Any]]:
    """X, a convolution with a bias, and then ``ends``: Add of another input, Relu, Clip to 0 and 1.

    All numbers are bfloat16's, so that they are the same in every type.
    """
    rng = np.random.default_rng(1)
    weights = {"w": w, "b": (w[0],)}
    constants = [
        numpy_helper.from_array(rounded(rng.standard_normal(s), "bfloat16").astype(kind(dtype)), n)
        for n, s in weights.items()
    ]
    nodes = [helper.make_node("Conv", ["x", "w", "b"], ["v0"], "layer", **attributes)]
    for i, end in enumerate(ends):
        more = {"Add": ["r"], "Clip": ["low", "high"]}.get(end, [])
        nodes.append(helper.make_node(end, [f"v{i}", *more], [f"v{i + 1}"], f"end{i}"))
    if "Clip" in ends:
        bounds = {"low": 0.0, "high": 1.0}
        constants += [numpy_helper.from_array(np.asarray(v, kind(dtype)), n) for n, v in bounds.items()]
    first = helper.make_model(
        helper.make_graph(
            nodes[:1], "g", [helper.make_tensor_value_info("x", _NUMBERS[dtype], x)],
            [helper.make_tensor_value_info("v0", _NUMBERS[dtype], None)], constants[:2],
        ),
        opset_imports=[helper.make_opsetid("", 22)],
    )  # fmt: skip
    shape = orpheus.InferenceSession(first, providers=["numpy"]).get_outputs()[0].shape
    infos = [helper.make_tensor_value_info("x", _NUMBERS[dtype], x)]
    feeds = {"x": x}
    if "Add" in ends:
        infos.append(helper.make_tensor_value_info("r", _NUMBERS[dtype], shape))
        feeds["r"] = tuple(shape)
    last = helper.make_tensor_value_info(f"v{len(ends)}", _NUMBERS[dtype], None)
    graph = helper.make_graph(nodes, "g", infos, [last], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    return model, {n: np.random.default_rng(2).standard_normal(s) for n, s in feeds.items()}


def check(build: Any, dtype: str, kernel: str, library: str) -> None:
    """Three runs of the layer by this kernel: one by one, recorded, replayed."""
    made, feeds = build(dtype)
    exact, _ = build("float64")
    feeds = {n: rounded(v, "bfloat16") for n, v in feeds.items()}
    op = kernel.partition("/")[0]
    kernel = f"ai.orpheus:{kernel}" if op.startswith("Fused") else kernel
    session: Any = orpheus.InferenceSession(
        made, providers=[("cuda", {"device": 0})], fallback="error", pin={op: f"cuda:{kernel}"}
    )
    (wanted,) = orpheus.InferenceSession(exact, providers=["numpy"]).run(None, feeds)
    assert f"cuda:{kernel}" in {row.kernel_id for row in session.kernel_plan()}
    for _ in range(3):
        (got,) = session.run(None, {n: v.astype(kind(dtype)) for n, v in feeds.items()})
        assert (np.abs(got.astype(np.float64) - wanted) <= UNITS[dtype] * (np.abs(wanted) + 8)).all()
    assert set(stand_ins.CALLS) == {library}


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("ends", [(), ("Relu",), ("Clip",), ("Add",), ("Add", "Relu")], ids="-".join)
def test_a_convolution_of_cudnn(ends: tuple[str, ...], dtype: str) -> None:
    def build(of: str) -> Any:
        return conv(of, (2, 10, 9, 8), (12, 5, 3, 2), *ends, group=2, strides=[2, 1], pads=[1, 0, 1, 1])

    check(build, dtype, f"{'FusedConv' if ends else 'Conv'}/cudnn", "cudnn")


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("ends", [(), ("Relu",), ("Add",), ("Add", "Relu")], ids="-".join)
def test_a_convolution_of_one_element_by_cublaslt(ends: tuple[str, ...], dtype: str) -> None:
    def build(of: str) -> Any:
        return conv(of, (2, 10, 7, 5), (13, 10, 1, 1), *ends)

    check(build, dtype, f"{'FusedConv' if ends else 'Conv'}/cublaslt", "cublaslt")


def product(dtype: str, op: str, *ends: str, **attributes: Any) -> tuple[Any, dict[str, Any]]:
    """[9, 14] times a constant [14, 11], for Gemm with C [11]."""
    rng = np.random.default_rng(3)
    shapes = {"b": (11, 14) if attributes.get("transB") else (14, 11), "c": (11,)}
    names = ["b", "c"] if op == "Gemm" else ["b"]
    constants = [
        numpy_helper.from_array(rounded(rng.standard_normal(shapes[n]), "bfloat16").astype(kind(dtype)), n)
        for n in names
    ]
    nodes = [helper.make_node(op, ["x", *names], ["v0"], "layer", **attributes)]
    nodes += [helper.make_node(end, [f"v{i}"], [f"v{i + 1}"]) for i, end in enumerate(ends)]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", _NUMBERS[dtype], (9, 14))],
        [helper.make_tensor_value_info(f"v{len(ends)}", _NUMBERS[dtype], None)], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    return model, {"x": rng.standard_normal((9, 14))}


@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("op", "ends", "attributes"),
    [
        ("MatMul", (), {}), ("MatMul", ("Relu",), {}), ("Gemm", (), {"transB": 1}),
        ("Gemm", ("Relu",), {"alpha": 0.5}), ("Gemm", (), {}),
    ],
)  # fmt: skip
def test_a_product_of_cublaslt(
    op: str, ends: tuple[str, ...], attributes: dict[str, Any], dtype: str
) -> None:
    check(
        lambda of: product(of, op, *ends, **attributes),
        dtype,
        f"{'Fused' * bool(ends)}{op}/cublaslt",
        "cublaslt",
    )


def test_what_is_installed_is_in_the_table_and_told(monkeypatch: pytest.MonkeyPatch, emulated: None) -> None:
    """Conformance judges what is there: a kernel that nothing here can run is no kernel of this machine."""

    def there() -> tuple[set[str], str]:
        names = {k.name for k in device.complete(orpheus_cuda.orpheus_backend()).kernels}
        answer = device.probe()
        assert isinstance(answer, Ready)
        return names & {"cudnn", "cublaslt"}, answer.detail

    names, told = there()
    assert not names and told.endswith("without cuDNN's frontend, without cuBLASLt")
    monkeypatch.setattr(cudnn, "find_spec", lambda name: name)
    names, told = there()
    assert names == {"cudnn"} and told.endswith("with cuDNN's frontend, without cuBLASLt")
    monkeypatch.setattr(cublaslt, "library", stand_ins.Lt)
    assert there()[0] == {"cudnn", "cublaslt"}
