"""Types of If, Loop, Scan and SequenceMap: their bodies are inferred, and what the paths agree on is the result.

Source of the rules: the ONNX operator pages of If, Loop, Scan (versions 8, and 9 on) and SequenceMap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from orpheus_core.errors import ModelError
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer.relations import merge
from orpheus_core.types import (
    UNKNOWN,
    Dim,
    DType,
    OptionalType,
    SequenceType,
    TensorType,
    UnknownType,
    ValueType,
)

if TYPE_CHECKING:
    from orpheus_core.importer.infer import Inference

# Types of carried values settle by losing dimensions, then rank; two rounds lead to each.
_ROUNDS = 3


def _merged(left: ValueType, right: ValueType, place: str) -> ValueType:
    found = merge(left, right)
    if found is None:
        raise ModelError(f"{place}: is {left} on one path and {right} on another")
    return found


def _body(node: Node, name: str) -> Graph:
    body = node.attributes.get(name)
    if not isinstance(body, Graph):
        raise ModelError(f"{_place(node)}: has no subgraph {name!r}")
    return body


def _place(node: Node) -> str:
    return f"node {node.name or next((v.name for v in node.results), '')!r} ({node.op_id})"


def _type(value: Value | None) -> ValueType:
    return UNKNOWN if value is None else value.type


def _expect(node: Node, body: Graph, inputs: int, outputs: int) -> None:
    if len(body.inputs) != inputs:
        raise ModelError(f"{_place(node)}: its body takes {len(body.inputs)} inputs, the node gives {inputs}")
    if len(body.outputs) < outputs:
        raise ModelError(
            f"{_place(node)}: its body has {len(body.outputs)} outputs, the node needs {outputs}"
        )


def _if(node: Node, inference: Inference) -> tuple[ValueType, ...]:
    branches = (_body(node, "then_branch"), _body(node, "else_branch"))
    for branch in branches:
        if branch.inputs:
            raise ModelError(f"{_place(node)}: branch {branch.name!r} must have no inputs")
        if len(branch.outputs) != len(node.outputs):
            raise ModelError(
                f"{_place(node)}: branch {branch.name!r} has {len(branch.outputs)} outputs, "
                f"the node has {len(node.outputs)}"
            )
        inference.graph(branch)
    return tuple(
        _merged(a.type, b.type, f"{_place(node)}: output {index}")
        for index, (a, b) in enumerate(zip(branches[0].outputs, branches[1].outputs))
    )


def _settle(
    node: Node, body: Graph, inference: Inference, inputs: Sequence[Value], start: list[ValueType], first: int
) -> list[ValueType]:
    """Types of carried values that hold in every iteration; body outputs from ``first`` on feed them back."""
    types = list(start)
    for round_ in range(_ROUNDS + 1):
        for value, type_ in zip(inputs, types):
            value.type = type_
            inference.known.pop(value, None)
        inference.again(body)
        results = [v.type for v in body.outputs[first : first + len(types)]]
        settled = [
            _merged(a, b, f"{_place(node)}: carried value {value.name!r}")
            for value, a, b in zip(inputs, types, results)
        ]
        if settled == types:
            break
        types = [_vaguer(t) if round_ >= 1 and t != s else s for t, s in zip(types, settled)]
    return types


def _vaguer(type_: ValueType) -> ValueType:
    if isinstance(type_, SequenceType):
        return SequenceType(_vaguer(type_.element))
    if isinstance(type_, OptionalType):
        return OptionalType(_vaguer(type_.element))
    return type_.with_shape(None) if isinstance(type_, TensorType) else type_


def _scalar(declared: ValueType, dtype: DType) -> TensorType:
    # Some exporters declare the iteration number and the condition with shape [1]; the body may rely on it.
    one = isinstance(declared, TensorType) and declared.shape == (1,)
    return TensorType(dtype, (1,) if one else ())


def _loop(node: Node, inference: Inference) -> tuple[ValueType, ...]:
    body = _body(node, "body")
    carried = node.inputs[2:]
    _expect(node, body, len(carried) + 2, len(carried) + 1)
    if len(body.outputs) - 1 < len(node.outputs):
        raise ModelError(f"{_place(node)}: has more outputs than its body gives")
    body.inputs[0].type = _scalar(body.inputs[0].type, DType.INT64)
    body.inputs[1].type = _scalar(body.inputs[1].type, DType.BOOL)
    start = [inner.type if outer is None else outer.type for outer, inner in zip(carried, body.inputs[2:])]
    types: list[ValueType] = _settle(node, body, inference, body.inputs[2:], start, 1)
    for value in body.outputs[1 + len(carried) :]:
        if isinstance(value.type, TensorType):
            types.append(value.type.with_shape(_stacked(value.type.shape, 0, None)))
        else:
            types.append(UNKNOWN)
    return tuple(types[: len(node.outputs)])


def _stacked(shape: tuple[Dim, ...] | None, axis: int, length: Dim) -> tuple[Dim, ...] | None:
    if shape is None:
        return None
    axis = axis + len(shape) + 1 if axis < 0 else axis
    return (*shape[:axis], length, *shape[axis:])


def _sliced(type_: ValueType, axis: int, place: str) -> tuple[ValueType, Dim]:
    if not isinstance(type_, TensorType) or type_.shape is None:
        return type_, None
    if not -len(type_.shape) <= axis < len(type_.shape):
        raise ModelError(f"{place}: scans axis {axis} of {type_}, which has rank {len(type_.shape)}")
    axis %= len(type_.shape)
    return type_.with_shape(type_.shape[:axis] + type_.shape[axis + 1 :]), type_.shape[axis]


def _axes(node: Node, name: str, count: int) -> list[int]:
    given = node.attributes.get(name)
    if given is None:
        return [0] * count
    if not isinstance(given, tuple) or len(given) != count:
        raise ModelError(f"{_place(node)}: {name} must have {count} entries, has {given!r}")
    return [int(axis) for axis in given]


def _scan(node: Node, inference: Inference) -> tuple[ValueType, ...]:
    if node.version < 9:
        return _scan_8(node, inference)
    body = _body(node, "body")
    scans = int(node.attributes["num_scan_inputs"])  # type: ignore[arg-type]
    states = len(node.inputs) - scans
    _expect(node, body, len(node.inputs), states)
    outer = [_type(v) for v in node.inputs]
    length: Dim = None
    axes = _axes(node, "scan_input_axes", scans)
    for value, type_, axis in zip(body.inputs[states:], outer[states:], axes):
        value.type, found = _sliced(type_, axis, f"{_place(node)}: input {value.name!r}")
        if isinstance(found, int) and isinstance(length, int) and found != length:
            raise ModelError(f"{_place(node)}: scanned inputs have lengths {length} and {found}")
        length = found if length is None or isinstance(found, int) else length
    types: list[ValueType] = list(_settle(node, body, inference, body.inputs[:states], outer[:states], 0))
    stacked = body.outputs[states:]
    for value, axis in zip(stacked, _axes(node, "scan_output_axes", len(stacked))):
        if not isinstance(value.type, TensorType):
            types.append(UNKNOWN)
            continue
        rank = value.type.rank
        if rank is not None and not -rank - 1 <= axis <= rank:
            raise ModelError(f"{_place(node)}: scan output axis {axis} is out of range for rank {rank + 1}")
        types.append(value.type.with_shape(_stacked(value.type.shape, axis, length)))
    return tuple(types[: len(node.outputs)])


def _scan_8(node: Node, inference: Inference) -> tuple[ValueType, ...]:
    # Version 8: input 0 is the lengths; everything else has a batch axis first, scanned ones a sequence axis second.
    body = _body(node, "body")
    scans = int(node.attributes["num_scan_inputs"])  # type: ignore[arg-type]
    outer = [_type(v) for v in node.inputs[1:]]
    states = len(outer) - scans
    _expect(node, body, len(outer), states)
    batch: Dim = None
    length: Dim = None
    start: list[ValueType] = []
    for type_ in outer[:states]:
        inner, batch = _sliced(type_, 0, _place(node))
        start.append(inner)
    for value, type_ in zip(body.inputs[states:], outer[states:]):
        inner, batch = _sliced(type_, 0, _place(node))
        value.type, length = _sliced(inner, 0, _place(node))
    types = list(_settle(node, body, inference, body.inputs[:states], start, 0))
    found: list[ValueType] = [
        t.with_shape(_stacked(t.shape, 0, batch)) if isinstance(t, TensorType) else t for t in types
    ]
    for value in body.outputs[states:]:
        inner = value.type
        if isinstance(inner, TensorType) and inner.shape is not None:
            inner = inner.with_shape((batch, length, *inner.shape))
        found.append(inner)
    return tuple(found[: len(node.outputs)])


def _sequence_map(node: Node, inference: Inference) -> tuple[ValueType, ...]:
    body = _body(node, "body")
    _expect(node, body, len(node.inputs), len(node.outputs))
    for index, (inner, outer) in enumerate(zip(body.inputs, node.inputs)):
        type_ = _type(outer)
        if isinstance(type_, SequenceType):
            inner.type = type_.element
        elif index == 0 and not isinstance(type_, UnknownType):
            raise ModelError(f"{_place(node)}: its first input must be a sequence, is {type_}")
        else:
            inner.type = type_
    inference.graph(body)
    return tuple(SequenceType(v.type) for v in body.outputs[: len(node.outputs)])


CONTROL_FLOW: dict[str, Callable[[Node, Inference], tuple[ValueType, ...]]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    "SequenceMap": _sequence_map,
}
