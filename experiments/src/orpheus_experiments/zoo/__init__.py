"""Networks of the inference literature as ONNX, with seeded weights: numpy and onnx are all it takes."""

from __future__ import annotations

from orpheus_experiments.zoo.registry import NETWORKS, OPSET, Network, build, names

__all__ = ["NETWORKS", "OPSET", "Network", "build", "names"]
