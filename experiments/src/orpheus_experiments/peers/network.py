"""An ONNX file as a list of layers with constants apart: what our converters to other formats read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from orpheus_core.errors import UnsupportedModelError
from orpheus_core.types import Array

__all__ = ["Layer", "Network", "floats", "pads_of", "read"]


@dataclass(frozen=True)
class Layer:
    """One node; an omitted input is an empty name."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]


@dataclass(frozen=True)
class Network:
    """Layers in running order; ``shapes`` of all values that are not constants."""

    layers: tuple[Layer, ...]
    constants: Mapping[str, Array]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    shapes: Mapping[str, tuple[int, ...]]


def read(path: Path) -> Network:
    """The network in ``path``; UnsupportedModelError when a shape is not fixed."""
    graph = shape_inference.infer_shapes(onnx.load(path), strict_mode=True, data_prop=True).graph
    constants: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    layers = []
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if node.op_type == "Constant" and "value" in attributes:
            constants[node.output[0]] = numpy_helper.to_array(attributes["value"])
        else:
            layers.append(Layer(node.op_type, tuple(node.input), tuple(node.output), attributes))
    shapes = {}
    for value in (*graph.input, *graph.value_info, *graph.output):
        dims = value.type.tensor_type.shape.dim
        if any(not d.HasField("dim_value") for d in dims):
            raise UnsupportedModelError(f"the shape of {value.name!r} is not fixed; give --shape")
        shapes[value.name] = tuple(d.dim_value for d in dims)
    inputs = tuple(v.name for v in graph.input if v.name not in constants)
    return Network(tuple(layers), constants, inputs, tuple(v.name for v in graph.output), shapes)


def pads_of(layer: Layer, rank: int) -> tuple[tuple[int, int], ...]:
    """(before, after) of each spatial axis; UnsupportedModelError for ``auto_pad``."""
    if layer.attributes.get("auto_pad", b"NOTSET") not in (b"NOTSET", b"VALID"):
        raise UnsupportedModelError(f"{layer.op} with auto_pad is not converted")
    pads = layer.attributes.get("pads", [0] * (2 * rank))
    return tuple(zip(pads[:rank], pads[rank:]))


def floats(array: Array) -> Array:
    """As contiguous float32."""
    return np.asarray(array, np.float32, order="C")  # not ascontiguousarray, which makes a scalar a vector
