"""ONNX Runtime's contrib operators (domain ``com.microsoft``) that common quantizers and exporters write.

Signatures, attribute defaults and types are those of ONNX Runtime's page ContribOperators.md. A signature is
written ``"A A_scale:F A_zero_point? B -> C"``: names with their type constraint (``T`` when left out), ``?`` for
optional and ``*`` for variadic. ``infer`` gives the types of a node's outputs, as far as its inputs' types tell them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import onnx
from onnx import defs

from orpheus_core.graph import Node
from orpheus_core.ops import contrib_types as types
from orpheus_core.ops.spec import CONTRIB_DOMAIN, OpSpec
from orpheus_core.types import ValueType

__all__ = ["SPECS"]

_Schema = defs.OpSchema
_Option = _Schema.FormalParameterOption
_Kind = _Schema.AttrType

_INT8 = ("uint8", "int8")
_FLOATS = ("float", "float16", "double", "bfloat16")
_F: Mapping[str, tuple[str, ...]] = {"T": _INT8, "F": ("float",)}
_WINDOW = {"auto_pad": "NOTSET", "kernel_shape": _Kind.INTS, "pads": _Kind.INTS, "strides": _Kind.INTS}


class _Required:
    def __init__(self, kind: Any) -> None:
        self.kind = kind


def _parameter(text: str) -> defs.OpSchema.FormalParameter:
    name, _, constraint = text.partition(":")
    option = _Option.Single
    if name[-1] in "?*":
        option = _Option.Optional if name[-1] == "?" else _Option.Variadic
        name = name[:-1]
    return _Schema.FormalParameter(
        name, constraint or "T", "", param_option=option, is_homogeneous=name != "inputs"
    )


def _attribute(name: str, default: Any) -> defs.OpSchema.Attribute:
    if isinstance(default, _Required):
        return _Schema.Attribute(name, default.kind, "", required=True)
    if isinstance(default, _Kind):
        return _Schema.Attribute(name, default, "", required=False)
    return _Schema.Attribute(name, onnx.helper.make_attribute(name, default), "")


def _spec(
    name: str,
    signature: str,
    infer: Callable[[Node], tuple[ValueType, ...]],
    constraints: Mapping[str, tuple[str, ...]] | None = None,
    **attributes: Any,
) -> OpSpec:
    inputs, _, outputs = signature.partition("->")
    schema = _Schema(
        name,
        CONTRIB_DOMAIN,
        1,
        f"com.microsoft.{name}, as ONNX Runtime's ContribOperators.md defines it.",
        inputs=list(map(_parameter, inputs.split())),
        outputs=list(map(_parameter, outputs.split())),
        type_constraints=[
            (key, [f"tensor({t})" for t in kinds], "")
            for key, kinds in (constraints or {"T": _FLOATS}).items()
        ],
        attributes=[_attribute(key, default) for key, default in attributes.items()],
    )
    return OpSpec(schema, infer=lambda node: infer(node)[: len(node.outputs)])


_ARITHMETIC = "A A_scale:F A_zero_point? B B_scale:F B_zero_point? C_scale:F C_zero_point? -> C"
_UNARY = "X X_scale:F X_zero_point? Y_scale:F Y_zero_point? -> Y"
_INT = {"QT": (*_INT8, "int16", "uint16", "int4", "uint4"), "T": ("float", "float16")}

SPECS: tuple[OpSpec, ...] = (
    # Quantized
    _spec("QLinearAdd", _ARITHMETIC, types.broadcast(0, 3), _F),
    _spec("QLinearMul", _ARITHMETIC, types.broadcast(0, 3), _F),
    _spec("QLinearSigmoid", _UNARY, types.same, _F),
    _spec("QLinearLeakyRelu", _UNARY, types.same, _F, alpha=0.01),
    _spec(
        "QLinearSoftmax",
        "X X_scale:F x_zero_point? y_scale:F y_zero_point -> Y",
        types.same, _F, axis=-1, opset=_Required(_Kind.INT),
    ),
    _spec(
        "QLinearConcat",
        "Y_scale:F Y_zero_point inputs*:TV -> Y",
        types.qlinear_concat, {**_F, "TV": (*_INT8, "float")}, axis=_Required(_Kind.INT),
    ),
    _spec(
        "QLinearAveragePool",
        "X x_scale:F x_zero_point? y_scale:F y_zero_point? -> Y",
        types.pool, _F, **{**_WINDOW, "kernel_shape": _Required(_Kind.INTS)},
        ceil_mode=0, channels_last=0, count_include_pad=0,
    ),
    _spec(
        "QLinearGlobalAveragePool",
        "X x_scale:F x_zero_point y_scale:F y_zero_point -> Y",
        types.global_pool, _F, channels_last=0,
    ),
    _spec(
        "QGemm",
        "A:TA a_scale a_zero_point:TA B:TB b_scale b_zero_point:TB C?:TC y_scale? y_zero_point?:TYZ -> Y:TY",
        types.qgemm,
        {"T": ("float",), "TA": _INT8, "TB": _INT8, "TC": ("int32",), "TYZ": _INT8, "TY": ("float", *_INT8)},
        alpha=1.0, transA=0, transB=0,
    ),
    _spec(
        "MatMulIntegerToFloat",
        "A:TA B:TB a_scale b_scale a_zero_point?:TA b_zero_point?:TB bias? -> Y",
        types.matmul(2), {"TA": _INT8, "TB": _INT8, "T": ("float", "float16")},
    ),
    _spec(
        "DynamicQuantizeMatMul",
        "A B:TB b_scale b_zero_point?:TB bias? -> Y",
        types.matmul(0), {"T": ("float",), "TB": _INT8},
    ),
    _spec("QuantizeLinear", "x y_scale y_zero_point?:QT -> y:QT", types.quantize, _INT, axis=_Kind.INT),
    _spec(
        "DequantizeLinear",
        "x:QT x_scale x_zero_point?:QT -> y",
        types.dequantize, {**_INT, "QT": (*_INT["QT"], "int32")}, axis=_Kind.INT,
    ),
    # Activations
    _spec("Gelu", "X -> Y", types.same),
    _spec("FastGelu", "X bias? -> Y", types.same),
    _spec("BiasGelu", "A B -> C", types.same),
    _spec("QuickGelu", "X -> Y", types.same, alpha=1.702),
    # Fused products
    _spec(
        "FusedConv",
        "X W B? Z? -> Y",
        types.conv, {"T": ("float", "float16", "double")},
        **_WINDOW, dilations=_Kind.INTS, group=1, activation=_Kind.STRING, activation_params=_Kind.FLOATS,
    ),
    _spec(
        "FusedGemm",
        "A B C? -> Y",
        types.gemm, {"T": ("float", "float16", "double")}, alpha=1.0, beta=1.0, transA=0, transB=0,
        activation=_Kind.STRING, activation_alpha=_Kind.FLOAT, activation_beta=_Kind.FLOAT,
        activation_gamma=_Kind.FLOAT,
    ),
    _spec(
        "FusedMatMul", "A B -> Y", types.matmul(0),
        alpha=1.0, transA=0, transB=0, transBatchA=0, transBatchB=0,
    ),
    # Transformers
    _spec(
        "SkipLayerNormalization",
        "input skip gamma beta? bias? -> output mean?:U inv_std_var?:U input_skip_bias_sum?",
        types.skip_norm, {"T": _FLOATS, "U": ("float",)}, epsilon=1e-12,
    ),
    _spec(
        "SkipSimplifiedLayerNormalization",
        "input skip gamma bias? -> output mean?:U inv_std_var?:U input_skip_bias_sum?",
        types.skip_norm, {"T": _FLOATS, "U": ("float",)}, epsilon=1e-12,
    ),
    _spec(
        "EmbedLayerNormalization",
        "input_ids:I segment_ids?:I word_embedding position_embedding segment_embedding? gamma beta mask?:I "
        "position_ids?:I -> output mask_index?:I embedding_sum?",
        types.embed_norm, {"T": ("float", "float16"), "I": ("int32",)}, epsilon=1e-12, mask_index_type=_Kind.INT,
    ),
    _spec(
        "MultiHeadAttention",
        "query key? value? bias? key_padding_mask?:M attention_bias? past_key? past_value? "
        "past_sequence_length?:M cache_indirection?:M -> output present_key? present_value? qk?",
        types.multi_head_attention, {"T": ("float", "float16", "bfloat16"), "M": ("int32",)},
        num_heads=_Required(_Kind.INT), mask_filter_value=_Kind.FLOAT, scale=_Kind.FLOAT, unidirectional=0,
    ),
    _spec(
        "Attention",
        "input weights bias? mask_index?:M past? attention_bias? past_sequence_length?:M -> output present?",
        types.attention, {"T": ("float", "float16", "bfloat16"), "M": ("int32",)},
        num_heads=_Required(_Kind.INT), qkv_hidden_sizes=_Kind.INTS, mask_filter_value=_Kind.FLOAT,
        scale=_Kind.FLOAT, unidirectional=0, do_rotary=_Kind.INT, rotary_embedding_dim=_Kind.INT,
        past_present_share_buffer=_Kind.INT,
    ),
)  # fmt: skip
