"""Layers that ``onnx.reference`` can compute once they are written another way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.formulas import formula
from orpheus_conformance.formulas.resized import shrunk_to_one
from orpheus_conformance.instance import Instance
from orpheus_core.graph import Graph, Node, Value
from orpheus_core.importer.export import to_onnx
from orpheus_core.types import DType, TensorType


def by_reference(op: str, version: int, attributes: Mapping[str, Any], arrays: tuple[Any, ...]) -> Any:
    """The first output of a layer, by ``onnx.reference``."""
    inputs = [
        None if a is None else Value(f"x{n}", TensorType(DType.from_numpy(a.dtype), a.shape))
        for n, a in enumerate(arrays)
    ]
    result = Value("y")
    node = Node(op, tuple(inputs), (result,), dict(attributes), "delegated", "", version)
    present = tuple(v for v in inputs if v is not None)
    feeds = {v.name: a for v, a in zip(inputs, arrays) if v is not None}
    results: Any = ReferenceEvaluator(to_onnx(Graph(present, (result,), (node,)))).run(None, feeds)
    return results[0]


@formula("CastLike", why="it does not know the attributes of newer versions")
def cast_like(instance: Instance) -> tuple[Any, ...]:
    """Cast to the other's type."""
    x, like = instance.arrays
    names = {"saturate", "round_mode"} & set(instance.node.attributes)
    attributes = {n: instance.node.attributes[n] for n in names}
    target = DType.from_numpy(like.dtype).onnx
    row = by_reference("Cast", instance.node.version, {**attributes, "to": target}, (_row(x),))
    return (np.reshape(row, x.shape),)


_NARROW = ("float4", "float6", "float8")
_NIBBLES = ("int4", "uint4", "int2", "uint2")


def _row(x: Any) -> Any:
    """As a vector of the same values, integers of less than a byte in a byte, floats of a byte or less in float32."""
    name = "string" if x.dtype == object else DType.from_numpy(x.dtype).value
    if name in _NIBBLES:
        x = x.astype(np.int8)
    elif name.startswith(_NARROW):
        x = x.astype(np.float32)
    return x.reshape(-1)


def _awkward(case: Case) -> bool:
    x = case.inputs[0]
    return isinstance(x, Operand) and (x.shape == () or x.dtype in _NIBBLES or x.dtype.startswith(_NARROW))


@formula("Cast", when=_awkward, why="it fails for scalars of some types, and between some narrow ones")
def cast(instance: Instance) -> tuple[Any, ...]:
    """As a vector."""
    x = instance.arrays[0]
    row = by_reference("Cast", instance.node.version, instance.node.attributes, (_row(x),))
    return (np.reshape(row, x.shape),)


def _counted_from_the_end(case: Case) -> bool:
    return any(a < 0 for a in case.attributes.get("axes", ())) and not shrunk_to_one(case)


@formula("Resize", when=_counted_from_the_end, why="it fails for negative axes")
def resize(instance: Instance) -> tuple[Any, ...]:
    """With axes counted from the front."""
    axes: Any = instance.node.attributes["axes"]
    front = {**instance.node.attributes, "axes": tuple(a % instance.arrays[0].ndim for a in axes)}
    return (by_reference("Resize", instance.node.version, front, instance.arrays),)


@formula("Upsample", why="it has no such operator any more")
def upsample(instance: Instance) -> tuple[Any, ...]:
    """As Resize, of coordinates divided by the scales; the nearest is the one below."""
    x, scales = instance.arrays
    mode = str(instance.node.attributes.get("mode", "nearest"))
    given = {"mode": mode, "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return (by_reference("Resize", 13, given, (x, None, scales)),)
