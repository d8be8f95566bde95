"""AttributeProto to plain Python values, checked against the operator's schema, and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx

from orpheus_core.errors import ModelError
from orpheus_core.graph import Attribute, Graph
from orpheus_core.importer.limits import Limits
from orpheus_core.importer.protos import read_type, write_type
from orpheus_core.importer.tensors import TensorReader, write_tensor
from orpheus_core.ops.spec import OpSpec
from orpheus_core.types import MapType, OptionalType, SequenceType, TensorType, UnknownType

_A = onnx.AttributeProto
_NAMES: dict[int, str] = {number: name for name, number in _A.AttributeType.items()}


class AttributeReader:
    """Reads the attributes of one model's nodes."""

    def __init__(self, tensors: TensorReader, limits: Limits) -> None:
        self._tensors = tensors
        self._limits = limits
        # A function's body is read once for each call; its attributes are read once. Keeping the message keeps its id.
        self._read: dict[int, tuple[onnx.AttributeProto, Attribute]] = {}

    def read(
        self,
        spec: OpSpec,
        given: Mapping[str, onnx.AttributeProto],
        graph: Callable[[onnx.GraphProto, str], Graph],
        place: str,
    ) -> dict[str, Attribute]:
        """All attributes of a node with defaults filled in.

        ``graph`` turns a graph attribute, by name, into a Graph. Raises ModelError for an attribute that the schema
        does not have, has with another type, or requires and is not given.
        """
        declared = spec.schema.attributes
        found: dict[str, Attribute] = default_attributes(spec)
        for name, proto in given.items():
            schema = declared.get(name)
            if schema is None:
                known = ", ".join(sorted(declared)) or "none"
                raise ModelError(
                    f"{place}: {spec.name}-{spec.version} has no attribute {name!r}; it has {known}"
                )
            wanted = _kind_of(schema)
            kind = proto.type or wanted
            if kind != wanted:
                raise ModelError(
                    f"{place}: attribute {name!r} is {_NAMES.get(kind, kind)}, "
                    f"{spec.name}-{spec.version} takes {_NAMES[wanted]}"
                )
            found[name] = self.value(proto, kind, graph, f"{place}, attribute {name!r}")
        for name, schema in declared.items():
            if schema.required and name not in found:
                raise ModelError(f"{place}: {spec.name}-{spec.version} needs attribute {name!r}")
        return found

    def value(
        self,
        proto: onnx.AttributeProto,
        kind: int,
        graph: Callable[[onnx.GraphProto, str], Graph] | None,
        place: str,
    ) -> Attribute:
        """The value of one attribute of type ``kind``."""
        if kind == _A.GRAPH and graph is not None:
            return graph(proto.g, proto.name)
        known = self._read.get(id(proto))
        if known is None:
            known = self._read[id(proto)] = (proto, self._value(proto, kind, place))
        return known[1]

    def _value(self, proto: onnx.AttributeProto, kind: int, place: str) -> Attribute:
        if kind == _A.INT:
            return int(proto.i)
        if kind == _A.FLOAT:
            return float(proto.f)
        if kind == _A.STRING:
            return _text(proto.s)
        if kind == _A.INTS:
            return tuple(proto.ints)
        if kind == _A.FLOATS:
            return tuple(proto.floats)
        if kind == _A.STRINGS:
            return tuple(_text(s) for s in proto.strings)
        if kind == _A.TENSOR:
            return self._tensors.dense(proto.t, place)
        if kind == _A.SPARSE_TENSOR:
            return self._tensors.sparse(proto.sparse_tensor, place)
        if kind == _A.TYPE_PROTO:
            return read_type(proto.tp, place, self._limits)
        if kind == _A.TENSORS:
            return tuple(self._tensors.dense(t, place) for t in proto.tensors)
        raise ModelError(f"{place}: {_NAMES.get(kind, kind)} attributes are not used by any ONNX operator")


def _kind_of(schema: Any) -> int:
    return int(schema.type.value)


def default_attributes(spec: OpSpec) -> dict[str, Attribute]:
    """A fresh dictionary of the attributes of ``spec`` that have a default."""
    # A tensor default is a placeholder for "not given" (LabelEncoder), never a value to compute with.
    return {name: value for name, value in spec.defaults.items() if not isinstance(value, onnx.TensorProto)}


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _raw(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def write_attribute(
    name: str,
    value: Attribute,
    kind: int,
    into: onnx.AttributeProto,
    graph: Callable[[Graph, onnx.GraphProto], None] | None = None,
) -> None:
    """Fill ``into`` with ``value`` as AttributeProto type ``kind``; ``graph`` writes graph attributes."""
    into.name = name
    into.type = kind  # type: ignore[assignment]
    if kind == _A.INT:
        into.i = int(value)  # type: ignore[arg-type]
    elif kind == _A.FLOAT:
        into.f = float(value)  # type: ignore[arg-type]
    elif kind == _A.STRING:
        into.s = _raw(value)  # type: ignore[arg-type]
    elif kind == _A.INTS:
        into.ints.extend(int(v) for v in value)  # type: ignore[union-attr]
    elif kind == _A.FLOATS:
        into.floats.extend(float(v) for v in value)  # type: ignore[union-attr]
    elif kind == _A.STRINGS:
        into.strings.extend(_raw(v) for v in value)  # type: ignore[union-attr, arg-type]
    elif kind == _A.TENSOR:
        into.t.CopyFrom(write_tensor(np.asarray(value)))
    elif kind == _A.TENSORS:
        into.tensors.extend(write_tensor(np.asarray(v)) for v in value)  # type: ignore[union-attr]
    elif kind == _A.SPARSE_TENSOR:
        into.sparse_tensor.CopyFrom(_sparse(np.asarray(value)))
    elif kind == _A.TYPE_PROTO:
        write_type(value, into.tp)  # type: ignore[arg-type]
    elif kind == _A.GRAPH and graph is not None:
        into.g.SetInParent()
        graph(value, into.g)  # type: ignore[arg-type]
    else:
        raise ValueError(f"cannot write attribute {name!r} of type {_NAMES.get(kind, kind)}")


def _sparse(array: Any) -> onnx.SparseTensorProto:
    flat = array.reshape(-1)
    indices = np.flatnonzero(flat).astype(np.int64)
    return onnx.SparseTensorProto(
        values=write_tensor(flat[indices], "values"),
        indices=write_tensor(indices, "indices"),
        dims=array.shape,
    )


_KINDS: dict[type, int] = {int: _A.INT, bool: _A.INT, float: _A.FLOAT, str: _A.STRING, bytes: _A.STRING}
_LIST_KIND: dict[int, int] = {
    _A.INT: _A.INTS,
    _A.FLOAT: _A.FLOATS,
    _A.STRING: _A.STRINGS,
    _A.TENSOR: _A.TENSORS,
}


def attribute_kind(spec: OpSpec | None, name: str, value: Attribute) -> int:
    """The AttributeProto type of an attribute: the schema's, or what the value looks like."""
    if spec is not None and name in spec.schema.attributes:
        return _kind_of(spec.schema.attributes[name])
    if isinstance(value, Graph):
        return _A.GRAPH
    if isinstance(value, np.ndarray):
        return _A.TENSOR
    if isinstance(value, (TensorType, SequenceType, OptionalType, MapType, UnknownType)):
        return _A.TYPE_PROTO
    if isinstance(value, tuple):
        return _LIST_KIND[attribute_kind(None, name, value[0])] if value else _A.INTS
    return _KINDS.get(type(value), _A.INT)
