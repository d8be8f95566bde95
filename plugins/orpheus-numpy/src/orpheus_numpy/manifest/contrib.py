"""Operators of ONNX Runtime's domain ``com.microsoft``."""

from __future__ import annotations

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

_REFERENCES = {
    "Attention": "contrib.attention:attention",
    "BiasGelu": "contrib.fused:bias_gelu",
    "DequantizeLinear": "quant.linear:dequantize_linear",
    "DynamicQuantizeMatMul": "contrib.qgemm:dynamic_quantize_matmul",
    "EmbedLayerNormalization": "contrib.normalization:embed_layer_normalization",
    "FastGelu": "contrib.fused:fast_gelu",
    "FusedConv": "contrib.fused:fused_conv",
    "FusedGemm": "contrib.fused:fused_gemm",
    "FusedMatMul": "contrib.fused:fused_matmul",
    "Gelu": "math.activation:gelu",
    "MatMulIntegerToFloat": "contrib.qgemm:matmul_integer_to_float",
    "MultiHeadAttention": "contrib.attention:multi_head_attention",
    "QGemm": "contrib.qgemm:qgemm",
    "QLinearAdd": "contrib.qlinear:qlinear_add",
    "QLinearAveragePool": "contrib.qlinear:qlinear_average_pool",
    "QLinearConcat": "contrib.qlinear:qlinear_concat",
    "QLinearGlobalAveragePool": "contrib.qlinear:qlinear_global_average_pool",
    "QLinearLeakyRelu": "contrib.qlinear:qlinear_leaky_relu",
    "QLinearMul": "contrib.qlinear:qlinear_mul",
    "QLinearSigmoid": "contrib.qlinear:qlinear_sigmoid",
    "QLinearSoftmax": "contrib.qlinear:qlinear_softmax",
    "QuantizeLinear": "quant.linear:quantize_linear",
    "QuickGelu": "contrib.fused:quick_gelu",
    "SkipLayerNormalization": "contrib.normalization:skip_layer_normalization",
    "SkipSimplifiedLayerNormalization": "contrib.normalization:skip_simplified_layer_normalization",
}

KERNELS: tuple[Kernel, ...] = tuple(
    reference(op, ref, domain="com.microsoft") for op, ref in _REFERENCES.items()
)
