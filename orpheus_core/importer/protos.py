"""TypeProto to ValueType and back."""

from __future__ import annotations

from typing import Any

import onnx

from orpheus_core.errors import LimitError, ModelError, UnsupportedModelError
from orpheus_core.importer.limits import Limits
from orpheus_core.importer.survey import check_text
from orpheus_core.types import (
    UNKNOWN,
    Dim,
    DType,
    MapType,
    OptionalType,
    SequenceType,
    TensorType,
    ValueType,
)

_MAX_TYPE_NESTING = 8
_MAX_SYMBOL = 256


def dtype_of(number: int, place: str) -> DType:
    """The element type that ``TensorProto.DataType`` numbers; ModelError if there is none."""
    try:
        return DType.from_onnx(number)
    except ValueError as error:
        raise ModelError(f"{place}: element type {error}") from None


def check_size(type_: ValueType, place: str, limits: Limits) -> None:
    """Raise LimitError when a tensor type has too many dimensions, elements or bytes."""
    if not isinstance(type_, TensorType) or type_.shape is None:
        return
    if len(type_.shape) > limits.rank:
        raise LimitError(f"{place}: rank {len(type_.shape)} is over the limit of {limits.rank}")
    total = type_.dtype.itemsize
    for dim in type_.shape:
        if isinstance(dim, int) and dim > 0:
            total *= dim
    if total > limits.value_bytes:
        raise LimitError(f"{place}: {type_} needs at least {total} bytes, the limit is {limits.value_bytes}")


def read_type(proto: onnx.TypeProto, place: str, limits: Limits, depth: int = 0) -> ValueType:
    """The type a TypeProto describes; UNKNOWN when it describes none.

    A dimension of -1, which some exporters write, is an unknown one.
    """
    if depth > _MAX_TYPE_NESTING:
        raise LimitError(f"{place}: type is nested more than {_MAX_TYPE_NESTING} deep")
    kind = proto.WhichOneof("value")
    if kind is None:
        return UNKNOWN
    if kind == "tensor_type":
        return _read_tensor_type(proto.tensor_type, place, limits)
    if kind == "sequence_type":
        return SequenceType(read_type(proto.sequence_type.elem_type, place, limits, depth + 1))
    if kind == "optional_type":
        return OptionalType(read_type(proto.optional_type.elem_type, place, limits, depth + 1))
    if kind == "map_type":
        value = read_type(proto.map_type.value_type, place, limits, depth + 1)
        return MapType(dtype_of(proto.map_type.key_type, place), value)
    raise UnsupportedModelError(f"{place}: values of {kind} are not supported; use dense tensors")


def _read_tensor_type(proto: Any, place: str, limits: Limits) -> ValueType:
    if proto.elem_type == 0:
        return UNKNOWN
    dtype = dtype_of(proto.elem_type, place)
    if not proto.HasField("shape"):
        return TensorType(dtype)
    if len(proto.shape.dim) > limits.rank:
        raise LimitError(f"{place}: rank {len(proto.shape.dim)} is over the limit of {limits.rank}")
    dims: list[Dim] = []
    for dim in proto.shape.dim:
        if dim.HasField("dim_value"):
            if dim.dim_value < -1:
                raise ModelError(f"{place}: dimension {dim.dim_value} is negative")
            dims.append(None if dim.dim_value == -1 else int(dim.dim_value))
        else:
            check_text(place, dim.dim_param)
            if len(dim.dim_param) > _MAX_SYMBOL:
                raise LimitError(f"{place}: a symbolic dimension's name has {len(dim.dim_param)} characters")
            dims.append(dim.dim_param or None)
    found = TensorType(dtype, tuple(dims))
    check_size(found, place, limits)
    return found


def write_type(type_: ValueType, proto: onnx.TypeProto | None = None) -> onnx.TypeProto:
    """The TypeProto of a type; empty for UNKNOWN."""
    proto = onnx.TypeProto() if proto is None else proto
    if isinstance(type_, TensorType):
        tensor = proto.tensor_type
        tensor.elem_type = type_.dtype.onnx
        if type_.shape is not None:
            tensor.shape.SetInParent()
            for dim in type_.shape:
                entry = tensor.shape.dim.add()
                if isinstance(dim, int):
                    entry.dim_value = dim
                elif dim is not None:
                    entry.dim_param = dim
    elif isinstance(type_, SequenceType):
        write_type(type_.element, proto.sequence_type.elem_type)
        proto.sequence_type.elem_type.SetInParent()
    elif isinstance(type_, OptionalType):
        write_type(type_.element, proto.optional_type.elem_type)
        proto.optional_type.elem_type.SetInParent()
    elif isinstance(type_, MapType):
        proto.map_type.key_type = type_.key.onnx
        write_type(type_.value, proto.map_type.value_type)
    return proto


_ONNX_NAMES = {"float32": "float", "float64": "double"}


def type_text(type_: ValueType) -> str | None:
    """The type as schemas spell it (``tensor(float)``), or None when it is not known."""
    if isinstance(type_, TensorType):
        name = type_.dtype.value
        if type_.dtype.is_float and name not in _ONNX_NAMES and name[:5] == "float" and "_" in name:
            name = name.replace("_", "").replace("e2m1fn", "e2m1").replace("e8m0fnu", "e8m0")
            name = name.replace("e2m3fn", "e2m3").replace("e3m2fn", "e3m2")
        return f"tensor({_ONNX_NAMES.get(name, name)})"
    if isinstance(type_, MapType):
        value = type_text(type_.value)
        if value is not None and isinstance(type_.value, TensorType):  # schemas spell a map's scalars bare
            value = value.removeprefix("tensor(").removesuffix(")")
        key = _ONNX_NAMES.get(type_.key.value, type_.key.value)
        return None if value is None else f"map({key}, {value})"
    if isinstance(type_, (SequenceType, OptionalType)):
        inner = type_text(type_.element)
        kind = "seq" if isinstance(type_, SequenceType) else "optional"
        return None if inner is None else f"{kind}({inner})"
    return None
