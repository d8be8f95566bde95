"""Reference kernels of ai.onnx.ml and of ai.onnx.preview.training."""
