"""The first model that each library sees, so that its own start is not counted as the load of another."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from orpheus_core.types import Array

__all__ = ["prime", "prime_feeds"]

_SHAPE = (1, 8, 8, 8)


def prime() -> onnx.ModelProto:
    """A convolution and a Relu on one small image."""
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, _SHAPE) for n in "xy"]
    weight = numpy_helper.from_array(np.full((8, 8, 3, 3), 0.01, np.float32), "W")
    nodes = [
        helper.make_node("Conv", ["x", "W"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["y"], "relu"),
    ]
    graph = helper.make_graph(nodes, "prime", infos[:1], infos[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def prime_feeds() -> dict[str, Array]:
    """Its input."""
    return {"x": np.zeros(_SHAPE, np.float32)}
