"""OpSpec: what is known of an operator, taken from its ONNX schema.

Schemas of the ONNX domains come from ``onnx.defs``; those of Orpheus's own domain and of the contrib domains
come from :mod:`orpheus_core.ops.fused` and :mod:`orpheus_core.ops.contrib`, which declare ``onnx.defs.OpSchema``
objects of the same kind. Nothing is copied by hand.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from orpheus_core.types import DType, ValueType

if TYPE_CHECKING:
    from onnx import defs

    from orpheus_core.graph import Graph, Node

#: The domain of Orpheus's own operators.
ORPHEUS_DOMAIN = "ai.orpheus"
#: The domain of ONNX Runtime's contrib operators.
CONTRIB_DOMAIN = "com.microsoft"
# Domain -> the module whose SCHEMAS declares its operators.
_DECLARED = {
    ORPHEUS_DOMAIN: "orpheus_core.ops.fused",
    CONTRIB_DOMAIN: "orpheus_core.ops.contrib",
}


@dataclass(frozen=True, eq=False)
class OpSpec:
    """One version of one operator. ``schema`` is the ONNX schema all facts are read from.

    ``decompose`` (Orpheus's own operators only) turns a node into an equivalent graph of standard operators
    whose inputs and outputs are the node's present inputs and present outputs, in order. ``infer`` gives the types
    of a node's outputs where ONNX's shape inference does not know the operator; without it they come from the
    decomposition.
    """

    schema: defs.OpSchema = field(repr=False)
    decompose: Callable[[Node], Graph] | None = field(default=None, repr=False)
    infer: Callable[[Node], tuple[ValueType, ...]] | None = field(default=None, repr=False)

    @property
    def name(self) -> str:
        """The operator's name."""
        return str(self.schema.name)

    @property
    def domain(self) -> str:
        """The operator's domain; empty for the default domain."""
        return str(self.schema.domain)

    @property
    def version(self) -> int:
        """The opset version that introduced this form (``since_version``)."""
        return int(self.schema.since_version)

    @cached_property
    def input_names(self) -> tuple[str, ...]:
        """Formal input names; a variadic input appears once, last."""
        return tuple(p.name for p in self.schema.inputs)

    @cached_property
    def output_names(self) -> tuple[str, ...]:
        """Formal output names; a variadic output appears once, last."""
        return tuple(p.name for p in self.schema.outputs)

    @cached_property
    def attribute_names(self) -> frozenset[str]:
        """Names of all attributes."""
        return frozenset(self.schema.attributes)

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """Attributes that have a default, with it, as Python values."""
        import onnx

        found = {}
        for name, attribute in self.schema.attributes.items():
            proto = attribute.default_value
            if proto.type != onnx.AttributeProto.UNDEFINED:
                found[name] = _plain(onnx.helper.get_attribute_value(proto))
        return found

    @cached_property
    def type_constraints(self) -> dict[str, frozenset[DType]]:
        """Element types that each type-constraint name allows for plain tensors."""
        return {
            c.type_param_str: frozenset(filter(None, map(_tensor_dtype, c.allowed_type_strs)))
            for c in self.schema.type_constraints
        }

    def constraint_of_input(self, index: int) -> str | None:
        """The type-constraint name of input ``index`` ("T"), or None for a fixed type."""
        return self._constraint(self.schema.inputs, index)

    def constraint_of_output(self, index: int) -> str | None:
        """The type-constraint name of output ``index``, or None for a fixed type."""
        return self._constraint(self.schema.outputs, index)

    def _constraint(self, parameters: Any, index: int) -> str | None:
        if not parameters:
            return None
        name = str(parameters[min(index, len(parameters) - 1)].type_str)
        return name if name in self.type_constraints else None

    @property
    def is_deterministic(self) -> bool:
        """False for operators that draw random numbers, so that two equal calls may differ."""
        return self.name not in _RANDOM


_RANDOM = frozenset(
    ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli")
)


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    if isinstance(value, (list, tuple)):
        return tuple(_plain(v) for v in value)
    return value


_TYPE_NAMES = {"float": "float32", "double": "float64", "float8e4m3fn": "float8_e4m3fn",
               "float8e4m3fnuz": "float8_e4m3fnuz", "float8e5m2": "float8_e5m2",
               "float8e5m2fnuz": "float8_e5m2fnuz", "float4e2m1": "float4_e2m1fn",
               "float8e8m0": "float8_e8m0fnu", "float6e2m3": "float6_e2m3fn",
               "float6e3m2": "float6_e3m2fn"}  # fmt: skip


def _tensor_dtype(text: str) -> DType | None:
    if not text.startswith("tensor("):
        return None
    name = text[7:-1]
    try:
        return DType(_TYPE_NAMES.get(name, name))
    except ValueError:
        return None


@cache
def find_spec(domain: str, op: str, opset: int) -> OpSpec | None:
    """The form of an operator that a model with ``opset`` means, or None if there is none."""
    from onnx import defs  # when it is asked for, as listing backends has no need of it

    domain = "" if domain == "ai.onnx" else domain
    if domain in _DECLARED:
        return _declared(domain).get(op)
    try:
        return OpSpec(defs.get_schema(op, opset, domain))
    except defs.SchemaError:
        return None


@cache
def latest_version(domain: str) -> int:
    """The newest opset of a domain that is known here; 0 for an unknown domain."""
    if domain in _DECLARED:
        return 1
    versions: Mapping[str, tuple[int, int]] = _schema_map()
    return versions.get(domain, (0, 0))[1]


@cache
def _schema_map() -> dict[str, tuple[int, int]]:
    from onnx import defs

    found: dict[str, tuple[int, int]] = {"": (1, int(defs.onnx_opset_version()))}
    for schema in defs.get_all_schemas_with_history():
        if schema.domain:
            low, high = found.get(schema.domain, (1, 1))
            found[schema.domain] = (low, max(high, int(schema.since_version)))
    return found


@cache
def _declared(domain: str) -> dict[str, OpSpec]:
    module = importlib.import_module(_DECLARED[domain])
    return {spec.name: spec for spec in module.SPECS}
