"""Quantization and the operators on quantized tensors."""
