"""The array of a Constant node, in any of the forms the operator has had."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from orpheus_core.errors import ModelError
from orpheus_core.importer.tensors import TensorReader
from orpheus_core.ops.spec import OpSpec
from orpheus_core.types import Array

_A = onnx.AttributeProto
_KINDS: dict[str, int] = {
    "value": _A.TENSOR,
    "sparse_value": _A.SPARSE_TENSOR,
    "value_float": _A.FLOAT,
    "value_floats": _A.FLOATS,
    "value_int": _A.INT,
    "value_ints": _A.INTS,
    "value_string": _A.STRING,
    "value_strings": _A.STRINGS,
}


def constant_array(
    spec: OpSpec, given: Mapping[str, onnx.AttributeProto], tensors: TensorReader, place: str
) -> Array:
    """What a Constant node stands for. Raises ModelError unless exactly one form of value is given."""
    allowed = set(spec.schema.attributes)
    if len(given) != 1 or not set(given) <= allowed:
        raise ModelError(
            f"{place}: has attributes {sorted(given) or 'none'}; needs exactly one of {', '.join(sorted(allowed))}"
        )
    ((name, proto),) = given.items()
    if proto.type and proto.type != _KINDS[name]:
        raise ModelError(f"{place}: attribute {name!r} has the wrong type")
    if name == "value":
        return tensors.dense(proto.t, place)
    if name == "sparse_value":
        return tensors.sparse(proto.sparse_tensor, place)
    if name == "value_float":
        return np.array(proto.f, np.float32)
    if name == "value_floats":
        return np.array(proto.floats, np.float32)
    if name == "value_int":
        return np.array(proto.i, np.int64)
    if name == "value_ints":
        return np.array(proto.ints, np.int64)
    try:
        texts = [s.decode() for s in ([proto.s] if name == "value_string" else proto.strings)]
    except UnicodeDecodeError:
        raise ModelError(f"{place}: attribute {name!r} is not UTF-8") from None
    array = np.empty(len(texts), object)
    array[:] = texts
    return array.reshape(()) if name == "value_string" else array
