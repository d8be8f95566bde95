"""Quantization and the operators on quantized tensors."""

from __future__ import annotations

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

KERNELS: tuple[Kernel, ...] = (
    reference("ConvInteger", "quant.integer:conv_integer"),
    reference("DequantizeLinear", "quant.linear:dequantize_linear"),
    reference("DynamicQuantizeLinear", "quant.linear:dynamic_quantize_linear"),
    reference("MatMulInteger", "quant.integer:matmul_integer"),
    reference("QLinearConv", "quant.integer:qlinear_conv"),
    reference("QLinearMatMul", "quant.integer:qlinear_matmul"),
    reference("QuantizeLinear", "quant.linear:quantize_linear"),
)
