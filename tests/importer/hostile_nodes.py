"""Single nodes that break a rule of their operator's page."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from importer.making import BOOL, FLOAT, INT64, constant, model_of, tensor_info
from onnx import helper


def one_node(
    op: str, shapes: Any, outputs: int = 1, *, opset: int = 20, dtypes: Any = (), **attributes: Any
) -> Any:
    """A model of one operator whose inputs have these shapes (None leaves one out, an array is a constant)."""
    names, infos, stored = [], [], []
    for n, shape in enumerate(shapes):
        if shape is None:
            names.append("")
            continue
        names.append(f"i{n}")
        if isinstance(shape, np.ndarray):
            stored.append(constant(f"i{n}", shape))
        else:
            infos.append(tensor_info(f"i{n}", shape, dtypes[n] if n < len(dtypes) else FLOAT))
    outs = [f"o{n}" for n in range(outputs)]
    node = helper.make_node(op, names, outs, "n", **attributes)
    return model_of(
        [node], infos, [onnx.ValueInfoProto(name=o) for o in outs], initializers=stored, opset=opset
    )


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


HUGE = 2**62
# Operator, input shapes, attributes (and "outputs", "dtypes", "opset" of one_node)
NODES: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "conv-zero-stride": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"strides": [0, 0]}),
    "conv-huge-stride": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"strides": [HUGE, HUGE]}),
    "conv-negative-dilation": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"dilations": [-1, 1]}),
    "conv-negative-pads": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"pads": [-9, 0, 0, 0]}),
    "conv-short-pads": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"pads": [1, 1]}),
    "conv-zero-group": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"group": 0}),
    "conv-group-mismatch": ("Conv", [[1, 4, 8, 8], [4, 3, 3, 3]], {"group": 2}),
    "conv-channels": ("Conv", [[1, 5, 8, 8], [4, 3, 3, 3]], {}),
    "conv-rank": ("Conv", [[1, 3, 8, 8], [4, 3, 3]], {}),
    "conv-bias": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3], [5]], {}),
    "conv-kernel-mismatch": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"kernel_shape": [5, 5]}),
    "conv-auto-pad": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3]], {"auto_pad": "SAME"}),
    "conv-missing-weights": ("Conv", [[1, 3, 8, 8]], {}),
    "conv-too-many-inputs": ("Conv", [[1, 3, 8, 8], [4, 3, 3, 3], [4], [4]], {}),
    "conv-transpose-output-padding": (
        "ConvTranspose",
        [[1, 3, 8, 8], [3, 4, 3, 3]],
        {"output_padding": [-1, 0]},
    ),
    "pool-no-kernel": ("MaxPool", [[1, 3, 8, 8]], {}),
    "pool-kernel-rank": ("MaxPool", [[1, 3, 8, 8]], {"kernel_shape": [2, 2, 2]}),
    "pool-kernel-zero": ("AveragePool", [[1, 3, 8, 8]], {"kernel_shape": [0, 2]}),
    "pool-rank": ("AveragePool", [[3, 8]], {"kernel_shape": [2]}),
    "lp-pool-p": ("LpPool", [[1, 3, 8, 8]], {"kernel_shape": [2, 2], "p": 0}),
    "depth-to-space-zero": ("DepthToSpace", [[1, 4, 2, 2]], {"blocksize": 0}),
    "depth-to-space-indivisible": ("DepthToSpace", [[1, 5, 2, 2]], {"blocksize": 2}),
    "space-to-depth-negative": ("SpaceToDepth", [[1, 4, 2, 2]], {"blocksize": -2}),
    "matmul-shapes": ("MatMul", [[2, 3], [4, 5]], {}),
    "gemm-rank": ("Gemm", [[2, 3, 4], [3, 4]], {}),
    "gemm-c": ("Gemm", [[2, 3], [3, 4], [3]], {}),
    "gemm-inner": ("Gemm", [[2, 3], [4, 5]], {}),
    "add-shapes": ("Add", [[2, 3], [4]], {}),
    "add-dtypes": ("Add", [[2], [2]], {"dtypes": [FLOAT, INT64]}),
    "add-bool": ("Add", [[2], [2]], {"dtypes": [BOOL, BOOL]}),
    "and-float": ("And", [[2], [2]], {}),
    "concat-axis": ("Concat", [[2, 3], [2, 3]], {"axis": 2}),
    "concat-shapes": ("Concat", [[2, 3], [3, 3]], {"axis": 1}),
    "concat-no-axis": ("Concat", [[2, 3], [2, 3]], {}),
    "split-sum": ("Split", [[10, 2], ints(3, 3)], {"outputs": 2}),
    "split-count": ("Split", [[10, 2], ints(5, 5)], {"outputs": 3}),
    "split-negative": ("Split", [[10, 2], ints(-5, 15)], {"outputs": 2}),
    "split-both": ("Split", [[10, 2], ints(5, 5)], {"outputs": 2, "num_outputs": 2}),
    "split-axis": ("Split", [[10, 2], ints(5, 5)], {"outputs": 2, "axis": 2}),
    "reshape-two-unknown": ("Reshape", [[2, 3], ints(-1, -1)], {}),
    "reshape-negative": ("Reshape", [[2, 3], ints(-2, 3)], {}),
    "reshape-count": ("Reshape", [[2, 3], ints(4, 2)], {}),
    "reshape-indivisible": ("Reshape", [[2, 3], ints(4, -1)], {}),
    "reshape-overflow": ("Reshape", [[2, 3], ints(HUGE, HUGE)], {}),
    "reshape-rank": ("Reshape", [[1], ints(*[1] * 200)], {}),
    "reshape-zero-of-nothing": ("Reshape", [[2, 3], ints(2, 3, 0)], {}),
    "transpose-repeat": ("Transpose", [[2, 3, 4]], {"perm": [0, 0, 1]}),
    "transpose-short": ("Transpose", [[2, 3, 4]], {"perm": [1, 0]}),
    "squeeze-axis": ("Squeeze", [[1, 3], ints(5)], {}),
    "squeeze-not-one": ("Squeeze", [[2, 3], ints(0)], {}),
    "unsqueeze-repeat": ("Unsqueeze", [[2, 3], ints(0, 0)], {}),
    "reduce-axis": ("ReduceSum", [[2, 3], ints(7)], {}),
    "gather-axis": ("Gather", [[2, 3], ints(0)], {"axis": 4}),
    "gather-nd-batch": ("GatherND", [[2, 3], ints(0)], {"batch_dims": -3}),
    "slice-step-zero": ("Slice", [[5], ints(0), ints(5), ints(0), ints(0)], {}),
    "slice-lengths": ("Slice", [[5, 5], ints(0, 0), ints(5)], {}),
    "slice-axes": ("Slice", [[5, 5], ints(0, 0), ints(5, 5), ints(0, 0)], {}),
    "pad-odd": ("Pad", [[5, 5], ints(1, 1, 1)], {}),
    "pad-reflect-too-far": ("Pad", [[2, 2], ints(0, 2, 0, 1)], {"mode": "reflect"}),
    "pad-mode": ("Pad", [[2, 2], ints(0, 1, 0, 1)], {"mode": "mirror"}),
    "pad-negative-too-far": ("Pad", [[2, 2], ints(-2, 0, -1, 0)], {}),
    "pad-overflow": ("Pad", [[2, 2], ints(HUGE, HUGE, HUGE, HUGE)], {}),
    "tile-rank": ("Tile", [[2, 2], ints(1)], {}),
    "tile-overflow": ("Tile", [[2, 2], ints(HUGE, HUGE)], {}),
    "expand-negative": ("Expand", [[2], ints(-1, 2)], {}),
    "expand-huge": ("Expand", [[2], ints(HUGE, 2)], {}),
    "constant-of-shape-huge": ("ConstantOfShape", [ints(2**40, 2**20)], {}),
    "constant-of-shape-negative": ("ConstantOfShape", [ints(-4)], {}),
    "constant-of-shape-values": (
        "ConstantOfShape",
        [ints(4)],
        {"value": constant("", np.zeros(2, np.float32))},
    ),
    "range-zero-step": ("Range", [np.array(0.0), np.array(1.0), np.array(0.0)], {}),
    "range-infinite": ("Range", [np.zeros(()), np.array(np.inf), np.ones(())], {}),
    "range-huge": ("Range", [np.array(0), np.array(2**62), np.array(1)], {}),
    "top-k-too-many": ("TopK", [[2, 3], ints(4)], {"outputs": 2}),
    "top-k-negative": ("TopK", [[2, 3], ints(-1)], {"outputs": 2}),
    "one-hot-depth": ("OneHot", [[2], np.array(-3), np.array([0.0, 1.0], np.float32)], {"dtypes": [INT64]}),
    "einsum-ellipses": ("Einsum", [[3, 3, 3], [3, 3, 3]], {"equation": "......ii,...jj->...ij"}),
    "einsum-terms": ("Einsum", [[3, 3]], {"equation": "ij,jk->ik"}),
    "einsum-sizes": ("Einsum", [[3, 4], [5, 6]], {"equation": "ij,jk->ik"}),
    "einsum-rank": ("Einsum", [[3, 4]], {"equation": "ijk->i"}),
    "einsum-unknown": ("Einsum", [[3, 4]], {"equation": "ij->k"}),
    "einsum-symbols": ("Einsum", [[3, 4]], {"equation": "i$->i"}),
    "einsum-long": ("Einsum", [[3, 4]], {"equation": "a" * 2**20}),
    "einsum-dots": ("Einsum", [[3, 4]], {"equation": "." * 1001}),
    "resize-neither": ("Resize", [[1, 1, 4, 4]], {}),
    "resize-zero-scale": ("Resize", [[1, 1, 4, 4], None, np.array([1, 1, 0, 1], np.float32)], {}),
    "resize-nan-scale": ("Resize", [[1, 1, 4, 4], None, np.array([1, 1, np.nan, 1], np.float32)], {}),
    "resize-huge-scale": ("Resize", [[1, 1, 4, 4], None, np.array([1, 1, 1e30, 1], np.float32)], {}),
    "resize-count": ("Resize", [[1, 1, 4, 4], None, np.array([1, 2], np.float32)], {}),
    "resize-mode": ("Resize", [[1, 1, 4, 4], None, np.array([1, 1, 2, 2], np.float32)], {"mode": "area"}),
    "layer-norm-axis": ("LayerNormalization", [[2, 3], [3]], {"axis": 5}),
    "layer-norm-bias": ("LayerNormalization", [[2, 3], [3], [4]], {}),
    "batch-norm-scale": ("BatchNormalization", [[2, 3, 4], [4], [3], [3], [3]], {}),
    "group-norm-groups": ("GroupNormalization", [[2, 3, 4], [3], [3]], {"num_groups": 2, "opset": 21}),
    "instance-norm-scale": ("InstanceNormalization", [[2, 3, 4], [4], [3]], {}),
    "lp-norm-p": ("LpNormalization", [[2, 3]], {"p": 3}),
    "quantize-scale": ("QuantizeLinear", [[2, 3], [2]], {"axis": 1}),
    "dequantize-zero-point": ("DequantizeLinear", [[2, 3], [3], [2]], {"dtypes": [3, 1, 3]}),
    "dequantize-blocks": (
        "DequantizeLinear",
        [[2, 6], [2, 2]],
        {"dtypes": [3, 1], "block_size": 2, "opset": 21},
    ),
    "lstm-hidden": ("LSTM", [[4, 1, 2], [1, 12, 2], [1, 12, 3]], {"hidden_size": 5, "outputs": 2}),
    "lstm-peepholes": ("LSTM", [[4, 1, 2], [1, 12, 2], [1, 12, 3], *[None] * 4, [1, 8]], {"hidden_size": 3}),
    "lstm-cells": ("LSTM", [[4, 2, 2], [1, 12, 2], [1, 12, 3], *[None] * 3, [1, 1, 3]], {"hidden_size": 3}),
    "gru-states": (
        "GRU",
        [[2, 4, 2], [1, 9, 2], [1, 9, 3], None, None, [1, 2, 3]],
        {"hidden_size": 3, "layout": 1},
    ),
    "gru-direction": ("GRU", [[4, 1, 2], [1, 9, 2], [1, 9, 3]], {"hidden_size": 3, "direction": "sideways"}),
    "cross-entropy-labels": ("SoftmaxCrossEntropyLoss", [[2, 4, 2], [2]], {"dtypes": [FLOAT, INT64]}),
    "cross-entropy-reduction": (
        "SoftmaxCrossEntropyLoss",
        [[2, 4], [2]],
        {"dtypes": [1, 7], "reduction": "most"},
    ),
    "grid-sample-grid": ("GridSample", [[1, 1, 4, 4], [1, 4, 4, 3]], {}),
    "dft-rank": ("DFT", [[4]], {}),
    "random-dtype": ("RandomNormal", [], {"dtype": 6, "shape": [2]}),
    "random-rank": ("RandomNormal", [], {"shape": [1] * 10**6}),
    "random-negative": ("RandomUniform", [], {"shape": [3, -1]}),
    "random-dtype-unknown": ("EyeLike", [[2, 2]], {"dtype": 999}),
    "cast-unknown": ("Cast", [[2]], {"to": 77}),
    "cast-undefined": ("Cast", [[2]], {"to": 0}),
    "unknown-attribute": ("Relu", [[2]], {"alpha": 0.5}),
    "attribute-type": ("LeakyRelu", [[2]], {"alpha": "0.5"}),
    "attribute-list-for-number": ("Softmax", [[2]], {"axis": [1, 2]}),
    "no-inputs": ("Relu", [], {}),
    "too-many-outputs": ("Relu", [[2]], {"outputs": 3}),
    "negative-dimension": ("Relu", [[-5, 2]], {}),
    "overflowing-dimensions": ("Relu", [[2**31, 2**31, 4]], {}),
    "largest-dimension": ("Relu", [[2**63 - 1]], {}),
    "deep-rank": ("Relu", [[1] * 100], {}),
    "unknown-operator": ("Frobnicate", [[2]], {}),
    "operator-of-a-later-opset": ("Gelu", [[2]], {"opset": 13}),
    "opset-from-the-future": ("Relu", [[2]], {"opset": 999}),
    "opset-zero": ("Relu", [[2]], {"opset": 0}),
    "float-indices": ("Gather", [[2, 3], [2]], {}),
    "gather-elements-rank": ("GatherElements", [[2, 3], [2]], {"dtypes": [FLOAT, INT64]}),
    "flatten-axis": ("Flatten", [[2, 3]], {"axis": 9}),
    "arg-max-axis": ("ArgMax", [[2, 3]], {"axis": -3}),
    "trilu-rank": ("Trilu", [[4]], {}),
    "det-rank": ("Det", [[4, 3]], {}),
    "nms-boxes": ("NonMaxSuppression", [[1, 4, 5], [1, 1, 4]], {}),
    "col2im-blocks": ("Col2Im", [[1, 5, 5], ints(5, 5), ints(1, -5)], {}),
    "reverse-sequence-axes": (
        "ReverseSequence",
        [[2, 3], [3]],
        {"dtypes": [1, 7], "time_axis": 3, "batch_axis": 3},
    ),
    "stft-step": ("STFT", [[1, 16, 1], np.array(0)], {}),
    "hann-negative": ("HannWindow", [np.array(-4)], {}),
    "scatter-reduction": ("ScatterND", [[4], [1, 1], [1]], {"dtypes": [1, 7, 1], "reduction": "xor"}),
}
