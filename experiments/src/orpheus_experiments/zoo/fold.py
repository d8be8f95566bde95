"""BatchNormalization behind a convolution becomes part of its weights, as exporters do for inference."""

from __future__ import annotations

from collections import Counter
from collections.abc import MutableMapping

import numpy as np
import onnx

from orpheus_core.types import Array

__all__ = ["fold_batch_normalization"]


def fold_batch_normalization(nodes: list[onnx.NodeProto], constants: MutableMapping[str, Array]) -> None:
    """Fold, in place, every BatchNormalization whose input is a convolution that nothing else reads.

    The convolution takes over the output of the BatchNormalization; one that follows anything else (as in
    pre-activation networks) stays. Weights of a convolution are taken to be its own.
    """
    readers = Counter(name for node in nodes for name in node.input)
    convolutions = {node.output[0]: node for node in nodes if node.op_type == "Conv"}
    kept: list[onnx.NodeProto] = []
    for node in nodes:
        source = convolutions.get(node.input[0]) if node.op_type == "BatchNormalization" else None
        if source is None or readers[node.input[0]] != 1:
            kept.append(node)
        else:
            _fold(source, node, constants)
    nodes[:] = kept


def _fold(conv: onnx.NodeProto, norm: onnx.NodeProto, constants: MutableMapping[str, Array]) -> None:
    gamma, beta, mean, var = (constants.pop(name).astype(np.float64) for name in norm.input[1:5])
    epsilon = next(a.f for a in norm.attribute if a.name == "epsilon")
    scale = gamma / np.sqrt(var + epsilon)
    weight = conv.input[1]
    constants[weight] = constants[weight] * scale.astype(np.float32)[:, None, None, None]
    if len(conv.input) < 3:
        conv.input.append(weight.removesuffix("weight") + "bias")
        constants[conv.input[2]] = np.zeros(len(scale), np.float32)
    bias = constants[conv.input[2]]
    constants[conv.input[2]] = ((bias - mean) * scale + beta).astype(np.float32)
    conv.output[0] = norm.output[0]
