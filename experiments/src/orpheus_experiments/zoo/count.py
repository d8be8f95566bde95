"""Counts of a model: parameters and multiply-accumulate operations, the way papers count them."""

from __future__ import annotations

import math

import onnx
from onnx import shape_inference

__all__ = ["macs", "parameters"]

# Inputs that training would change; running statistics and shape constants are not among them.
_LEARNED = {"Conv": (1, 2), "Gemm": (1, 2), "BatchNormalization": (1, 2)}


def parameters(model: onnx.ModelProto) -> int:
    """Elements of all weights, biases, and scales and shifts of BatchNormalization."""
    learned = {
        node.input[index]
        for node in model.graph.node
        for index in _LEARNED.get(node.op_type, ())
        if index < len(node.input)
    }
    return sum(math.prod(tensor.dims) for tensor in model.graph.initializer if tensor.name in learned)


def macs(model: onnx.ModelProto) -> int:
    """Multiply-accumulate operations of all Conv and Gemm nodes, without biases, by shape inference.

    Each output element of either costs as many as the row of weights it is a product with. Raises ValueError
    when the shape of such an output is not known.
    """
    weights = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    graph = shape_inference.infer_shapes(model).graph
    shapes = {value.name: value.type.tensor_type.shape for value in (*graph.value_info, *graph.output)}
    total = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "Gemm"):
            continue
        dims = shapes[node.output[0]].dim if node.output[0] in shapes else ()
        if not dims or not all(dim.HasField("dim_value") for dim in dims):
            raise ValueError(f"the output shape of {node.op_type} {node.name!r} is not known")
        total += math.prod(dim.dim_value for dim in dims) * math.prod(weights[node.input[1]][1:])
    return total
