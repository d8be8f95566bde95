"""A layer whose shapes only the run shows: who computes it is told."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from orpheus_core import InferenceSession, discovery


@pytest.mark.skipif(
    not any(row.name == "openmp" and row.ready for row in discovery.backends()),
    reason="needs a backend that takes no empty tensors: orpheus-openmp",
)
def test_the_profile_names_the_kernel_that_ran():
    nodes = [
        helper.make_node("NonZero", ["x"], ["places"]),
        helper.make_node("Transpose", ["places"], ["rows"], perm=[1, 0]),
        helper.make_node("GatherND", ["x", "rows"], ["y"], name="pick"),
    ]
    graph = helper.make_graph(
        nodes,
        "late",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = InferenceSession(model, providers=["openmp", "numpy"])
    for x, backend in ((np.ones((2, 3), np.float32), "openmp"), (np.zeros((2, 3), np.float32), "numpy")):
        (row,) = (row for row in session.profile({"x": x}, warmup=0).rows if row.node == "pick")
        assert row.kernel.partition(":")[0] == backend
