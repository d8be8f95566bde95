"""ONNX's own node tests as a fixed corpus: cases that nobody here made up."""
