"""Distributions and models made on the spot, for tests that need a plugin or a file."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def write_distribution(site: Path, name: str, source: str, distribution: str | None = None) -> str:
    """Put a plugin into the folder ``site`` as pip would: a module and its dist-info; gives the module's name.

    ``name`` is the entry point's; the distribution is called ``fake-NAME`` unless told otherwise, at version 1.5.
    """
    distribution = distribution or f"fake-{name}"
    module = distribution.replace("-", "_")
    (site / f"{module}.py").write_text(textwrap.dedent(source))
    info = site / f"{module}-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text(f"[orpheus.backends]\n{name} = {module}\n")
    return module


def small_network(seed: int = 0) -> onnx.ModelProto:
    """Conv 3x3, BatchNormalization, Relu, global pooling, Gemm: x [N, 3, 8, 8] to y [N, 5]."""
    random = np.random.default_rng(seed)
    arrays = {
        "W": random.standard_normal((4, 3, 3, 3)),
        "scale": random.uniform(0.5, 1.5, 4),
        "bias": random.standard_normal(4),
        "mean": random.standard_normal(4),
        "var": random.uniform(0.5, 1.5, 4),
        "G": random.standard_normal((4, 5)),
    }
    nodes = [
        helper.make_node("Conv", ["x", "W"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "bias", "mean", "var"], ["b"], "norm"),
        helper.make_node("Relu", ["b"], ["r"], "relu"),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], "pool"),
        helper.make_node("Flatten", ["p"], ["f"], "flat"),
        helper.make_node("Gemm", ["f", "G"], ["y"], "gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 5])],
        [numpy_helper.from_array(a.astype(np.float32), name) for name, a in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def unary_network(op: str, shape: tuple[int, ...] = (2, 3)) -> onnx.ModelProto:
    """One node: y = op(x), float32."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    graph = helper.make_graph([helper.make_node(op, ["x"], ["y"], "only")], "unary", infos[:1], infos[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
