"""Orpheus's own operators (domain ``ai.orpheus``): what fusion passes make of neighbouring standard operators.

Every one has an exact meaning in standard ONNX operators, given by its ``decompose``; a backend that lacks
a fused operator is offered those. The activation is named as in :mod:`orpheus_core.ops.activations`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import defs

from orpheus_core.errors import ModelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops.activations import activation_node
from orpheus_core.ops.build import make_node
from orpheus_core.ops.spec import ORPHEUS_DOMAIN, OpSpec
from orpheus_core.types import DType, TensorType

__all__ = ["SPECS"]

_Schema = defs.OpSchema
_FLOATS = ["tensor(float)", "tensor(double)", "tensor(float16)", "tensor(bfloat16)"]


def _attribute(name: str, default: Any, text: str) -> defs.OpSchema.Attribute:
    kind = onnx.AttributeProto.FLOATS if default == [] else None
    return _Schema.Attribute(name, onnx.helper.make_attribute(name, default, attr_type=kind), text)


_ACTIVATION = (
    _attribute("activation", "", "ONNX name of the activation applied last; empty for none."),
    _attribute("activation_params", [], "Its parameters, in the order of ops.activations."),
)


def _parameter(name: str, text: str, *, optional: bool = False) -> defs.OpSchema.FormalParameter:
    option = _Schema.FormalParameterOption.Optional if optional else _Schema.FormalParameterOption.Single
    return _Schema.FormalParameter(name, "T", text, param_option=option)


def _schema(
    name: str,
    doc: str,
    inputs: Sequence[defs.OpSchema.FormalParameter],
    outputs: Sequence[defs.OpSchema.FormalParameter],
    attributes: Sequence[defs.OpSchema.Attribute],
    types: Sequence[str] = _FLOATS,
) -> defs.OpSchema:
    return _Schema(
        name,
        ORPHEUS_DOMAIN,
        1,
        doc,
        inputs=inputs,
        outputs=outputs,
        type_constraints=[("T", types, "Element type of every operand.")],
        attributes=attributes,
    )


def _all_tensors() -> list[str]:
    constraint = defs.get_schema("Identity").type_constraints[0]
    return [text for text in constraint.allowed_type_strs if text.startswith("tensor(")]


def _attributes_of(op: str) -> list[Any]:
    return list(defs.get_schema(op).attributes.values())


class _Chain:
    """A decomposition being built: standard nodes that each take the running value first."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.operands = tuple(None if v is None else Value(v.name, v.type) for v in node.inputs)
        self.result = node.results[0]
        self.steps: list[Node] = []
        self.value: Value | None = None

    def operand(self, index: int) -> Value | None:
        """The graph input that stands for input ``index``, or None."""
        return self.operands[index] if index < len(self.operands) else None

    def fresh(self, suffix: str) -> Value:
        return Value(f"{self.result.name}_{suffix}", self.result.type)

    def start(self, op: str, count: int) -> None:
        """The node's own operator on its first ``count`` inputs."""
        own = {k: v for k, v in self.node.attributes.items() if not k.startswith("activation")}
        self.value = self.fresh(op.lower())
        inputs = [self.operand(i) for i in range(count)]
        self.steps.append(make_node(op, inputs, [self.value], own))

    def apply(self, op: str, other: Value | None, suffix: str) -> None:
        """``value = op(value, other)``, nothing when ``other`` is absent."""
        if other is not None:
            before, self.value = self.value, self.fresh(suffix)
            self.steps.append(make_node(op, [before, other], [self.value]))

    def scale_shift(self, scale: Value | None, shift: Value | None, trailing: int) -> None:
        """``value * scale + shift`` along the axis that ``trailing`` axes follow."""
        for op, operand in (("Mul", scale), ("Add", shift)):
            if operand is not None and trailing:
                axes = Value.constant(f"{operand.name}_axes", np.arange(1, trailing + 1, dtype=np.int64))
                wide_type = operand.type
                if isinstance(wide_type, TensorType) and wide_type.shape is not None:
                    wide_type = wide_type.with_shape((*wide_type.shape, *(1,) * trailing))
                wide = Value(f"{operand.name}_wide", wide_type)
                self.steps.append(make_node("Unsqueeze", [operand, axes], [wide]))
                operand = wide
            self.apply(op, operand, op.lower())

    def activate(self) -> None:
        name = str(self.node.attributes["activation"])
        if name and self.value is not None:
            parameters: Any = self.node.attributes["activation_params"]
            before, self.value = self.value, self.fresh("activation")
            self.steps.append(activation_node(name, parameters, before, self.value, self._dtype()))

    def graph(self, *outputs: Value | None) -> Graph:
        """The finished graph; only the outputs that the node has are kept."""
        kept = tuple(
            v for v, present in zip(outputs, self.node.outputs) if present is not None and v is not None
        )
        inputs = tuple(v for v in self.operands if v is not None)
        return Graph(inputs, kept, tuple(self.steps), self.node.name or self.node.op)

    def _dtype(self) -> DType | None:
        for value in (*self.node.results, *self.node.inputs):
            if value is not None and isinstance(value.type, TensorType):
                return value.type.dtype
        return None


def _rank(node: Node, *indices: int) -> int:
    """The rank of the first input among ``indices`` whose rank is known; ModelError when none is."""
    for index in indices:
        value = node.input(index)
        if value is not None and isinstance(value.type, TensorType) and value.type.rank is not None:
            return value.type.rank
    raise ModelError(
        f"{node.op_id} {node.name!r} needs the rank of its input, which is unknown; infer types first"
    )


def _decompose_conv(node: Node) -> Graph:
    chain = _Chain(node)
    chain.start("Conv", 3)
    chain.apply("Add", chain.operand(3), "sum")
    raw = chain.value
    if chain.operand(4) is not None or chain.operand(5) is not None:
        chain.scale_shift(chain.operand(4), chain.operand(5), _rank(node, 0, 1) - 2)
    chain.activate()
    return chain.graph(chain.value, raw)


def _decompose_gemm(node: Node) -> Graph:
    chain = _Chain(node)
    chain.start("Gemm", 3)
    chain.apply("Add", chain.operand(3), "sum")
    chain.activate()
    return chain.graph(chain.value)


def _decompose_matmul(node: Node) -> Graph:
    chain = _Chain(node)
    chain.start("MatMul", 2)
    chain.apply("Add", chain.operand(2), "biased")
    chain.apply("Add", chain.operand(3), "sum")
    chain.activate()
    return chain.graph(chain.value)


def _decompose_scale_shift(node: Node) -> Graph:
    chain = _Chain(node)
    axis = node.attributes["axis"]
    if not isinstance(axis, int):
        raise ModelError(f"{node.op_id} {node.name!r}: axis must be an integer, got {axis!r}")
    trailing = _rank(node, 0) - 1 - axis if axis >= 0 else -1 - axis
    chain.value = chain.operand(0)
    chain.scale_shift(chain.operand(1), chain.operand(2), trailing)
    chain.activate()
    return chain.graph(chain.value)


def _decompose_reorder(node: Node) -> Graph:
    chain = _Chain(node)
    chain.value = chain.fresh("same")
    chain.steps.append(make_node("Identity", [chain.operand(0)], [chain.value]))
    return chain.graph(chain.value)


_CONV = _schema(
    "FusedConv",
    "S = Conv(X, W) + B + R; Y = activation(S * scale + shift), per channel, or activation(S) without scale "
    "and shift. S is an output of its own only where something else reads it.",
    [
        _parameter("X", "Input of the convolution, [N, C, D1, ...]."),
        _parameter("W", "Weights, [M, C / group, k1, ...]."),
        _parameter("B", "Bias, [M].", optional=True),
        _parameter("R", "Residual, of exactly the shape of Y.", optional=True),
        _parameter("scale", "Scale after the residual, [M]; comes with shift.", optional=True),
        _parameter("shift", "Shift after the residual, [M]; comes with scale.", optional=True),
    ],
    [
        _parameter("Y", "The activated result, [N, M, D1', ...]."),
        _parameter("S", "The sum before scale, shift and activation; same shape.", optional=True),
    ],
    [*_attributes_of("Conv"), *_ACTIVATION],
)
_GEMM = _schema(
    "FusedGemm",
    "Y = activation(alpha * A' B' + beta * C + R).",
    [
        _parameter("A", "[M, K], or [K, M] when transA."),
        _parameter("B", "[K, N], or [N, K] when transB."),
        _parameter("C", "Unidirectionally broadcastable to [M, N].", optional=True),
        _parameter("R", "Residual, [M, N].", optional=True),
    ],
    [_parameter("Y", "[M, N].")],
    [*_attributes_of("Gemm"), *_ACTIVATION],
)
_MATMUL = _schema(
    "FusedMatMul",
    "Y = activation(MatMul(A, B) + bias + R).",
    [
        _parameter("A", "As in MatMul: [..., M, K]."),
        _parameter("B", "As in MatMul: [..., K, N]."),
        _parameter("bias", "[N], added along the last axis.", optional=True),
        _parameter("R", "Residual, of exactly the shape of Y.", optional=True),
    ],
    [_parameter("Y", "[..., M, N].")],
    list(_ACTIVATION),
)
_SCALE_SHIFT = _schema(
    "ScaleShift",
    "Y = activation(X * scale + shift), scale and shift along one axis: what BatchNormalization is in inference.",
    [
        _parameter("X", "Any rank that has the axis."),
        _parameter("scale", "[C], C being X's size along axis."),
        _parameter("shift", "[C]."),
    ],
    [_parameter("Y", "The shape of X.")],
    [_attribute("axis", 1, "The axis that scale and shift run along."), *_ACTIVATION],
)
_REORDER = _schema(
    "Reorder",
    "The same tensor in another memory layout (see types.Layout); the logical value does not change.",
    [_parameter("X", "Any tensor that both layouts fit.")],
    [_parameter("Y", "The same tensor.")],
    [
        _attribute("from_layout", "plain", "Name of the layout of X."),
        _attribute("to_layout", "plain", "Name of the layout of Y."),
    ],
    _all_tensors(),
)

#: The specs of the domain, in the order of this file.
SPECS: tuple[OpSpec, ...] = (
    OpSpec(_CONV, _decompose_conv),
    OpSpec(_GEMM, _decompose_gemm),
    OpSpec(_MATMUL, _decompose_matmul),
    OpSpec(_SCALE_SHIFT, _decompose_scale_shift),
    OpSpec(_REORDER, _decompose_reorder),
)
