"""A network that ends each layer in QuantizeLinear runs on integers from end to end."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx.parser
import pytest
from onnx import numpy_helper

import orpheus_core as orpheus

TEXT = """
<ir_version: 10, opset_import: ["" : 21]>
network (float[2,1,40] x) => (float[2,3] y) {
    x0 = QuantizeLinear(x, s0, z0)
    d0 = DequantizeLinear(x0, s0, z0)
    w1d = DequantizeLinear<axis=0>(w1, s1w, z1w)
    v1 = Conv<pads=[2,2]>(d0, w1d, b1)
    r1 = Relu(v1)
    q1 = QuantizeLinear(r1, s1, z1)
    d1 = DequantizeLinear(q1, s1, z1)
    p1 = MaxPool<kernel_shape=[3], strides=[2]>(d1)
    q2 = QuantizeLinear(p1, s1, z1)
    d2 = DequantizeLinear(q2, s1, z1)
    f2 = Flatten(d2)
    q3 = QuantizeLinear(f2, s1, z1)
    d3 = DequantizeLinear(q3, s1, z1)
    w3d = DequantizeLinear<axis=0>(w3, s3w, z3w)
    v3 = Gemm<transB=1>(d3, w3d)
    q4 = QuantizeLinear(v3, s3, z3)
    y = DequantizeLinear(q4, s3, z3)
}
"""


def network() -> onnx.ModelProto:
    rng = np.random.default_rng(0)
    model = onnx.parser.parse_model(TEXT)
    constants = {
        "s0": np.float32(0.02), "z0": np.uint8(128), "w1": rng.integers(-127, 128, (8, 1, 5)).astype(np.int8),
        "s1w": rng.uniform(0.01, 0.02, 8).astype(np.float32), "z1w": np.zeros(8, np.int8),
        "b1": rng.standard_normal(8).astype(np.float32), "s1": np.float32(0.03), "z1": np.uint8(0),
        "w3": rng.integers(-127, 128, (3, 152)).astype(np.int8), "s3w": np.float32(0.004), "z3w": np.int8(0),
        "s3": np.float32(0.2), "z3": np.int8(-4),
    }  # fmt: skip
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items())
    return model


def kernels(session: Any) -> list[str]:
    return [r.kernel_id for r in session.kernel_plan() if not r.kernel_id.startswith("core:")]


def test_a_network_of_bytes() -> None:
    session: Any = orpheus.InferenceSession(network(), providers=["cuda"], fallback="error")
    assert kernels(session) == [
        "cuda:QuantizeLinear/broadcast", "cuda:QLinearConv/tiles", "cuda:MaxPool/windows", "cuda:QLinearConv/tiles",
        "cuda:DequantizeLinear/broadcast",
    ]  # fmt: skip
    x = np.random.default_rng(1).uniform(-2.5, 2.5, (2, 1, 40)).astype(np.float32)
    (wanted,) = orpheus.InferenceSession(network(), providers=["numpy"]).run(None, {"x": x})
    for _ in range(3):
        (got,) = session.run(None, {"x": x})
        assert abs(got - wanted).max() <= 0.2001, "more than a step of the last scale"


@pytest.mark.parametrize("settings", [{"disable_passes": ["fuse_quantized"]}, {"providers": ["numpy"]}])
def test_the_same_in_floats(settings: dict[str, Any]) -> None:
    session: Any = orpheus.InferenceSession(network(), **{"providers": ["cuda"], **settings})
    assert not any("QLinear" in kernel for kernel in kernels(session))
