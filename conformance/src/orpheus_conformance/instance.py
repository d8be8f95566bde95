"""Instance: a case made concrete, with a typed node, the problem a kernel sees, and arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orpheus_conformance.bodies import build
from orpheus_conformance.case import (
    Body,
    Case,
    CaseError,
    Dictionary,
    Input,
    Literal,
    Maybe,
    Operand,
    Sequence,
)
from orpheus_conformance.values import array_of, value_of
from orpheus_core.errors import OrpheusError
from orpheus_core.graph import Node, Value
from orpheus_core.importer import validate
from orpheus_core.importer.infer import Inference
from orpheus_core.ops import OpSpec, find_spec
from orpheus_core.plugin import Problem
from orpheus_core.selection.candidates import problem_of
from orpheus_core.types import UNKNOWN, DType, MapType, OptionalType, SequenceType, TensorType, ValueType


class InvalidCase(CaseError):
    """The operator's own rules forbid this layer, so no kernel can be judged by it."""


@dataclass(frozen=True, eq=False)
class Instance:
    """A case, its node, its problem in plain layout on the host, and the value of each input (logical arrays)."""

    case: Case
    node: Node
    problem: Problem
    arrays: tuple[Any, ...]


def spec_of_case(case: Case) -> OpSpec:
    """The OpSpec of a case; CaseError when the operator is not known here."""
    spec = find_spec(case.domain, case.op, case.version)
    if spec is None:
        raise CaseError(f"there is no operator {case.op_id} of version {case.version} here")
    return spec


def instantiate(case: Case) -> Instance:
    """Make a case concrete. CaseError for one that cannot be read, InvalidCase for one that is no valid layer."""
    spec = spec_of_case(case)
    unknown = sorted(set(case.attributes) - set(spec.schema.attributes))
    if unknown:
        raise CaseError(f"{case.op_id} has no attribute {', '.join(unknown)}")
    arrays = tuple(value_of(operand, case.seed, i) for i, operand in enumerate(case.inputs))
    instance = assemble(case, spec, arrays, {n: _attribute(v) for n, v in case.attributes.items()})
    try:
        validate.check(instance.node, case.op_id)
    except OrpheusError as error:
        raise InvalidCase(f"{case.op_id} does not allow this layer: {error}") from error
    return instance


def assemble(case: Case, spec: OpSpec, arrays: tuple[Any, ...], attributes: Mapping[str, Any]) -> Instance:
    """The instance of a case on given arrays: types are inferred as the importer infers them."""
    values: list[Value | None] = []
    for index, (operand, array) in enumerate(zip(case.inputs, arrays)):
        if operand is None:
            values.append(None)
            continue
        constant = isinstance(operand, Operand) and operand.constant
        values.append(Value(f"x{index}", _type(operand, array), array if constant else None))
    results = tuple(Value(f"y{i}") if present else None for i, present in enumerate(case.outputs))
    node = Node(
        case.op, tuple(values), results, {**spec.defaults, **attributes}, "judged", case.domain, spec.version
    )
    try:
        Inference().node(node)
    except OrpheusError as error:
        raise InvalidCase(f"{case.op_id} does not allow this layer: {error}") from error
    return Instance(case, node, problem_of(node, threads=case.threads), arrays)


def _type(operand: Input, array: Any) -> ValueType:
    if isinstance(operand, Operand):
        return TensorType(DType.from_numpy(array.dtype), array.shape)
    if isinstance(operand, Sequence):
        shapes = {part.shape for part in operand.elements}
        shape = shapes.pop() if len(shapes) == 1 else None
        return SequenceType(TensorType(DType(operand.dtype), shape))
    if isinstance(operand, Maybe):
        inner = _read_type(operand.of) if operand.held is None else _type(operand.held, array)
        return OptionalType(inner)
    if isinstance(operand, Dictionary):
        return MapType(DType(operand.key), TensorType(DType(operand.value), ()))
    return UNKNOWN


def _attribute(value: Any) -> Any:
    if isinstance(value, Operand):
        return array_of(value, 0)
    if isinstance(value, Body):
        return build(value)
    if isinstance(value, Literal):
        return _read_type(value.text)
    return value


def _read_type(text: str) -> ValueType:
    head, _, rest = text.partition(" ")
    try:
        if head == "tensor":
            return TensorType(DType(rest))
        if head in ("sequence", "optional"):
            inner = _read_type(rest)
            return SequenceType(inner) if head == "sequence" else OptionalType(inner)
    except ValueError:
        pass
    raise CaseError(
        f"{text!r} is not a type; write 'tensor float32', 'sequence tensor int64', 'optional ...'"
    )
