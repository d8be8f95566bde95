"""The array of a Constant node, in any of the forms the operator has had."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx

from orpheus_core.errors import ModelError
from orpheus_core.importer.attributes import AttributeReader
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
    spec: OpSpec, given: Mapping[str, onnx.AttributeProto], reader: AttributeReader, place: str
) -> Array:
    """What a Constant node stands for. Raises ModelError unless exactly one form of value is given."""
    allowed = set(spec.schema.attributes)
    if len(given) != 1 or not set(given) <= allowed:
        shown = ", ".join(sorted(given)[:8]) or "none"
        raise ModelError(
            f"{place}: has attributes {shown}; needs exactly one of {', '.join(sorted(allowed))}"
        )
    ((name, proto),) = given.items()
    kind = _KINDS[name]
    if proto.type and proto.type != kind:
        raise ModelError(f"{place}: attribute {name!r} has the wrong type")
    value: Any = reader.value(proto, kind, None, place)
    if kind in (_A.TENSOR, _A.SPARSE_TENSOR):
        return np.asarray(value)
    if kind in (_A.STRING, _A.STRINGS):
        return _text(value, place)
    return np.array(value, np.int64 if kind in (_A.INT, _A.INTS) else np.float32)


def _text(value: Any, place: str) -> Array:
    texts = [value] if isinstance(value, (str, bytes)) else list(value)
    if any(isinstance(text, bytes) for text in texts):
        raise ModelError(f"{place}: a string is not UTF-8")
    array = np.empty(len(texts), object)
    array[:] = texts
    return array if isinstance(value, tuple) else array.reshape(())
