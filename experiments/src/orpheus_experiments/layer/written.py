"""A layer written down: ``Conv[1x64x56x56,k3]`` as a model of one layer, its weights drawn from a seed.

    layer    = op "[" shape ("," shape)? ("," setting)* "]" ("+" next)*
    shape    = size ("x" size)*
    setting  = letter size ("x" size)*  |  type
    op       = Conv | Depthwise | MaxPool | AveragePool | GlobalAveragePool | Gemm | MatMul
             | Add | Mul | Relu | Sigmoid | Tanh | HardSwish | Softmax
    next     = Relu | Relu6 | Sigmoid | Tanh | HardSwish | Add
    type     = float32 (default) | float16 | float64

The settings of each operator, with what holds where one is left out:

    Conv         k kernel (1), o filters (as many as channels), s stride (1), p pad on every side (what keeps the size
                 at stride 1), d dilation (1), g groups (1), b 1 with a bias, 0 without (1)
    Depthwise    as Conv without o and g: a filter for each channel
    MaxPool, AveragePool    k (2), s (as k), p (0)
    Gemm         MxK, then n columns of B (K), b as above; B is a constant
    MatMul       the shape of A, then n columns of B, a constant [K, n]; or a second shape: B is computed, too
    Add, Mul     one shape, or two that broadcast

One number after a letter stands for every axis: k3 is k3x3. ``+Relu`` and the like follow the layer and are fused
where a backend can; ``+Add`` adds a second input of the result's shape.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from orpheus_core.errors import UsageError

__all__ = ["OPERATORS", "WrittenLayer", "is_written", "parse_layer"]

NAME = "layer"
_TEXT = re.compile(r"\s*(?P<op>[A-Za-z]\w*)\s*\[(?P<inside>[^\[\]]*)\](?P<rest>(\s*\+\s*\w+)*)\s*")
_SHAPE = re.compile(r"\d+(x\d+)*")
_SETTING = re.compile(r"(?P<key>[a-z])(?P<sizes>\d+(x\d+)*)")
_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "float64": TensorProto.DOUBLE}
_WINDOW = {"Conv": "kospdgb", "Depthwise": "kspdb", "MaxPool": "ksp", "AveragePool": "ksp"}
#: Every operator and the settings that it takes.
OPERATORS: Mapping[str, str] = {
    **_WINDOW, "GlobalAveragePool": "", "Gemm": "nb", "MatMul": "n", "Add": "", "Mul": "", "Relu": "", "Sigmoid": "",
    "Tanh": "", "HardSwish": "", "Softmax": "",
}  # fmt: skip
_NEXT = ("Relu", "Relu6", "Sigmoid", "Tanh", "HardSwish", "Add")
_PAIRS = ("MatMul", "Add", "Mul")
_FROM_ZERO = "pb"
#: Elements of one operand: what a slip of the keyboard should not allocate.
_MOST = 1 << 28


@dataclass(frozen=True)
class WrittenLayer:
    """A layer as it was written; printing gives a text that parses to the same."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    settings: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    dtype: str = "float32"
    followers: tuple[str, ...] = ()

    def __str__(self) -> str:
        settings = [f"{k}{_times(v)}" for k, v in self.settings.items()]
        types = [self.dtype] if self.dtype != "float32" else []
        inside = ",".join([*map(_times, self.shapes), *settings, *types])
        return f"{self.op}[{inside}]" + "".join(f"+{f}" for f in self.followers)

    def model(self, seed: int = 0) -> onnx.ModelProto:
        """The model of the layer, its node named ``layer``; UsageError when the numbers do not fit each other."""
        return _Builder(self, seed).model()


def is_written(text: str) -> bool:
    """Whether the text is meant as a written layer, well formed or not, and not as a path."""
    return "[" in text and not text.endswith(".onnx")


def parse_layer(text: str) -> WrittenLayer:
    """The layer that a text stands for; UsageError that says what is wrong with it."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise UsageError(f'{text!r} is not a layer; write one like "Conv[1x64x56x56,k3]"')
    op = _known(match["op"], tuple(OPERATORS), "operator")
    shapes: list[tuple[int, ...]] = []
    settings: dict[str, tuple[int, ...]] = {}
    dtype = ""
    for part in filter(None, (p.strip() for p in match["inside"].split(","))):
        setting = _SETTING.fullmatch(part)
        if _SHAPE.fullmatch(part):
            if settings or dtype:
                raise UsageError(f"{text}: the shape {part} comes after a setting; shapes come first")
            shapes.append(_sizes(text, part))
        elif part in _TYPES:
            if dtype:
                raise UsageError(f"{text}: the type is given twice")
            dtype = part
        elif setting is not None and setting["key"] in OPERATORS[op]:
            if setting["key"] in settings:
                raise UsageError(f"{text}: {setting['key']} is given twice")
            settings[setting["key"]] = _sizes(text, setting["sizes"], low=setting["key"] not in _FROM_ZERO)
        else:
            takes = ", ".join(OPERATORS[op]) or "no settings"
            raise UsageError(f"{text}: {part!r} is neither a shape nor a type, and {op} takes {takes}")
    followers = tuple(
        _known(f.strip(), _NEXT, "operator after +") for f in match["rest"].split("+") if f.strip()
    )
    layer = WrittenLayer(op, tuple(shapes), settings, dtype or "float32", followers)
    _check(text, layer)
    return layer


def _sizes(text: str, part: str, *, low: bool = True) -> tuple[int, ...]:
    sizes = tuple(int(n) for n in part.split("x"))
    if low and 0 in sizes:
        raise UsageError(f"{text}: sizes are from 1 up, not {part}")
    if math.prod(sizes) > _MOST:
        raise UsageError(f"{text}: {part} is over the limit of {_MOST} elements")
    return sizes


def _known(name: str, names: tuple[str, ...], what: str) -> str:
    found = {n.lower(): n for n in names}.get(name.lower())
    if found is None:
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UsageError(f"{name!r} is no {what} that can be written; there are {', '.join(names)}{hint}")
    return found


def _check(text: str, layer: WrittenLayer) -> None:
    count = len(layer.shapes)
    if not 1 <= count <= (2 if layer.op in _PAIRS else 1):
        raise UsageError(
            f"{text}: {layer.op} takes {'one or two shapes' if layer.op in _PAIRS else 'one shape'}"
        )
    rank = len(layer.shapes[0])
    if (layer.op in _WINDOW or layer.op == "GlobalAveragePool") and rank < 3:
        raise UsageError(
            f"{text}: {layer.op} needs a shape like 1x64x56x56: batch, channels, then at least one axis"
        )
    if layer.op == "Gemm" and rank != 2:
        raise UsageError(f"{text}: Gemm needs a shape like 128x512: rows and columns of A")
    if layer.op == "MatMul" and (rank < 2 or any(len(s) < 2 for s in layer.shapes)):
        raise UsageError(f"{text}: MatMul needs shapes of at least two axes")
    if layer.op == "MatMul" and count == 2 and "n" in layer.settings:
        raise UsageError(f"{text}: with a second shape, n has nothing to say")
    for key, sizes in layer.settings.items():
        most = rank - 2 if key in "kspd" else 1
        if len(sizes) not in (1, most):
            raise UsageError(
                f"{text}: {key} takes one number{f' or {most}' if most > 1 else ''}, not {len(sizes)}"
            )
    if layer.settings.get("b", (0,))[0] > 1:
        raise UsageError(f"{text}: b is 1 (with a bias) or 0")


def _times(sizes: tuple[int, ...]) -> str:
    return "x".join(map(str, sizes))


class _Builder:
    def __init__(self, layer: WrittenLayer, seed: int) -> None:
        self.layer = layer
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.inputs = {"x": layer.shapes[0]}

    def model(self) -> onnx.ModelProto:
        make = {"Conv": self.conv, "Depthwise": self.conv, "MaxPool": self.pool, "AveragePool": self.pool,
                "Gemm": self.gemm, "MatMul": self.matmul, "Add": self.pair, "Mul": self.pair}  # fmt: skip
        make.get(self.layer.op, self.unary)()
        found = self.infer()
        for number, follower in enumerate(self.layer.followers):
            self.follow(follower, found.graph.output[0], number)
            found = self.infer()
        return found

    def one(self, key: str, default: int) -> int:
        return self.layer.settings.get(key, (default,))[0]

    def axes(self, key: str, default: tuple[int, ...]) -> list[int]:
        sizes = self.layer.settings.get(key, default)
        rank = len(self.layer.shapes[0]) - 2
        return list(sizes) * rank if len(sizes) == 1 else list(sizes)

    def constant(self, name: str, shape: tuple[int, ...], scale: float = 1.0) -> str:
        array = self.random.standard_normal(shape) * scale
        dtype = helper.tensor_dtype_to_np_dtype(_TYPES[self.layer.dtype])
        self.constants.append(numpy_helper.from_array(array.astype(dtype), name))
        return name

    def node(self, op: str, inputs: list[str], **attributes: Any) -> None:
        name = NAME if not self.nodes else f"{NAME}.{op}{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [f"y{len(self.nodes)}"], name, **attributes))

    def conv(self) -> None:
        channels = self.layer.shapes[0][1]
        group = channels if self.layer.op == "Depthwise" else self.one("g", 1)
        filters = channels if self.layer.op == "Depthwise" else self.one("o", channels)
        if channels % group or filters % group:
            raise UsageError(
                f"{self.layer}: {group} groups divide neither {channels} channels nor {filters} filters"
            )
        kernel, dilations = self.axes("k", (1,)), self.axes("d", (1,))
        same = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilations))
        pads = self.axes("p", same)
        shape = (filters, channels // group, *kernel)
        inputs = ["x", self.constant("W", shape, 1 / math.sqrt(math.prod(shape[1:])))]
        if self.one("b", 1):
            inputs.append(self.constant("B", (filters,)))
        self.node(
            "Conv", inputs, kernel_shape=kernel, strides=self.axes("s", (1,)), dilations=dilations, group=group,
            pads=pads * 2,
        )  # fmt: skip

    def pool(self) -> None:
        kernel = self.axes("k", (2,))
        self.node(
            self.layer.op, ["x"], kernel_shape=kernel, strides=self.axes("s", tuple(kernel)),
            pads=self.axes("p", (0,)) * 2,
        )  # fmt: skip

    def gemm(self) -> None:
        depth = self.layer.shapes[0][1]
        columns = self.one("n", depth)
        inputs = ["x", self.constant("B", (depth, columns), 1 / math.sqrt(depth))]
        if self.one("b", 1):
            inputs.append(self.constant("C", (columns,)))
        self.node("Gemm", inputs)

    def matmul(self) -> None:
        if len(self.layer.shapes) == 2:
            self.pair()
            return
        depth = self.layer.shapes[0][-1]
        self.node("MatMul", ["x", self.constant("B", (depth, self.one("n", depth)), 1 / math.sqrt(depth))])

    def pair(self) -> None:
        self.inputs["z"] = self.layer.shapes[-1]
        self.node(self.layer.op, ["x", "z"])

    def unary(self) -> None:
        self.node(self.layer.op, ["x"])

    def follow(self, op: str, value: onnx.ValueInfoProto, number: int) -> None:
        before = self.nodes[-1].output[0]
        if op == "Relu6":
            dtype = helper.tensor_dtype_to_np_dtype(_TYPES[self.layer.dtype])
            bounds = [f"low{number}", f"high{number}"]
            for name, bound in zip(bounds, (0.0, 6.0)):
                self.constants.append(numpy_helper.from_array(np.asarray(bound, dtype), name))
            self.node("Clip", [before, *bounds])
        elif op == "Add":
            other = f"r{number}"
            self.inputs[other] = tuple(d.dim_value for d in value.type.tensor_type.shape.dim)
            self.node("Add", [before, other])
        else:
            self.node(op, [before])

    def infer(self) -> onnx.ModelProto:
        """The model so far, with the shape of its result."""
        kind = _TYPES[self.layer.dtype]
        result = helper.make_tensor_value_info(self.nodes[-1].output[0], kind, None)
        inputs = [helper.make_tensor_value_info(n, kind, s) for n, s in self.inputs.items()]
        graph = helper.make_graph(self.nodes, str(self.layer), inputs, [result], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        try:
            found = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception as error:
            raise UsageError(
                f"{self.layer}: its numbers do not fit: {' '.join(str(error).split())[:300]}"
            ) from None
        dims = [d.dim_value for d in found.graph.output[0].type.tensor_type.shape.dim]
        if any(d < 1 for d in dims) or math.prod(dims) > _MOST:
            raise UsageError(f"{self.layer}: its result would have the shape {dims}")
        return found
