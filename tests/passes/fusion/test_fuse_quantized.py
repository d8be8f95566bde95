"""Layers between DequantizeLinear and QuantizeLinear: which become layers of integers, and what these then give."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import onnx.parser
import pytest
from hypothesis import given, settings
from onnx import numpy_helper

import orpheus_core as orpheus
from orpheus_core.importer import load, to_onnx
from orpheus_core.passes import simplify
from orpheus_core.plugin import PassSpec

PASS = PassSpec(name="fuse_quantized", run="orpheus_core.passes.fuse_quantized:run", after="eliminate_dead")


def model(text: str, **constants: Any) -> onnx.ModelProto:
    made = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]>\n{text}')
    made.graph.initializer.extend(numpy_helper.from_array(np.asarray(v), n) for n, v in constants.items())
    return made


def simple(made: onnx.ModelProto) -> Any:
    return simplify(load(made.SerializeToString()).graph, extra=[PASS])


def ops(made: onnx.ModelProto) -> list[str]:
    """Operators of the simplified graph, between the first QuantizeLinear and the last DequantizeLinear."""
    found = [node.op for node in simple(made).nodes]
    assert (found[0], found[-1]) == ("QuantizeLinear", "DequantizeLinear")
    return found[1:-1]


LAYER = """
g (float[2,6,9,8] x) => (float[N,M,P,Q] y) {
    xq = QuantizeLinear(x, xs, xz)
    xd = DequantizeLinear(xq, xs, xz)
    wd = DequantizeLinear<axis=0>(w, ws, wz)
    bd = DequantizeLinear<axis=0>(b, bs, bz)
    v = Conv<pads=[1,0,1,2], strides=[2,1], group=2>(xd, wd, bd)
    END
    yq = QuantizeLinear(u, ys, yz)
    y = DequantizeLinear(yq, ys, yz)
}
"""


def numbers(x: str = "uint8", w: str = "int8", y: str = "int8", seed: int = 0) -> dict[str, Any]:
    """Constants of LAYER for these types."""
    rng = np.random.default_rng(seed)
    middle = 128 if w == "uint8" else 0
    scales = rng.uniform(0.01, 0.02, 4).astype(np.float32)
    unit = np.float32(0.03)
    return {
        "xs": unit, "xz": np.array(120 if x == "uint8" else -9, x),
        "w": (rng.integers(-127, 128, (4, 3, 3, 3)) + middle).astype(w), "ws": scales,
        "wz": np.full(4, middle, w), "b": rng.integers(-3000, 3000, 4).astype(np.int32), "bs": unit * scales,
        "bz": np.zeros(4, np.int32), "ys": np.float32(0.11), "yz": np.array(7 if y == "uint8" else -5, y),
    }  # fmt: skip


def ran(made: onnx.ModelProto, x: Any, *, fused: bool) -> Any:
    """By the reference, as it is or with the pass."""
    source = to_onnx(simple(made)) if fused else made
    return orpheus.InferenceSession(source, providers=["numpy"], enable_passes=[]).run(None, {"x": x})[0]


@settings(deadline=None)
@given(
    types=st.tuples(*[st.sampled_from(["int8", "uint8"])] * 3), seed=st.integers(0, 1000),
    end=st.sampled_from(["Identity", "Relu", "Clip"]),
)  # fmt: skip
def test_a_convolution_of_integers_gives_the_same_to_a_step(
    types: tuple[str, str, str], seed: int, end: str
) -> None:
    constants = numbers(*types, seed=seed)
    if end == "Clip":
        constants |= {"low": np.float32(-1.5), "high": np.float32(6.0)}
    text = LAYER.replace("END", f"u = {end}(v{', low, high' if end == 'Clip' else ''})")
    made = model(text, **constants)
    assert ops(made) == ["QLinearConv", "Clip"][: 1 + (end != "Identity")]
    x = np.random.default_rng(seed).uniform(-4, 4, (2, 6, 9, 8)).astype(np.float32)
    before, after = ran(made, x, fused=False), ran(made, x, fused=True)
    steps = np.abs(before - after) / np.float32(0.11)
    assert steps.max() <= 1.001, "more than a step apart"
    assert (steps > 0.5).mean() <= 0.02, "that is no tie in rounding"


@pytest.mark.parametrize(("end", "zero"), [("Relu", 0), ("Relu", 5)])
def test_a_relu_is_saturation_where_zero_is_the_least(end: str, zero: int) -> None:
    constants = numbers(y="uint8") | {"yz": np.array(zero, np.uint8)}
    found = ops(model(LAYER.replace("END", f"u = {end}(v)"), **constants))
    assert found == (["QLinearConv"] if zero == 0 else ["QLinearConv", "Clip"])


def test_scales_of_one_element_may_have_an_axis() -> None:
    constants = numbers()
    constants |= {n: constants[n].reshape(1) for n in ("xs", "xz", "ys", "yz")}
    assert ops(model(LAYER.replace("END", "u = Relu(v)"), **constants)) == ["QLinearConv", "Clip"]


def test_a_clip_beyond_the_type_is_nothing() -> None:
    constants = numbers() | {"low": np.float32(-1e9), "high": np.float32(1e9)}
    assert ops(model(LAYER.replace("END", "u = Clip(v, low, high)"), **constants)) == ["QLinearConv"]


def test_weights_that_the_model_quantizes_itself_and_a_bias_of_floats() -> None:
    constants = numbers()
    scale = constants["ws"][:, None, None, None]
    floats = (constants["w"] * scale).astype(np.float32)
    bias = (constants["b"] * constants["bs"]).astype(np.float32)
    text = LAYER.replace("END", "u = Identity(v)")
    text = text.replace("wd = Deq", "wq = QuantizeLinear<axis=0>(floats, ws, wz)\n    wd = Deq")
    text = text.replace("(w, ws", "(wq, ws").replace("xd, wd, bd", "xd, wd, bias")
    text = text.replace("    bd = DequantizeLinear<axis=0>(b, bs, bz)\n", "")
    kept = {n: v for n, v in constants.items() if n not in ("w", "b", "bs", "bz")}
    graph = simple(model(text, **kept, floats=floats, bias=bias))
    (layer,) = [n for n in graph.nodes if n.op == "QLinearConv"]
    np.testing.assert_array_equal(layer.inputs[3].const, constants["w"])
    np.testing.assert_array_equal(layer.inputs[8].const, constants["b"])


GEMM = """
g (float[5,7] x) => (float[N,M] y) {
    xq = QuantizeLinear(x, xs, xz)
    xd = DequantizeLinear(xq, xs, xz)
    wd = DequantizeLinear<axis=AXIS>(w, ws, wz)
    v = Gemm<transB=DOWN>(xd, wd, c)
    yq = QuantizeLinear(v, ys, yz)
    y = DequantizeLinear(yq, ys, yz)
}
"""


@pytest.mark.parametrize("down", [0, 1])
def test_a_gemm_is_a_convolution_of_rows(down: int) -> None:
    rng = np.random.default_rng(0)
    w = rng.integers(-127, 128, (3, 7) if down else (7, 3)).astype(np.int8)
    made = model(
        GEMM.replace("AXIS", str(1 - down)).replace("DOWN", str(down)), w=w,
        ws=rng.uniform(0.01, 0.02, 3).astype(np.float32), wz=np.zeros(3, np.int8), xs=np.float32(0.03),
        xz=np.uint8(120), c=rng.standard_normal(3).astype(np.float32), ys=np.float32(0.05), yz=np.int8(3),
    )  # fmt: skip
    assert ops(made) == ["Unsqueeze", "QLinearConv", "Squeeze"]
    x = rng.uniform(-3, 3, (5, 7)).astype(np.float32)
    assert abs(ran(made, x, fused=False) - ran(made, x, fused=True)).max() <= 0.051


MOVE = """
g (float[2,6,9,8] x) => (float[N,M,P,Q] y) {
    xq = QuantizeLinear(x, xs, xz)
    xd = DequantizeLinear(xq, xs, xz)
    v = MaxPool<kernel_shape=[3,3], strides=[2,2]>(xd)
    yq = QuantizeLinear(v, ys, yz)
    y = DequantizeLinear(yq, ys, yz)
}
"""


def test_what_keeps_elements_keeps_integers() -> None:
    same = {"xs": np.float32(0.1), "xz": np.uint8(3), "ys": np.float32(0.1), "yz": np.uint8(3)}
    made = model(MOVE, **same)
    assert ops(made) == ["MaxPool"]
    x = np.random.default_rng(0).uniform(-3, 30, (2, 6, 9, 8)).astype(np.float32)
    np.testing.assert_array_equal(ran(made, x, fused=False), ran(made, x, fused=True))
    assert ops(model(MOVE, **same | {"ys": np.float32(0.2)})) == [
        "DequantizeLinear",
        "MaxPool",
        "QuantizeLinear",
    ]


CONCAT = """
g (float[2,3,4] x, float[2,5,4] z) => (float[N,M,P] y) {
    xq = QuantizeLinear(x, s, o)
    xd = DequantizeLinear(xq, s, o)
    zq = QuantizeLinear(z, t, o)
    zd = DequantizeLinear(zq, t, o)
    v = Concat<axis=1>(xd, zd)
    yq = QuantizeLinear(v, s, o)
    y = DequantizeLinear(yq, s, o)
}
"""


@pytest.mark.parametrize(("other", "left"), [(0.1, 1), (0.2, 3)])
def test_what_is_joined_has_to_have_one_scale(other: float, left: int) -> None:
    made = model(
        CONCAT, s=np.array([0.1], np.float32), t=np.array([other], np.float32), o=np.array([3], np.uint8)
    )
    found = [node.op for node in simple(made).nodes]
    assert found.count("DequantizeLinear") == left and found.count("Concat") == 1


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"wz": np.array([0, 0, 1, 0], np.int8)}, None),  # weights around something else
        ({"ws": np.array([0.1, 0.1, 0.0, 0.1], np.float32)}, None),
        ({"xs": np.float32(np.nan)}, None),
        ({"bs": np.full(4, 1e6, np.float32)}, None),  # 32 bits hold no such bias
        ({}, ("ys, yz)\n    y =", "ys, yz)\n    other = Neg(v)\n    y =")),  # somebody else reads the floats
        ({}, ("<axis=0>(w", "<axis=1>(w")),
    ],
)  # fmt: skip
def test_what_stays_as_it_is(changed: dict[str, Any], text: tuple[str, str] | None) -> None:
    source = LAYER.replace("END", "u = Identity(v)")
    if text is not None:
        assert text[0] in source
        source = source.replace(*text)
        if "Neg" in text[1]:
            source = source.replace("(float[N,M,P,Q] y)", "(float[N,M,P,Q] y, float[N,M,P,Q] other)")
    constants = numbers() | changed
    if text is not None and "axis=1" in text[1]:
        constants |= {"ws": constants["ws"][:3], "wz": constants["wz"][:3]}
    assert "QLinearConv" not in [node.op for node in simple(model(source, **constants)).nodes]
