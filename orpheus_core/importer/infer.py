"""Types of values: one node at a time, by ONNX's own inference function of the operator.

``onnx.shape_inference.infer_shapes`` is never called: it copies weights and can hang. Per node the work is bounded,
and equal nodes (same operator, attributes, input types and small constants) are answered from a cache.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from onnx.shape_inference import infer_node_outputs

from orpheus_core.errors import LimitError, ModelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer import propagate, validate
from orpheus_core.importer.attributes import attribute_kind, write_attribute
from orpheus_core.importer.infer_control import CONTROL_FLOW
from orpheus_core.importer.limits import Limits
from orpheus_core.importer.protos import check_size, read_type, write_type
from orpheus_core.importer.tensors import write_tensor
from orpheus_core.ops.spec import OpSpec, find_spec
from orpheus_core.types import (
    UNKNOWN,
    Array,
    DType,
    TensorType,
    UnknownType,
    ValueType,
    type_of_array,
)

# Operators whose output shape depends on the value of a float input.
_FLOAT_SHAPED = frozenset(("Resize", "Range", "Upsample"))
_MOST_FLOATS = 16
# Functions of ONNX without shape inference, whose one result is of their first input's type.
_SHAPED_AS_X = frozenset(("GroupNormalization",))
# Of these, and of the second ones where all inputs are of one type, ONNX finds the first input's type again, in 20
# microseconds instead of one.
_ELEMENTWISE = frozenset((
    "Abs", "Ceil", "Celu", "Clip", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity",
    "LeakyRelu", "Log", "Mish", "Neg", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign",
    "Sqrt", "Swish", "Tanh", "ThresholdedRelu",
))  # fmt: skip
_BROADCASTING = frozenset(("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min", "Sum", "Mean"))
# Sizes are checked where the node is known.
_UNCHECKED = Limits(rank=10**6, value_bytes=2**62 * 2**62)
# Node inferences spent on repeating loop bodies.
_MOST_REPEATS = 50_000


class Inference:
    """Infers types in place, node by node in order, remembering small integer values on the way."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.known: dict[Value, Array] = {}
        self._repeated = 0

    def graph(self, graph: Graph) -> None:
        """Set the type of everything the graph's nodes compute, subgraphs included."""
        for node in graph.nodes:
            self.node(node)

    def again(self, graph: Graph) -> None:
        """Infer a body once more. Nested loops multiply such repeats, so LimitError bounds them."""
        self._repeated += len(graph.nodes)
        if self._repeated > _MOST_REPEATS:
            raise LimitError(f"graph {graph.name!r}: types of nested loops did not settle; name their shapes")
        self.graph(graph)

    def node(self, node: Node) -> None:
        """Set the types of the node's outputs. Raises ModelError when its operands contradict the operator."""
        for value in node.inputs:
            if value is not None and value.const is not None and propagate.is_small(value.const):
                self.known.setdefault(value, value.const)
        types = self._output_types(node)
        for value, type_ in zip(node.outputs, types):
            if value is not None:
                check_size(type_, f"{describe(node)}: output {value.name!r}", self.limits)
                value.type = type_
        result = propagate.evaluate(node, self.known)
        for value in node.results:
            self.known.pop(value, None)  # a body is inferred again with vaguer types until they settle
        if result is not None and node.outputs[0] is not None:
            self.known[node.outputs[0]] = result

    def _output_types(self, node: Node) -> tuple[ValueType, ...]:
        control = CONTROL_FLOW.get(node.op) if not node.domain else None
        if control is not None:
            return control(node, self)
        spec = find_spec(node.domain, node.op, node.version)
        if spec is None:
            return (UNKNOWN,) * len(node.outputs)
        if spec.infer is not None or spec.decompose is not None:
            try:
                return spec.infer(node) if spec.infer is not None else self._through_parts(node, spec)
            except (ValueError, LookupError, TypeError, ArithmeticError) as error:
                raise ModelError(
                    f"{describe(node)}: its operands or attributes do not fit: {error}"
                ) from error
        value = node.attributes.get("value")
        if node.op == "Constant" and isinstance(value, np.ndarray):
            return (type_of_array(value),)
        first = node.inputs[0] if node.inputs else None
        if node.op in _SHAPED_AS_X and not node.domain and first is not None and not _is_vague(first.type):
            return (first.type,)
        if first is not None and _keeps_type(node, spec):
            return (first.type,)
        unknown = any(v is not None and _is_vague(v.type) for v in node.inputs)
        if unknown or not spec.schema.has_type_and_shape_inference_function:
            return _by_constraint(node, spec)
        return _by_onnx(
            node.op,
            node.domain,
            spec.version,
            _frozen_attributes(node),
            tuple(None if v is None else v.type for v in node.inputs),
            self._constants(node),
            tuple(v is not None for v in node.outputs),
            describe(node),
        )

    def _constants(self, node: Node) -> tuple[tuple[int, _Small], ...]:
        found = []
        for index, value in enumerate(node.inputs):
            if value is None:
                continue
            array = self.known.get(value)
            if array is None and node.op in _FLOAT_SHAPED and value.const is not None:
                array = value.const if value.const.size <= _MOST_FLOATS else None
            if array is not None:
                found.append((index, _Small(array)))
        return tuple(found)

    def _through_parts(self, node: Node, spec: OpSpec) -> tuple[ValueType, ...]:
        assert spec.decompose is not None
        parts = spec.decompose(node)
        given = (v for v in node.inputs if v is not None)
        for inner, outer in zip(parts.inputs, given):
            if inner is not outer:
                inner.type = outer.type
                if outer in self.known:
                    self.known[inner] = self.known[outer]
        for part in parts.nodes:
            validate.check(part, describe(node))
            self.node(part)
        results = iter(v.type for v in parts.outputs)
        return tuple(UNKNOWN if v is None else next(results) for v in node.outputs)


def infer_types(graph: Graph, limits: Limits | None = None) -> Graph:
    """Infer the types of all computed values anew, in place, and return the graph.

    Types of graph inputs and constants are taken as given. A value whose type cannot be told becomes UNKNOWN, or keeps
    its element type with an unknown shape. Raises ModelError naming the first node whose operands do not fit.
    """
    Inference(limits).graph(graph)
    return graph


def describe(node: Node) -> str:
    """``node 'conv1' (Conv)``, for messages."""
    name = node.name or next((v.name for v in node.results), "")
    return f"node {name!r} ({node.op_id})"


class _Small:
    """A small array that compares by content, as a part of a cache key."""

    __slots__ = ("array", "key")

    def __init__(self, array: Array) -> None:
        self.array = array
        self.key = (array.dtype.num, array.shape, array.tobytes())

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Small) and self.key == other.key


def _is_vague(type_: ValueType) -> bool:
    while not isinstance(type_, (TensorType, UnknownType)):
        type_ = type_.value if hasattr(type_, "value") else type_.element
    return isinstance(type_, UnknownType)


def _keeps_type(node: Node, spec: OpSpec) -> bool:
    """Whether it is plain that the one result is of the first input's type, which the operator allows."""
    first, *others = [v.type for v in node.inputs if v is not None]
    if node.domain or not isinstance(first, TensorType):
        return False
    if node.op in _ELEMENTWISE:
        alike = all(isinstance(t, TensorType) and t.dtype == first.dtype for t in others)
    else:
        alike = node.op in _BROADCASTING and first.is_static and all(t == first for t in others)
    name = spec.constraint_of_input(0) if alike else None
    return name is not None and first.dtype in spec.type_constraints[name]


def _frozen_attributes(node: Node) -> tuple[tuple[str, Any], ...]:
    frozen: list[tuple[str, Any]] = []
    value: Any
    for name, value in node.attributes.items():
        if isinstance(value, Graph):
            continue
        if isinstance(value, np.ndarray):
            # Only the type of a large tensor attribute can matter to types.
            value = _Small(value if value.size <= propagate.LARGEST else value.reshape(-1)[:1])
        frozen.append((name, value))
    return tuple(frozen)


@lru_cache(maxsize=8192)
def _cached_outputs(
    op: str,
    domain: str,
    version: int,
    attributes: tuple[tuple[str, Any], ...],
    inputs: tuple[ValueType | None, ...],
    constants: tuple[tuple[int, _Small], ...],
    outputs: tuple[bool, ...],
) -> tuple[ValueType, ...] | str:
    spec = find_spec(domain, op, version)
    assert spec is not None
    proto = onnx.NodeProto(op_type=op, domain=domain)
    proto.input.extend("" if t is None else f"i{n}" for n, t in enumerate(inputs))
    proto.output.extend(f"o{n}" if present else "" for n, present in enumerate(outputs))
    proto.attribute.extend(_written(spec, name, value) for name, value in attributes)
    types = {f"i{n}": write_type(t) for n, t in enumerate(inputs) if t is not None}
    data = {f"i{n}": write_tensor(small.array) for n, small in constants}
    imports = [onnx.OperatorSetIdProto(domain=domain, version=version)]
    try:
        found = infer_node_outputs(spec.schema, proto, types, data, None, imports)
    except Exception as error:  # onnx raises InferenceError and, from its C++ side, several others
        return str(error).strip() or type(error).__name__
    result = []
    for number in range(len(outputs)):
        name = f"o{number}"
        result.append(read_type(found[name], f"output {number}", _UNCHECKED) if name in found else UNKNOWN)
    return tuple(result)


@lru_cache(maxsize=1024, typed=True)
def _written(spec: OpSpec, name: str, value: Any) -> onnx.AttributeProto:
    """An attribute as a message, not to be changed: networks have few different ones."""
    proto = onnx.AttributeProto()
    plain = value.array if isinstance(value, _Small) else value
    write_attribute(name, plain, attribute_kind(spec, name, plain), proto)
    return proto


def _by_onnx(*key: Any) -> tuple[ValueType, ...]:
    *arguments, place = key
    found = _cached_outputs(*arguments)
    if isinstance(found, str):
        raise ModelError(f"{place}: {_short(found)}")
    if any(isinstance(t, UnknownType) for t, present in zip(found, arguments[-1]) if present):
        # The function knows the case only in part; the element types may still follow from the schema.
        spec = find_spec(arguments[1], arguments[0], arguments[2])
        assert spec is not None
        fallback = _from_schema(spec, arguments[4], len(found))
        return tuple(b if isinstance(a, UnknownType) else a for a, b in zip(found, fallback))
    return found


def _short(text: str) -> str:
    text = text.replace("[ShapeInferenceError] ", "").replace("[TypeInferenceError] ", "")
    text = " ".join(text.split())
    return text if len(text) <= 300 else text[:297] + "..."


def _by_constraint(node: Node, spec: OpSpec) -> tuple[ValueType, ...]:
    return _from_schema(spec, tuple(None if v is None else v.type for v in node.inputs), len(node.outputs))


def _from_schema(spec: OpSpec, inputs: tuple[ValueType | None, ...], count: int) -> tuple[ValueType, ...]:
    """Element types that follow from type constraints alone; shapes stay unknown."""
    bound: dict[str, DType] = {}
    for index, type_ in enumerate(inputs):
        name = spec.constraint_of_input(index)
        if name is not None and isinstance(type_, TensorType):
            bound.setdefault(name, type_.dtype)
    found: list[ValueType] = []
    parameters: Mapping[str, frozenset[DType]] = spec.type_constraints
    for index in range(count):
        name = spec.constraint_of_output(index)
        if name is None:
            found.append(_fixed(spec, index))
        elif name in bound:
            found.append(TensorType(bound[name]))
        else:
            allowed = parameters[name]
            whole = {c.type_param_str: len(c.allowed_type_strs) for c in spec.schema.type_constraints}[name]
            found.append(TensorType(next(iter(allowed))) if len(allowed) == whole == 1 else UNKNOWN)
    return tuple(found)


def _fixed(spec: OpSpec, index: int) -> ValueType:
    declared = spec.schema.outputs
    if not declared:
        return UNKNOWN
    text = str(declared[min(index, len(declared) - 1)].type_str)
    names = {"tensor(float)": DType.FLOAT32, "tensor(double)": DType.FLOAT64}
    if text in names:
        return TensorType(names[text])
    try:
        return TensorType(DType(text[7:-1])) if text.startswith("tensor(") else UNKNOWN
    except ValueError:
        return UNKNOWN
