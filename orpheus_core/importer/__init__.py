"""Untrusted bytes to a typed :class:`~orpheus_core.graph.Graph`, and a Graph back to ONNX."""

from orpheus_core.importer.bind import bind_shapes
from orpheus_core.importer.export import to_onnx
from orpheus_core.importer.infer import infer_types
from orpheus_core.importer.limits import Limits
from orpheus_core.importer.load import Model, load

__all__ = ["Limits", "Model", "bind_shapes", "infer_types", "load", "to_onnx"]
