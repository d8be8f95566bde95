"""Checks of single operators that neither their schemas nor ONNX's type inference make.

They run before type inference, which for some malformed nodes would crash or not return. A validator gives the
complaint as text, or None; facts that are not known at import never lead to one.
"""

from __future__ import annotations

from collections.abc import Callable

from orpheus_core.errors import ModelError
from orpheus_core.graph import Node
from orpheus_core.importer.validate import arrangement, layers, windows
from orpheus_core.importer.validate.choices import check_choices
from orpheus_core.importer.validate.einsum import einsum

_REDUCTIONS = (
    "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
    "ReduceProd", "ReduceSum", "ReduceSumSquare",
)  # fmt: skip
_ONE_AXIS = (
    "ArgMax", "ArgMin", "Concat", "CumProd", "Gather", "GatherElements", "Hardmax", "LogSoftmax",
    "LpNormalization", "ScatterElements", "Softmax", "SplitToSequence", "TensorScatter",
)  # fmt: skip

VALIDATORS: dict[str, Callable[[Node], str | None]] = {
    **{op: arrangement.axes_input for op in (*_REDUCTIONS, "Squeeze", "Unsqueeze")},
    **{op: arrangement.axis_attribute for op in _ONE_AXIS},
    **{op: arrangement.sizes_input for op in ("ConstantOfShape", "Expand", "Tile")},
    **{op: windows.pool for op in ("AveragePool", "LpPool", "MaxPool", "MaxUnpool")},
    **{op: windows.global_pool for op in ("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool")},
    **{op: windows.roi_pool for op in ("MaxRoiPool", "RoiAlign")},
    **{op: windows.blocks for op in ("DepthToSpace", "SpaceToDepth")},
    **{op: layers.recurrent for op in ("GRU", "LSTM", "RNN")},
    **{op: layers.layer_normalization for op in ("LayerNormalization", "RMSNormalization")},
    **{op: layers.instance_normalization for op in ("GroupNormalization", "InstanceNormalization")},
    **{op: layers.linear_quantization for op in ("DequantizeLinear", "QuantizeLinear")},
    **{op: layers.cross_entropy for op in ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")},
    **{op: layers.windowed for op in ("DFT", "STFT")},
    **{op: layers.attention for op in ("Attention", "RotaryEmbedding")},
    **{
        op: layers.window_function
        for op in ("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix")
    },
    **{
        op: layers.random_dtype
        for op in ("Bernoulli", "EyeLike", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
                   "RandomUniformLike", "SequenceEmpty")
    },
    "BatchNormalization": layers.batch_normalization,
    "Col2Im": windows.col2im,
    "Conv": windows.conv,
    "ConvInteger": windows.conv_integer,
    "ConvTranspose": windows.conv_transpose,
    "DeformConv": windows.deform_conv,
    "Einsum": einsum,
    "Gemm": layers.gemm,
    "GridSample": layers.grid_sample,
    "MatMulInteger": layers.matrix_zero_points,
    "Pad": arrangement.pad,
    "QLinearConv": windows.qlinear_conv,
    "Range": arrangement.range_,
    "Reshape": arrangement.reshape,
    "Resize": arrangement.resize,
    "ReverseSequence": layers.reverse_sequence,
    "Scan": layers.scan,
    "Slice": arrangement.slice_,
    "Split": arrangement.split,
    "TopK": arrangement.top_k,
    "Transpose": arrangement.transpose,
}  # fmt: skip


def check(node: Node, place: str) -> None:
    """Raise ModelError naming ``place`` when the node breaks a rule of its operator's page."""
    if node.domain:
        return
    validator = VALIDATORS.get(node.op)
    try:
        reason = check_choices(node) or (None if validator is None else validator(node))
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        reason = f"its operands make no sense ({error})"
    if reason is not None:
        raise ModelError(f"{place}: {reason}")
