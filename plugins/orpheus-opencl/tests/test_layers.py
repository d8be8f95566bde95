"""Single layers whose tiles, blocks and borders do not divide, against the reference in float64; failures of steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

import orpheus_core as orpheus
from orpheus_core import discovery
from orpheus_core.errors import SelectionError, UsageError
from orpheus_core.geometry.cook_toom import FORMS
from orpheus_core.session import tune

pytest.importorskip("pyopencl", reason="pyopencl is not installed")
pytest.importorskip("orpheus_opencl", reason="orpheus-opencl is not installed")
pytest.importorskip("orpheus_numpy", reason="the reference is not installed")

import orpheus_opencl
from orpheus_opencl import conv as conv_module
from orpheus_opencl import gemm, manifest, tiles
from orpheus_opencl.device import opened


@dataclass
class Layer:
    """An operator, the shape of X, the shapes of its constants, attributes, and the kernel that is to run it."""

    op: str
    x: tuple[int, ...]
    kernel: str
    constants: tuple[tuple[int, ...], ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.kernel}-{self.x}-{self.constants}".replace(" ", "")


def conv(x: tuple[int, ...], w: tuple[int, ...], kernel: str = "Conv/direct", **attributes: Any) -> Layer:
    return Layer("Conv", x, kernel, (w, (w[0],)), attributes)


LAYERS = (
    conv((1, 20, 15, 17), (40, 20, 3, 3), pads=[1, 1, 1, 1]),
    conv((2, 33, 7, 7), (64, 33, 3, 3), pads=[1, 1, 1, 1]),
    conv((2, 32, 7, 7), (48, 32, 1, 1)),
    conv((1, 32, 14, 14), (32, 32, 1, 1), strides=[2, 2]),
    conv((1, 3, 33, 31), (24, 3, 7, 7), pads=[3, 3, 3, 3], strides=[2, 2]),
    conv((1, 16, 9, 8), (16, 16, 3, 2), pads=[0, 1, 2, 0], strides=[1, 3], dilations=[2, 1]),
    conv((2, 32, 9, 9), (64, 16, 3, 3), group=2),
    conv((1, 6, 9, 9), (9, 2, 3, 3), "Conv/plain", group=3, pads=[1, 1, 1, 1]),
    conv((2, 5, 40), (7, 5, 3), "Conv/plain", pads=[1, 0]),
    conv((2, 40, 15, 13), (40, 1, 3, 3), "Conv/depthwise", group=40, pads=[1, 1, 1, 1]),
    conv((1, 24, 15, 3), (24, 1, 5, 3), "Conv/depthwise", group=24, strides=[2, 2], pads=[2, 1, 2, 1]),
    *(conv((2, 20, 15, 17), (40, 20, 3, 3), f"Conv/winograd{n}", pads=[1, 0, 1, 1]) for n in (2, 4)),
    conv((1, 33, 3, 2), (16, 33, 3, 3), "Conv/winograd4", pads=[1, 1, 1, 1]),
    conv((1, 16, 70, 90), (80, 16, 3, 3), "Conv/winograd4"),
    conv((1, 20, 9, 11), (24, 20, 1, 3), "Conv/winograd4_1x3", pads=[0, 1, 0, 1]),
    conv((1, 20, 9, 11), (24, 20, 3, 1), "Conv/winograd4_3x1"),
    conv((1, 20, 9, 11), (24, 20, 5, 5), "Conv/winograd2_5x5", pads=[2, 2, 2, 2]),
    conv((1, 20, 9, 17), (24, 20, 1, 7), "Conv/winograd4_1x7", pads=[0, 3, 0, 3]),
    conv((2, 20, 17, 9), (24, 20, 7, 1), "Conv/winograd4_7x1", pads=[3, 0, 3, 0]),
    Layer("MatMul", (3, 1, 5, 37), "MatMul/panels", ((2, 37, 21),)),
    Layer("MatMul", (37,), "MatMul/panels", ((37, 21),)),
    Layer("Gemm", (13, 37), "Gemm/panels", ((21, 37), (21,)), {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Layer("Gemm", (37, 13), "Gemm/panels", ((37, 21), (13, 1)), {"transA": 1}),
    Layer("MaxPool", (2, 20, 11, 13), "MaxPool/blocked", (), {"kernel_shape": [3, 3], "strides": [2, 2]}),
    Layer("AveragePool", (1, 20, 11, 13), "AveragePool/blocked", (), {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0]}),
    Layer("GlobalAveragePool", (2, 20, 5, 3), "GlobalAveragePool/blocked"),
    Layer("Mul", (2, 3, 4, 37), "Mul/broadcast", ((3, 1, 37),)),
    Layer("Sub", (7, 1, 5), "Sub/broadcast", ((3, 1),)),
    Layer("Softmax", (3, 5, 7), "Softmax/lines", (), {"axis": 1}),
    Layer("ReduceMean", (3, 4, 5, 6), "ReduceMean/lines", (), {"axes": [1, 3], "keepdims": 0}),
    Layer("ReduceMax", (3, 4, 5), "ReduceMax/lines"),
    Layer("Transpose", (2, 3, 4, 5), "Transpose/strided", (), {"perm": [2, 0, 3, 1]}),
    Layer("LayerNormalization", (3, 5, 37), "LayerNormalization/lines", ((5, 37), (5, 37)), {"axis": 1}),
    Layer("InstanceNormalization", (2, 20, 7, 5), "InstanceNormalization/lines", ((20,), (20,))),
    Layer("InstanceNormalization", (2, 20, 7, 5), "InstanceNormalization/blocked", ((20,), (20,))),
)  # fmt: skip


def model(layer: Layer, dtype: int, stored: type = np.float32) -> Any:
    """``stored``: the type that constants are rounded to before they take the model's."""
    rng = np.random.default_rng(1)
    numpy_type = helper.tensor_dtype_to_np_dtype(dtype)
    constants = [
        numpy_helper.from_array(rng.standard_normal(shape).astype(stored).astype(numpy_type), f"c{i}")
        for i, shape in enumerate(layer.constants)
    ]
    node = helper.make_node(layer.op, ["x", *(c.name for c in constants)], ["y"], "layer", **layer.attributes)
    infos = [
        helper.make_tensor_value_info("x", dtype, layer.x),
        helper.make_tensor_value_info("y", dtype, None),
    ]
    graph = helper.make_graph([node], "g", infos[:1], infos[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("stored", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer(layer: Layer, stored: Any) -> None:
    pin = {"layer": f"opencl:{layer.kernel}"}
    dtype = helper.np_dtype_to_tensor_dtype(np.dtype(stored))
    session = orpheus.InferenceSession(
        model(layer, dtype, stored), providers=["opencl"], fallback="error", pin=pin
    )
    x = np.random.default_rng(0).standard_normal(layer.x).astype(stored)
    (got,) = session.run(None, {"x": x})
    exact = orpheus.InferenceSession(model(layer, TensorProto.DOUBLE, stored), providers=["numpy"])
    (wanted,) = exact.run(None, {"x": x.astype(np.float64)})
    assert got.shape == wanted.shape and got.dtype == stored
    # Sums of at most 40 * 9 products of standard normals: an error of 2^-24 of their size for each, times what the
    # kernel declares; and where halves are stored, one rounding of the result.
    form = FORMS.get(layer.kernel.partition("/")[2])
    rounding = 2.0**-11 if stored is np.float16 else 0.0
    np.testing.assert_allclose(got, wanted, rtol=1e-5 + rounding, atol=2e-5 * (form.factor if form else 1))


@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize("stored", [np.float32, np.float16], ids=["float32", "float16"])
@pytest.mark.parametrize("layer", [LAYERS[0], LAYERS[9], LAYERS[20]], ids=str)
def test_vectors_of_other_devices(
    layer: Layer, stored: Any, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (conv_module, gemm):
        monkeypatch.setattr(module, "lanes", lambda device: width)
    test_layer(layer, stored)


@pytest.fixture
def every_tile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The backend with the tiles of all kinds of devices, which are right on any."""
    monkeypatch.setattr(manifest, "tiles_of", lambda device: tiles.TILES)
    with discovery.override(keep_installed=True):
        discovery.register(orpheus_opencl.orpheus_backend())
        yield


@pytest.mark.usefixtures("every_tile")
@pytest.mark.parametrize("tile", tiles.TILES, ids=lambda t: t.name)
def test_direct_with_a_tile_of_its_own(tile: tiles.Tile) -> None:
    layer = conv((1, 20, 19, 17), (40, 20, 3, 3), f"Conv/{tile.name}", pads=[1, 1, 1, 1])
    if tile != tiles.tile(opened(0), 3, 19, 17):
        test_layer(layer, np.float32)
        return
    with pytest.raises(SelectionError, match="direct takes this tile here"):
        test_layer(layer, np.float32)


def test_a_tile_of_another_device_is_no_kernel_here() -> None:
    (foreign, *_) = (t for t in tiles.TILES if t not in tiles.tiles_of(opened(0)))
    with pytest.raises(UsageError, match=f"there is no kernel or backend 'opencl:Conv/{foreign.name}'"):
        test_layer(conv((1, 20, 19, 17), (40, 20, 3, 3), f"Conv/{foreign.name}"), np.float32)


def test_a_tile_larger_than_the_output_is_refused() -> None:
    tile = max(tiles.tiles_of(opened(0)), key=lambda t: t.columns)
    layer = conv((1, 20, 3, 3), (64, 20, 3, 3), f"Conv/{tile.name}")
    with pytest.raises(SelectionError, match=rf"columns >= \(.*{tile.columns}\), has \(4, 1, 1\)"):
        test_layer(layer, np.float32)


def test_tuning_measures_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORPHEUS_CACHE", str(tmp_path))
    proto = model(conv((1, 32, 8, 8), (32, 32, 1, 1)), TensorProto.FLOAT)
    report = tune(orpheus.InferenceSession(proto, providers=["opencl"], fallback="error"), seconds=0.001)
    (layer,) = (layer for layer in report.layers if layer.op == "Conv")
    timed = {kernel.kernel.partition("[")[0] for kernel in layer.kernels if kernel.seconds}
    wanted = [t.name for t in tiles.fitting(opened(0), 2, 1, 64) if t != tiles.tile(opened(0), 2, 1, 64)]
    assert wanted and {f"opencl:Conv/{name}" for name in ("direct", "plain", *wanted)} <= timed


def resized(layout: str, x: tuple[int, ...], sizes: tuple[int, ...], dtype: int, **attributes: Any) -> Any:
    """A Resize, between poolings of single elements where it is to lie in blocks."""
    end = "y" if layout == "plain" else "r"
    nodes = [
        helper.make_node(
            "Resize", ["x" if layout == "plain" else "p", "", "", "s"], [end], "layer", **attributes
        )
    ]
    if layout != "plain":
        first, last = (
            helper.make_node("MaxPool", [a], [b], kernel_shape=[1, 1]) for a, b in (("x", "p"), ("r", "y"))
        )
        nodes = [first, *nodes, last]
    infos = [helper.make_tensor_value_info("x", dtype, x), helper.make_tensor_value_info("y", dtype, None)]
    constants = [numpy_helper.from_array(np.array(sizes, np.int64), "s")]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


@pytest.mark.parametrize("layout", ["plain", "NCHW16c"])
@pytest.mark.parametrize(
    "attributes",
    [
        {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
        {"mode": "cubic", "exclude_outside": 1},
    ],
    ids=lambda a: a["mode"],
)
def test_resize(layout: str, attributes: dict[str, Any]) -> None:
    shape, sizes = (2, 20, 5, 7), (2, 20, 13, 6)
    proto = resized(layout, shape, sizes, TensorProto.FLOAT, **attributes)
    pin = {"layer": f"opencl:Resize/{'tables' if layout == 'plain' else 'blocked'}"}
    session = orpheus.InferenceSession(
        proto, providers=["opencl"], fallback="error", enable_passes=[], pin=pin
    )
    x = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    exact = resized("plain", shape, sizes, TensorProto.DOUBLE, **attributes)
    (wanted,) = orpheus.InferenceSession(exact, providers=["numpy"]).run(None, {"x": x.astype(np.float64)})
    # At most sixteen products of two weights, none above 1.2, and an element.
    np.testing.assert_allclose(session.run(None, {"x": x})[0], wanted, rtol=1e-6, atol=5e-6)


def test_concat_of_pieces_that_lie_apart() -> None:
    infos = [helper.make_tensor_value_info(n, 1, [2, 16, 5, 5]) for n in "xy"]
    kernel = [numpy_helper.from_array(np.ones((16, 1, 1, 1), np.float32), "w")]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "a", group=16),
        helper.make_node("Conv", ["y", "w"], ["b"], "b", group=16),
        helper.make_node("Concat", ["a", "b"], ["z"], "cat", axis=1),
    ]
    out = helper.make_tensor_value_info("z", 1, None)
    graph = helper.make_graph(nodes, "g", infos, [out], kernel)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = orpheus.InferenceSession(
        proto, providers=["opencl"], fallback="error", enable_passes=[], pin={"cat": "opencl:Concat/blocked"}
    )
    x, y = (np.random.default_rng(i).standard_normal((2, 16, 5, 5)).astype(np.float32) for i in range(2))
    np.testing.assert_array_equal(session.run(None, {"x": x, "y": y})[0], np.concatenate([x, y], 1))


def test_calls_from_threads_do_not_mix() -> None:
    from concurrent.futures import ThreadPoolExecutor

    session = orpheus.InferenceSession(model(LAYERS[2], TensorProto.FLOAT), providers=["opencl"])
    xs = [np.random.default_rng(i).standard_normal(LAYERS[2].x).astype(np.float32) for i in range(4)]
    wanted = [session.run(None, {"x": x})[0] for x in xs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            for got, want in zip(pool.map(lambda x: session.run(None, {"x": x})[0], xs), wanted):
                np.testing.assert_array_equal(got, want)
