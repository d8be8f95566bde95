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
    "ArgMax", "ArgMin", "Concat", "CumProd", "Gather", "Hardmax", "LogSoftmax",
    "LpNormalization", "Softmax", "SplitToSequence", "TensorScatter",
)  # fmt: skip

_WINDOW_FUNCTIONS = ("BlackmanWindow", "HammingWindow", "HannWindow", "MelWeightMatrix")
_TYPE_NUMBERS = (
    "Bernoulli", "EyeLike", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "SequenceEmpty",
)  # fmt: skip

# Lists of axes and sizes are as short as shapes; only these operators keep a vocabulary in an attribute.
_LONG_LISTS = frozenset(("StringNormalizer", "TfIdfVectorizer"))
_LONGEST_LIST = 4096

VALIDATORS: dict[str, Callable[[Node], str | None]] = {
    **dict.fromkeys((*_REDUCTIONS, "Squeeze", "Unsqueeze"), arrangement.axes_input),
    **dict.fromkeys(_ONE_AXIS, arrangement.axis_attribute),
    **dict.fromkeys(("ConstantOfShape", "Expand", "Tile"), arrangement.sizes_input),
    **dict.fromkeys(("AveragePool", "LpPool", "MaxPool", "MaxUnpool"), windows.pool),
    **dict.fromkeys(("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool"), windows.global_pool),
    **dict.fromkeys(("MaxRoiPool", "RoiAlign"), windows.roi_pool),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth"), windows.blocks),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), layers.recurrent),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), layers.layer_normalization),
    **dict.fromkeys(("GroupNormalization", "InstanceNormalization"), layers.instance_normalization),
    **dict.fromkeys(("DequantizeLinear", "QuantizeLinear"), layers.linear_quantization),
    **dict.fromkeys(("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), layers.cross_entropy),
    **dict.fromkeys(("DFT", "STFT"), layers.windowed),
    **dict.fromkeys(("Attention", "RotaryEmbedding"), layers.attention),
    **dict.fromkeys(_WINDOW_FUNCTIONS, layers.window_function),
    **dict.fromkeys(_TYPE_NUMBERS, layers.random_dtype),
    "BatchNormalization": layers.batch_normalization,
    "Col2Im": windows.col2im,
    "Conv": windows.conv,
    "ConvInteger": windows.conv_integer,
    "ConvTranspose": windows.conv_transpose,
    "DeformConv": windows.deform_conv,
    "Einsum": einsum,
    "GatherElements": arrangement.element_indices,
    "GatherND": arrangement.gather_nd,
    "Gemm": layers.gemm,
    "NonMaxSuppression": layers.boxes,
    "GridSample": layers.grid_sample,
    "MatMulInteger": layers.matrix_zero_points,
    "Pad": arrangement.pad,
    "QLinearConv": windows.qlinear_conv,
    "Range": arrangement.range_,
    "Reshape": arrangement.reshape,
    "Resize": arrangement.resize,
    "ReverseSequence": layers.reverse_sequence,
    "Scan": layers.scan,
    "ScatterElements": arrangement.element_indices,
    "Slice": arrangement.slice_,
    "Split": arrangement.split,
    "TopK": arrangement.top_k,
    "Transpose": arrangement.transpose,
}  # fmt: skip


def check(node: Node, place: str) -> None:
    """Raise ModelError naming ``place`` when the node breaks a rule of its operator's page."""
    if node.domain:
        return
    if node.op not in _LONG_LISTS:
        for name, value in node.attributes.items():
            if isinstance(value, tuple) and len(value) > _LONGEST_LIST:
                raise ModelError(f"{place}: attribute {name!r} has {len(value)} entries")
    validator = VALIDATORS.get(node.op)
    try:
        reason = check_choices(node) or (None if validator is None else validator(node))
    except (ValueError, IndexError, TypeError, ArithmeticError) as error:
        reason = f"its operands make no sense ({error})"
    if reason is not None:
        raise ModelError(f"{place}: {reason if len(reason) <= 400 else reason[:397] + '...'}")
