"""Operators of ONNX Runtime's domain ``com.microsoft`` that common quantizers and exporters write."""
