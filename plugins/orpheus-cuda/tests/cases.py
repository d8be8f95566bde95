"""Single layers whose tiles, strips and shares do not divide, and the models that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from onnx import helper, numpy_helper


@dataclass
class Layer:
    """An operator, the shape of X, the shapes of its constants, attributes, and the kernel that is to run it."""

    op: str
    x: tuple[int, ...]
    kernel: str
    constants: tuple[Any, ...] = ()  # a shape, values, or None for an operand that is left out
    attributes: dict[str, Any] = field(default_factory=dict)
    dtype: str = "float32"
    runtime: bool = False  # constants come at run time
    options: dict[str, Any] = field(default_factory=dict)  # of the backend

    def __str__(self) -> str:
        shapes = [c if isinstance(c, tuple) else () if c is None else c.tolist() for c in self.constants]
        return f"{self.kernel}-{self.dtype}-{self.x}-{shapes}{'-late' if self.runtime else ''}".replace(
            " ", ""
        )


def conv(
    x: tuple[int, ...],
    w: tuple[int, ...],
    kernel: str = "Conv/implicit",
    dtype: str = "float32",
    **attributes: Any,
) -> Layer:
    late = attributes.pop("runtime", False)
    return Layer("Conv", x, kernel, (w, (w[0],)), attributes, dtype, late)


LAYERS = (
    conv((1, 20, 15, 17), (40, 20, 3, 3), pads=[1, 1, 1, 1]),
    conv((2, 33, 7, 7), (64, 33, 3, 3), pads=[1, 1, 1, 1]),
    conv((2, 32, 7, 7), (48, 32, 1, 1)),
    conv((1, 32, 14, 14), (32, 32, 1, 1), strides=[2, 2]),
    conv((1, 256, 4, 4), (40, 256, 3, 3), pads=[1, 1, 1, 1]),  # cut along K
    conv((1, 3, 33, 31), (24, 3, 7, 7), pads=[3, 3, 3, 3], strides=[2, 2]),
    conv((1, 16, 9, 8), (16, 16, 3, 2), pads=[0, 1, 2, 0], strides=[1, 3], dilations=[2, 1]),
    conv((2, 32, 9, 9), (64, 16, 3, 3), group=2),
    conv((1, 6, 9, 9), (9, 2, 3, 3), group=3, pads=[1, 1, 1, 1]),
    conv((2, 5, 40), (7, 5, 3), pads=[1, 0]),
    conv((1, 12, 9, 9), (10, 12, 3, 3), runtime=True, pads=[1, 1, 1, 1]),
    conv((2, 40, 9, 7), (72, 40, 3, 3), dtype="float16", pads=[1, 1, 1, 1]),
    conv((1, 3, 21, 19), (24, 3, 5, 5), dtype="float16", pads=[2, 2, 2, 2], strides=[2, 2]),
    conv((1, 512, 3, 3), (33, 512, 1, 1), dtype="bfloat16"),
    conv((1, 20, 15, 17), (40, 20, 3, 3), "Conv/implicit_2nd", pads=[1, 1, 1, 1]),
    conv((1, 20, 15, 17), (40, 20, 3, 3), "Conv/implicit_3rd", pads=[1, 1, 1, 1]),
    conv((1, 20, 15, 17), (40, 20, 3, 3), "Conv/winograd2", pads=[1, 1, 1, 1]),
    conv((2, 33, 7, 9), (24, 33, 3, 3), "Conv/winograd4", pads=[1, 0, 1, 1]),
    conv((2, 256, 4, 4), (40, 256, 3, 3), "Conv/winograd4", pads=[1, 1, 1, 1]),  # cut along K
    conv((1, 12, 5, 14), (8, 12, 1, 3), "Conv/winograd4_1x3", pads=[0, 1, 0, 1]),
    conv((1, 12, 14, 5), (8, 12, 3, 1), "Conv/winograd4_3x1", pads=[1, 0, 1, 0]),
    conv((1, 8, 9, 10), (12, 8, 5, 5), "Conv/winograd2_5x5", pads=[2, 2, 2, 2]),
    conv((1, 8, 3, 17), (12, 8, 1, 7), "Conv/winograd4_1x7", pads=[0, 3, 0, 3]),
    conv((1, 8, 17, 3), (12, 8, 7, 1), "Conv/winograd4_7x1", pads=[3, 0, 3, 0]),
    conv((2, 40, 15, 13), (40, 1, 3, 3), "Conv/depthwise", group=40, pads=[1, 1, 1, 1]),
    conv((1, 22, 15, 13), (22, 1, 5, 3), "Conv/depthwise", group=22, strides=[2, 2], pads=[2, 1, 2, 1]),
    conv((1, 8, 9, 9), (8, 1, 3, 3), "Conv/depthwise", "float16", group=8, dilations=[2, 2], pads=[2, 2, 2, 2]),
    Layer("Conv", (1, 24, 9, 9), "Conv/tf32", ((40, 24, 3, 3), (40,)), {"pads": [1] * 4}, options={"tf32": True}),
    Layer("MatMul", (9, 70), "MatMul/tf32", ((70, 33),), options={"tf32": True}),
    Layer("MatMul", (3, 1, 5, 37), "MatMul/tiles", ((2, 37, 21),)),
    Layer("MatMul", (3, 1, 5, 36), "MatMul/tiles", ((2, 36, 21),), runtime=True),
    Layer("MatMul", (2, 9, 64), "MatMul/tiles_2nd", ((64, 70),)),
    Layer("MatMul", (37,), "MatMul/tiles", ((37, 21),)),
    Layer("MatMul", (2, 9, 64), "MatMul/tiles", ((64, 70),), dtype="float16"),
    Layer("Gemm", (13, 37), "Gemm/tiles", ((21, 37), (21,)), {"transB": 1, "alpha": 0.5, "beta": 2.0}),
    Layer("Gemm", (37, 13), "Gemm/tiles", ((37, 21), (13, 1)), {"transA": 1}),
    Layer("Gemm", (1, 1024), "Gemm/tiles", ((1024, 100), (100,))),
    Layer("Mul", (2, 3, 4, 37), "Mul/broadcast", ((3, 1, 37),)),
    Layer("Sub", (7, 1, 5), "Sub/broadcast", ((3, 1),)),
    Layer("MaxPool", (2, 20, 11, 13), "MaxPool/windows", (), {"kernel_shape": [3, 3], "strides": [2, 2]}),
    Layer("AveragePool", (1, 20, 11, 13), "AveragePool/windows", (), {"kernel_shape": [3, 2], "pads": [1, 1, 1, 0]}),
    Layer("GlobalAveragePool", (2, 20, 5, 3), "GlobalAveragePool/lines"),
    Layer("Softmax", (3, 5, 7), "Softmax/lines", (), {"axis": 1}),
    Layer("LogSoftmax", (3, 300), "LogSoftmax/lines", (), {"axis": 1}),
    Layer("LayerNormalization", (3, 4, 37), "LayerNormalization/lines", ((37,), (37,)), {}),
    Layer("InstanceNormalization", (2, 6, 5, 7), "InstanceNormalization/lines", ((6,), (6,)), {}),
    Layer("GroupNormalization", (2, 6, 5, 7), "GroupNormalization/lines", ((6,), (6,)), {"num_groups": 3}),
    Layer("ReduceSum", (3, 4, 5, 6), "ReduceSum/lines", (np.array([1, 3]),), {"keepdims": 0}),
    Layer("ReduceMax", (3, 4, 500), "ReduceMax/lines", (np.array([2]),)),
    Layer("Transpose", (2, 3, 4, 5), "Transpose/tiles", (), {"perm": [2, 0, 3, 1]}),
    Layer("Transpose", (2, 35, 5, 9), "Transpose/tiles", (), {"perm": [0, 2, 3, 1]}),
    Layer("Concat", (2, 3, 5), "Concat/pieces", ((2, 7, 5), (2, 1, 5)), {"axis": 1}),
    Layer("Slice", (9, 11), "Slice/strided", tuple(map(np.array, ([8, 1], [-99, 10], [0, 1], [-2, 3])))),
    Layer("Expand", (3, 1, 4), "Expand/strided", (np.array([2, 3, 5, 4]),)),
    Layer("Tile", (3, 4), "Tile/strided", (np.array([2, 3]),)),
    Layer("DepthToSpace", (1, 8, 2, 3), "DepthToSpace/strided", (), {"blocksize": 2}),
    Layer("SpaceToDepth", (1, 2, 4, 6), "SpaceToDepth/strided", (), {"blocksize": 2}),
    Layer("Gather", (5, 6, 7), "Gather/rows", (np.array([[0, -1], [3, 3]]),), {"axis": 1}),
    Layer("GatherND", (5, 6, 7), "GatherND/rows", (np.array([[0, -1], [3, 3]]),)),
    Layer("Resize", (1, 3, 5, 4), "Resize/tables", (None, np.array([1, 1, 2, 1.5], np.float32)), {"mode": "linear"}),
    Layer("Resize", (1, 3, 5, 4), "Resize/tables", (None, np.array([1, 1, 2, 2], np.float32)), {"mode": "nearest"}),
    Layer("Pad", (2, 3, 4), "Pad/tables", (np.array([0, 1, 2, 0, 0, 2]),), {"mode": "reflect"}),
    Layer("Pad", (2, 3, 4), "Pad/tables", (np.array([0, 1, 2, 0, 0, -1]), ())),
    Layer("TopK", (3, 50, 2), "TopK/known", (np.array([7]),), {"axis": 1}),
    Layer("Add", (1, 8, 5, 5), "Add/broadcast", ((1, 8, 5, 5),), dtype="bfloat16"),
)  # fmt: skip

_NUMBERS = {"float32": 1, "float16": 10, "bfloat16": 16, "float64": 11}


def model(layer: Layer, dtype: str) -> tuple[Any, dict[str, Any]]:
    """The layer alone, computed in ``dtype`` on numbers that its own type has; and its inputs beside ``x``."""
    rng = np.random.default_rng(1)
    names, constants = [], []
    for i, given in enumerate(layer.constants):
        names.append("" if given is None else f"c{i}")
        values = (
            rounded(rng.standard_normal(given), layer.dtype).astype(kind(dtype))
            if isinstance(given, tuple)
            else given
        )
        if values is not None:
            constants.append(
                numpy_helper.from_array(np.ascontiguousarray(values).reshape(np.shape(values)), f"c{i}")
            )
    node = helper.make_node(
        layer.op, ["x", *names], ["y", *(["i"] if layer.op == "TopK" else [])], "layer", **layer.attributes
    )
    infos = [helper.make_tensor_value_info("x", _NUMBERS[dtype], layer.x)]
    if layer.runtime:
        infos += [helper.make_tensor_value_info(c.name, _NUMBERS[dtype], c.dims) for c in constants]
    out = helper.make_tensor_value_info("y", _NUMBERS[dtype], None)
    graph = helper.make_graph([node], "g", infos, [out], [] if layer.runtime else constants)
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 22)], ir_version=10)
    return proto, {c.name: numpy_helper.to_array(c) for c in constants if layer.runtime}


def kind(dtype: str) -> Any:
    return ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)


def rounded(values: Any, dtype: str) -> Any:
    """To what the narrow type has, so that both sides begin with the same numbers."""
    return np.asarray(values).astype(kind(dtype)).astype(np.float64)


def providers(layer: Layer) -> list[Any]:
    return [("cuda", layer.options)] if layer.options else ["cuda"]
