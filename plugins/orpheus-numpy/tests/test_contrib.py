"""The com.microsoft kernels against ONNX Runtime, which defines them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper
from orpheus_numpy.manifest.contrib import KERNELS

from orpheus_core.errors import ModelError, UnsupportedModelError
from orpheus_core.graph import Node, Value
from orpheus_core.ops import find_spec
from orpheus_core.plugin import resolve
from orpheus_core.types import DType, TensorType, type_of_array

ort = pytest.importorskip("onnxruntime")

MICROSOFT = "com.microsoft"
REFERENCES = {k.op: k.run for k in KERNELS}


def peer(op, inputs, attributes, outputs):
    """What ONNX Runtime computes for one contrib node."""
    names = [f"i{n}" if x is not None else "" for n, x in enumerate(inputs)]
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(op, names, [f"o{n}" for n in range(outputs)], domain=MICROSOFT, **attributes)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in zip(names, inputs)
        if n
    ]
    results = [helper.make_empty_tensor_value_info(n) for n in node.output]
    graph = helper.make_graph([node], "g", infos, results)
    model = helper.make_model(
        graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, {n: x for n, x in zip(names, inputs) if n})


def ours(op, inputs, attributes):
    spec = find_spec(MICROSOFT, op, 1)
    with np.errstate(all="ignore"):
        got = resolve(REFERENCES[op])(*inputs, **{**spec.defaults, **attributes})
    return got if isinstance(got, tuple) else (got,)


def inferred(op, inputs, attributes, count):
    spec = find_spec(MICROSOFT, op, 1)
    values = tuple(None if x is None else Value("i", type_of_array(x)) for x in inputs)
    while values and values[-1] is None:
        values = values[:-1]
    outputs = tuple(Value("o") for _ in range(count))
    node = Node(op, values, outputs, {**spec.defaults, **attributes}, "", MICROSOFT, 1)
    return spec.infer(node)


def check(op, inputs, attributes=None, outputs=1, step=0, rtol=2e-5, atol=2e-5):
    """Same dtype, shape and values; quantized values may differ by ``step`` where a rounding is a tie."""
    attributes = attributes or {}
    want = peer(op, inputs, attributes, outputs)
    got = ours(op, inputs, attributes)
    types = inferred(op, inputs, attributes, outputs)
    assert len(types) == outputs
    for g, w, t in zip(got, want, types):
        g, w = np.asarray(g), np.asarray(w)
        assert (g.dtype, g.shape) == (w.dtype, w.shape)
        assert t == type_of_array(w)
        if g.dtype.kind in "iu":
            assert np.abs(g.astype(int) - w.astype(int)).max(initial=0) <= step
            # A tie is rare; a systematic difference is not.
            assert np.count_nonzero(g != w) <= 1 + g.size // 20
        else:
            np.testing.assert_allclose(g, w, rtol, atol)
    return got


def integers(rng, shape, dtype):
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max + 1, shape).astype(dtype)


def scalar(value, dtype=np.float32):
    return np.asarray(value, dtype)


def floats(rng, *shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def triple(rng, shape, dtype):
    """A quantized tensor, its scale and its zero point."""
    return [integers(rng, shape, dtype), scalar(rng.uniform(0.01, 0.1)), integers(rng, (), dtype)]


seeds = st.integers(0, 2**32 - 1).map(np.random.default_rng)
int8 = st.sampled_from([np.uint8, np.int8])


def test_every_declared_operator_has_a_kernel_and_the_reverse():
    from orpheus_core.ops.contrib import SPECS

    assert {s.name for s in SPECS} == set(REFERENCES)


@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
@given(rng=seeds, dtype=int8)
@settings(max_examples=10, deadline=None)
def test_quantized_arithmetic(op, rng, dtype):
    shapes = [((2, 3, 4), (2, 3, 4)), ((2, 3, 4), (4,)), ((3, 1), (2, 3, 4)), ((5,), ())]
    a, b = shapes[rng.integers(len(shapes))]
    scale, zero = scalar(rng.uniform(0.05, 0.3)), integers(rng, (), dtype)
    check(op, [*triple(rng, a, dtype), *triple(rng, b, dtype), scale, zero], step=1)


@pytest.mark.parametrize("op,attributes", [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.2})])
@given(rng=seeds, dtype=int8)
@settings(max_examples=10, deadline=None)
def test_quantized_activation(op, attributes, rng, dtype):
    out = [scalar(1 / 256 if op == "QLinearSigmoid" else 0.05), integers(rng, (), dtype)]
    check(op, [*triple(rng, (3, 50), dtype), *out], attributes, step=1)


@pytest.mark.parametrize("opset,axis", [(12, 1), (12, 2), (13, 1), (13, -1)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_quantized_softmax(opset, axis, dtype):
    pytest.importorskip("onnxruntime", minversion="1.31", reason="earlier ones wrap around on int8")
    rng = np.random.default_rng(opset + axis)
    zero = scalar(np.iinfo(dtype).min, dtype)
    inputs = [*triple(rng, (2, 4, 6), dtype), scalar(1 / 256), zero]
    check("QLinearSoftmax", inputs, {"opset": opset, "axis": axis}, step=1)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_quantized_concat(axis, dtype):
    rng = np.random.default_rng(axis + 5)
    scale, zero = scalar(0.04), integers(rng, (), dtype)
    shapes = [[2, 3, 4], [2, 3, 4], [2, 3, 4]]
    shapes[1][axis] = 5
    parts = [triple(rng, shape, dtype) for shape in shapes]
    parts[2][1:] = [scale, zero]
    got = check("QLinearConcat", [scale, zero, *(x for part in parts for x in part)], {"axis": axis}, step=1)
    kept = np.take(got[0], range(-shapes[2][axis], 0), axis)
    np.testing.assert_array_equal(kept, parts[2][0])


POOLS = [
    {"kernel_shape": [2, 2]},
    {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
    {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
    {"kernel_shape": [3, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"},
]


@pytest.mark.parametrize("attributes", POOLS)
@pytest.mark.parametrize("channels_last", [0, 1])
def test_quantized_average_pool(attributes, channels_last):
    rng = np.random.default_rng(7)
    shape = (2, 6, 7, 3) if channels_last else (2, 3, 6, 7)
    inputs = [*triple(rng, shape, np.uint8), scalar(0.04), scalar(100, np.uint8)]
    check("QLinearAveragePool", inputs, {**attributes, "channels_last": channels_last}, step=1)
    inputs = [*triple(rng, shape, np.uint8), scalar(0.04), scalar(100, np.uint8)]
    check("QLinearGlobalAveragePool", inputs, {"channels_last": channels_last}, step=1)


@pytest.mark.parametrize("trans_a", [0, 1])
@pytest.mark.parametrize("trans_b", [0, 1])
@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("quantized", [False, True])
def test_qgemm(trans_a, trans_b, per_column, quantized):
    rng = np.random.default_rng(trans_a * 8 + trans_b * 4 + per_column * 2 + quantized)
    m, k, n = 5, 70, 6
    a = integers(rng, (k, m) if trans_a else (m, k), np.uint8)
    b = integers(rng, (n, k) if trans_b else (k, n), np.int8)
    b_scale = rng.uniform(0.01, 0.02, n if per_column else ()).astype(np.float32)
    b_zero = np.zeros(b_scale.shape, np.int8)
    c = rng.integers(-9999, 9999, n).astype(np.int32)
    out = [scalar(2.0), scalar(120, np.uint8)] if quantized else []
    inputs = [a, scalar(0.02), scalar(130, np.uint8), b, np.asarray(b_scale), b_zero, c, *out]
    check("QGemm", inputs, {"transA": trans_a, "transB": trans_b, "alpha": 0.5}, step=1, rtol=1e-5)


@pytest.mark.parametrize("per_column", [False, True])
def test_integer_products_to_float(per_column):
    rng = np.random.default_rng(3)
    n = (6,) if per_column else ()
    scale = rng.uniform(0.01, 0.02, n).astype(np.float32)
    zero, bias = integers(rng, n, np.uint8), floats(rng, 6)
    b = integers(rng, (8, 6), np.uint8)
    inputs = [integers(rng, (2, 5, 8), np.uint8), b, scalar(0.1), scale, scalar(3, np.uint8), zero, bias]
    check("MatMulIntegerToFloat", inputs)
    check("DynamicQuantizeMatMul", [floats(rng, 2, 5, 8), b, scale, zero, bias])


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int16, np.uint16])
def test_quantize_linear_of_the_contrib_domain(kind):
    rng = np.random.default_rng(4)
    scale, zero = scalar(0.01), integers(rng, (), kind)
    check("QuantizeLinear", [floats(rng, 3, 40), scale, zero], step=1)
    check("DequantizeLinear", [integers(rng, (3, 40), kind), scale, zero])


@pytest.mark.parametrize("op", ["Gelu", "FastGelu", "BiasGelu", "QuickGelu"])
def test_gelu_variants(op):
    rng = np.random.default_rng(5)
    x = 3 * floats(rng, 2, 3, 40)
    check(op, [x, floats(rng, 40)] if op in ("FastGelu", "BiasGelu") else [x], atol=2e-6)


FUSED = [
    ("Relu", []),
    ("Tanh", []),
    ("Sigmoid", []),
    ("LeakyRelu", [0.3]),
    ("Clip", [-0.5, 0.7]),
    ("HardSigmoid", [0.3, 0.4]),
]


@pytest.mark.parametrize("name,parameters", FUSED)
def test_fused_conv(name, parameters):
    rng = np.random.default_rng(6)
    x, w, b = floats(rng, 2, 4, 7, 6), floats(rng, 6, 2, 3, 3), floats(rng, 6)
    attributes = {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 1], "activation": name}
    if parameters:
        attributes["activation_params"] = parameters
    check("FusedConv", [x, w, b, None], attributes)
    if name == "Relu":
        check("FusedConv", [x, w, b, floats(rng, 2, 6, 4, 6)], attributes)


def test_fused_activation_that_does_not_exist_is_named():
    with pytest.raises(UnsupportedModelError, match="Frobnicate"):
        x = np.ones((1, 1, 1, 1), np.float32)
        ours("FusedConv", [x, x], {"activation": "Frobnicate"})


@pytest.mark.parametrize("trans_a,trans_b", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("activation", ["Relu", "LeakyRelu", None])
def test_fused_gemm(trans_a, trans_b, activation):
    rng = np.random.default_rng(8)
    a = floats(rng, *((5, 3) if trans_a else (3, 5)))
    b = floats(rng, *((4, 5) if trans_b else (5, 4)))
    attributes = {"transA": trans_a, "transB": trans_b, "alpha": 0.5, "beta": 2.0}
    if activation:
        attributes["activation"] = activation
    if activation == "LeakyRelu":
        attributes["activation_alpha"] = 0.3
    if activation is None:
        want = 0.5 * (a.T if trans_a else a) @ (b.T if trans_b else b)
        np.testing.assert_allclose(ours("FusedGemm", [a, b], attributes)[0], want, 1e-5)
    else:
        check("FusedGemm", [a, b, floats(rng, 4)], attributes)


@pytest.mark.parametrize("batch_a,batch_b", [(0, 0), (1, 0), (0, 1), (1, 1)])
@pytest.mark.parametrize("trans_a,trans_b", [(0, 0), (1, 0), (0, 1)])
def test_fused_matmul(batch_a, batch_b, trans_a, trans_b):
    rng = np.random.default_rng(9)

    def operand(rows, columns, trans, batch):
        x = floats(rng, 2, 3, *((columns, rows) if trans else (rows, columns)))
        return np.ascontiguousarray(np.moveaxis(x, -2, 0)) if batch else x

    attributes = {"alpha": 0.25, "transA": trans_a, "transB": trans_b}
    attributes |= {"transBatchA": batch_a, "transBatchB": batch_b}
    a, b = operand(4, 5, trans_a, batch_a), operand(5, 6, trans_b, batch_b)
    check("FusedMatMul", [a, b], attributes)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("skip", [(2, 3, 16), (1, 3, 16), (3, 16)])
def test_skip_layer_normalization(bias, skip):
    rng = np.random.default_rng(10)
    x, s, gamma, beta = floats(rng, 2, 3, 16), floats(rng, *skip), floats(rng, 16), floats(rng, 16)
    extra = floats(rng, 16) if bias else None
    y, mean, inverse, total = ours("SkipLayerNormalization", [x, s, gamma, beta, extra], {})
    check("SkipLayerNormalization", [x, s, gamma, beta, extra])
    check("SkipSimplifiedLayerNormalization", [x, s, gamma, extra])
    np.testing.assert_allclose((total - mean) * inverse * gamma + beta, y, 1e-4, 1e-5)


def test_embed_layer_normalization():
    rng = np.random.default_rng(11)
    ids = rng.integers(0, 9, (2, 5)).astype(np.int32)
    segments = rng.integers(0, 2, (2, 5)).astype(np.int32)
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
    tables = [floats(rng, n, 8) for n in (9, 6, 2)]
    gamma, beta = floats(rng, 8), floats(rng, 8)
    check("EmbedLayerNormalization", [ids, segments, *tables, gamma, beta, mask], outputs=2)
    check("EmbedLayerNormalization", [ids, None, *tables[:2], None, gamma, beta], outputs=2)


def masks(rng, batch, length, total):
    lengths = rng.integers(1, total + 1, batch).astype(np.int32)
    two = (np.arange(total) < lengths[:, None]).astype(np.int32)
    three = np.broadcast_to(two[:, None], (batch, length, total)).copy()
    return {"none": None, "lengths": lengths, "keys": two, "full": three}


@pytest.mark.parametrize("mask", ["none", "lengths", "keys", "full"])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("past", [0, 3])
def test_attention(mask, causal, past):
    rng = np.random.default_rng(12 + causal)
    b, s, heads, size = 2, 4, 3, 8
    x, w, bias = floats(rng, b, s, 10), floats(rng, 10, 3 * heads * size) / 3, floats(rng, 3 * heads * size)
    before = floats(rng, 2, b, heads, past, size) if past else None
    m = masks(rng, b, s, s + past)[mask]
    if mask == "lengths" and past:
        pytest.skip("ONNX Runtime takes no lengths with a past")
    attributes = {"num_heads": heads, "unidirectional": causal}
    inputs = [x, w, bias, m, before]
    check("Attention", inputs, attributes, outputs=2 if past else 1, rtol=1e-4)


def test_attention_with_a_bias_and_other_value_size():
    rng = np.random.default_rng(13)
    x, w, bias = floats(rng, 2, 4, 10), floats(rng, 10, 16 + 16 + 24) / 3, floats(rng, 56)
    attributes = {"num_heads": 2, "qkv_hidden_sizes": [16, 16, 24], "scale": 0.3}
    check("Attention", [x, w, bias, None, None, floats(rng, 2, 2, 4, 4)], attributes, rtol=1e-4)


@pytest.mark.parametrize("mask", ["none", "lengths", "keys", "full"])
@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("form", ["plain", "past", "4d"])
def test_multi_head_attention(mask, causal, form):
    rng = np.random.default_rng(14 + causal)
    b, heads, size, past = 2, 3, 8, 2 if form == "past" else 0
    s = length = 5
    if form == "4d" and not causal:  # cross-attention
        length = 6
    hidden = heads * size
    q, k, v = floats(rng, b, s, hidden), floats(rng, b, length, hidden), floats(rng, b, length, hidden)
    bias = floats(rng, 3 * hidden)
    before = [floats(rng, b, heads, past, size) for _ in range(2)] if past else [None, None]
    if form == "4d":
        k, v = (x.reshape(b, length, heads, size).swapaxes(1, 2).copy() for x in (k, v))
        bias = None
    m = masks(rng, b, s, length + past)[mask]
    extra = floats(rng, 1, heads, s, length + past) if mask == "keys" else None
    attributes = {"num_heads": heads, "unidirectional": causal}
    outputs = 3 if form in ("plain", "past") else 1
    check("MultiHeadAttention", [q, k, v, bias, m, extra, *before], attributes, outputs, rtol=1e-4)


def test_multi_head_attention_with_keys_and_values_packed():
    rng = np.random.default_rng(16)
    q, packed = floats(rng, 2, 4, 24), floats(rng, 2, 5, 3, 2, 8)
    k, v = (packed[:, :, :, i].reshape(2, 5, 24) for i in range(2))
    got = ours("MultiHeadAttention", [q, packed], {"num_heads": 3})
    want = ours("MultiHeadAttention", [q, k, v], {"num_heads": 3})
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a, b)
    types = inferred("MultiHeadAttention", [q, packed], {"num_heads": 3}, 4)
    assert types == tuple(type_of_array(x) for x in want)


def test_multi_head_attention_with_all_packed():
    rng = np.random.default_rng(15)
    packed = floats(rng, 2, 4, 3, 3, 8)
    q, k, v = (packed[:, :, :, i].reshape(2, 4, 24) for i in range(3))
    got = ours("MultiHeadAttention", [packed], {"num_heads": 3})
    want = ours("MultiHeadAttention", [q, k, v], {"num_heads": 3})
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a, b)
    types = inferred("MultiHeadAttention", [packed], {"num_heads": 3}, 4)
    assert types == tuple(type_of_array(x) for x in want)


def test_what_attention_does_not_take_is_said():
    x = np.ones((1, 2, 8), np.float32)
    one = np.ones(1, np.int32)
    with pytest.raises(UnsupportedModelError, match="past_sequence_length"):
        ours("MultiHeadAttention", [x, x, x, None, None, None, None, None, one], {"num_heads": 2})
    with pytest.raises(UnsupportedModelError, match="do_rotary"):
        ours("Attention", [x, np.ones((8, 24), np.float32)], {"num_heads": 2, "do_rotary": 1})
    with pytest.raises(ModelError, match="3 heads"):
        ours("MultiHeadAttention", [x, x, x], {"num_heads": 3})


def test_inference_keeps_symbols_and_never_guesses():
    def types(op, inputs, **attributes):
        values = tuple(Value("x", t) for t in inputs)
        spec = find_spec(MICROSOFT, op, 1)
        node = Node(op, values, (Value("y"),), {**spec.defaults, **attributes}, "", MICROSOFT, 1)
        return spec.infer(node)[0]

    f, u = DType.FLOAT32, DType.UINT8
    s, z = TensorType(f, ()), TensorType(u, ())
    a, b = TensorType(u, ("N", 1, 4)), TensorType(u, (3, 1))
    assert types("QLinearAdd", [a, s, z, b, s, z, s, z]).shape == ("N", 3, 4)
    unknown = TensorType(u, ("N", "K"))
    assert types("QLinearAdd", [unknown, s, z, TensorType(u, ("N", "M")), s, z, s, z]).shape == ("N", None)
    assert types("QLinearAdd", [TensorType(u), s, z, b, s, z, s, z]).shape is None
    q = types("QGemm", [TensorType(u, ("N", 8)), s, z, TensorType(u, (8, 5)), s, z])
    assert q == TensorType(f, ("N", 5))
    x = TensorType(f, ("N", 3, 8, "W"))
    conv = types("FusedConv", [x, TensorType(f, (4, 3, 3, 3))])
    assert conv.shape == ("N", 4, 6, None)
    joined = types("QLinearConcat", [s, z, a, s, z, a, s, z], axis=1)
    assert joined == TensorType(u, ("N", 2, 4))


def test_sum_of_quantized_scalars_and_statistics_of_doubles():
    scale = np.float32(0.5).reshape(())
    scalars = (np.uint8(3).reshape(()), scale, None, np.uint8(4).reshape(()), scale, None, scale)
    assert ours("QLinearAdd", scalars, {})[0] == 7
    wide = np.random.default_rng(0).normal(size=(1, 2, 4))
    for op in ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization"):
        _, mean, inverse, total = ours(op, (wide, wide, np.ones(4)), {})
        assert (mean.dtype, inverse.dtype, total.dtype) == (np.float32, np.float32, np.float64)
