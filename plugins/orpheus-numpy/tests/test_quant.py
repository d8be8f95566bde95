"""Quantization kernels against exact integer arithmetic, loops, and ONNX Runtime."""

import itertools
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import helper
from orpheus_numpy.quant.integer import (
    conv_integer,
    exact_dtype,
    matmul_integer,
    qlinear_conv,
    qlinear_matmul,
)
from orpheus_numpy.quant.linear import dequantize_linear, dynamic_quantize_linear, quantize_linear

from orpheus_core.errors import ModelError
from orpheus_core.types import DType

F32, F16 = np.float32, np.float16
INTEGERS = [
    DType.INT8,
    DType.UINT8,
    DType.INT16,
    DType.UINT16,
    DType.INT4,
    DType.UINT4,
    DType.INT2,
    DType.UINT2,
]


@pytest.fixture(autouse=True)
def _quiet():
    """An executor silences numpy's warnings for the whole plan."""
    with np.errstate(all="ignore"):
        yield


def limits(dtype):
    info = ml_dtypes.iinfo(dtype.numpy)
    return int(info.min), int(info.max)


def peer(op, inputs, attributes, outputs=1):
    """What ONNX Runtime computes for one node."""
    ort = pytest.importorskip("onnxruntime")
    names = [f"i{n}" for n in range(len(inputs))]
    node = helper.make_node(op, names, [f"o{n}" for n in range(outputs)], **attributes)
    infos = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in zip(names, inputs)
    ]
    graph = helper.make_graph(
        [node], "g", infos, [helper.make_empty_tensor_value_info(n) for n in node.output]
    )
    model = helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)])
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip(names, inputs)))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_quantizing_rounds_half_to_even_and_saturates(dtype, data):
    low, high = limits(dtype)
    # Halves of a power-of-two scale: every quotient is exact, many are ties.
    halves = data.draw(st.lists(st.integers(4 * low - 9, 4 * high + 9), min_size=1, max_size=9))
    zero = data.draw(st.integers(low, high))
    x = np.array(halves, F32) / 8
    got = quantize_linear(x, np.asarray(0.25, F32), np.array(zero).astype(dtype.numpy))
    want = [min(max(round(Fraction(h, 2)) + zero, low), high) for h in halves]
    assert got.dtype == dtype.numpy and got.astype(int).tolist() == want
    named = quantize_linear(x, np.asarray(0.25, F32), output_dtype=dtype.onnx)
    assert named.dtype == dtype.numpy
    assert named.astype(int).tolist() == [min(max(round(Fraction(h, 2)), low), high) for h in halves]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_every_code_survives_a_round_trip(dtype):
    low, high = limits(dtype)
    codes = np.arange(low, high + 1).astype(np.int32 if high > 127 else np.int8).astype(dtype.numpy)
    zero = np.array(low + 1).astype(dtype.numpy)
    for kind in (F32, F16) if high < 256 else (F32,):
        scale = np.asarray(0.125, kind)
        real = dequantize_linear(codes, scale, zero)
        assert real.dtype == kind
        assert real.astype(float).tolist() == [(c - low - 1) * 0.125 for c in range(low, high + 1)]
        np.testing.assert_array_equal(quantize_linear(real, scale, zero), codes)


@given(
    hnp.arrays(F32, (4, 6), elements=st.floats(-100, 100, width=32)),
    st.integers(-2, 1),
    st.integers(1, 7),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_granularities_agree_with_slices(x, axis, block, seed):
    rng = np.random.default_rng(seed)
    length = x.shape[axis]
    shape = list(x.shape)
    shape[axis] = -(-length // block)
    scales = rng.uniform(0.1, 2, shape).astype(F32)
    zeros = rng.integers(-9, 9, shape).astype(np.int8)
    got = quantize_linear(x, scales, zeros, axis=axis, block_size=block)
    back = dequantize_linear(got, scales, zeros, axis=axis, block_size=block)
    vector = rng.uniform(0.1, 2, length).astype(F32)
    shift = rng.integers(-9, 9, length).astype(np.int8)
    per_axis = quantize_linear(x, vector, shift, axis=axis)
    for index in np.ndindex(x.shape):
        where = list(index)
        where[axis] //= block
        s, z = scales[tuple(where)], zeros[tuple(where)]
        assert got[index] == quantize_linear(x[index].reshape(1), s.reshape(()), z.reshape(()))[0]
        assert back[index] == dequantize_linear(got[index].reshape(1), s.reshape(()), z.reshape(()))[0]
        at = index[axis]
        one = quantize_linear(x[index].reshape(()), vector[at].reshape(()), shift[at].reshape(()))
        assert per_axis[index] == one


def test_precision_of_the_division_and_of_the_result():
    x = np.array([1000.0], F32)
    scale = np.array(0.3, F32)
    exact, coarse = (
        quantize_linear(x, scale, output_dtype=DType.INT16.onnx, precision=p.onnx)
        for p in (DType.FLOAT32, DType.FLOAT16)
    )
    assert exact[0] == round(1000 / float(scale))
    assert coarse[0] == round(float(F16(1000) / F16(scale)))  # float16 is 2 apart there
    assert exact[0] != coarse[0]
    q = np.array([3], np.int8)
    assert dequantize_linear(q, scale, output_dtype=DType.FLOAT16.onnx).dtype == F16
    assert dequantize_linear(q, scale.astype(ml_dtypes.bfloat16)).dtype == ml_dtypes.bfloat16


def test_scales_that_are_powers_of_two_or_integers():
    two = np.array(2, ml_dtypes.float8_e8m0fnu)
    assert quantize_linear(np.array([5.0, 7.0], F32), two).tolist() == [2, 4]
    out = dequantize_linear(np.array([3], np.int8), two, output_dtype=DType.FLOAT32.onnx)
    assert out.dtype == F32 and out.tolist() == [6]
    assert quantize_linear(np.array([5, 7], np.int32), np.array(2, np.int32)).tolist() == [2, 4]


def test_large_int32_is_dequantized_without_an_earlier_rounding():
    x = np.array([2**24 + 1, -(2**31)], np.int32)
    zero = np.array(1, np.int32)
    got = dequantize_linear(x, np.asarray(1, F32), zero)
    assert got.tolist() == [2**24, float(F32(-(2**31) - 1))]


@pytest.mark.parametrize("name", ["float8_e4m3fn", "float8_e5m2", "float4_e2m1fn", "float6_e3m2fn"])
def test_quantizing_to_narrow_floats(name):
    dtype = DType(name)
    top = float(ml_dtypes.finfo(dtype.numpy).max)
    x = np.array([1e9, -1e9, 2.0, 0.0], F32)
    got = quantize_linear(x, np.asarray(2, F32), output_dtype=dtype.onnx)
    assert got.dtype == dtype.numpy and got.astype(F32).tolist() == [top, -top, 1, 0]
    back = dequantize_linear(got, np.asarray(2, F32))
    assert back.tolist() == [2 * top, -2 * top, 2, 0]


def test_an_axis_that_is_not_there_is_named():
    with pytest.raises(ModelError, match="axis 2"):
        quantize_linear(np.ones((2, 3), F32), np.ones(3, F32), axis=2)


@given(hnp.arrays(F32, hnp.array_shapes(max_dims=2, max_side=8), elements=st.floats(-1e6, 1e6, width=32)))
@settings(max_examples=60, deadline=None)
def test_dynamic_quantization_covers_the_range(x):
    y, scale, zero = dynamic_quantize_linear(x)
    assert (y.dtype, scale.dtype, zero.dtype) == (np.uint8, F32, np.uint8)
    assert y.shape == x.shape and scale.shape == zero.shape == ()
    if max(x.max(initial=0), 0) - min(x.min(initial=0), 0) > 1e-30:  # else a step is no normal number
        assert np.abs(dequantize_linear(y, scale, zero) - x).max() <= scale * 1.01
        for got, want in zip((y, scale, zero), peer("DynamicQuantizeLinear", [x], {}, 3)):
            np.testing.assert_array_equal(got, want)


def test_dynamic_quantization_of_zeros_and_of_nothing():
    for x in (np.zeros((2, 2), F32), np.empty((0, 3), F32)):
        y, scale, _ = dynamic_quantize_linear(x)
        assert scale > 0 and not y.any() and y.shape == x.shape


def exact_product(a, b):
    """Integers of any size: rows of Python numbers."""
    return [[sum(p * q for p, q in zip(row, column)) for column in zip(*b)] for row in a]


@pytest.mark.parametrize("a_type,b_type", list(itertools.product([np.uint8, np.int8], repeat=2)))
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_integer_products_are_exact(a_type, b_type, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    m, k, n = (data.draw(st.integers(1, most)) for most in (4, 300, 4))
    a = rng.choice([np.iinfo(a_type).min, np.iinfo(a_type).max], (m, k)).astype(a_type)
    b = rng.choice([np.iinfo(b_type).min, np.iinfo(b_type).max], (k, n)).astype(b_type)
    za = rng.integers(
        np.iinfo(a_type).min, np.iinfo(a_type).max, data.draw(st.sampled_from([(), (m,), (1,)]))
    )
    zb = rng.integers(
        np.iinfo(b_type).min, np.iinfo(b_type).max, data.draw(st.sampled_from([(), (n,), (1,)]))
    )
    za, zb = np.asarray(za, a_type), np.asarray(zb, b_type)
    got = matmul_integer(a, b, za, zb)
    rows = a.astype(int) - (za.astype(int)[:, None] if za.size > 1 else int(za.reshape(())))
    columns = b.astype(int) - zb.astype(int)
    assert got.dtype == np.int32 and got.tolist() == exact_product(rows.tolist(), columns.tolist())
    bare = matmul_integer(a, b)
    assert bare.tolist() == exact_product(a.tolist(), b.tolist())


def test_products_too_large_for_int32_wrap():
    k = 40000
    got = matmul_integer(np.full((1, k), 255, np.uint8), np.full((k, 1), 255, np.uint8))
    assert got[0, 0] == (255 * 255 * k + 2**31) % 2**32 - 2**31


def test_the_float_type_can_hold_every_sum():
    small, large = np.dtype(np.uint8), np.dtype(np.uint16)
    assert exact_dtype(small, small, 258) == F32 and exact_dtype(small, small, 259) == np.float64
    assert exact_dtype(large, large, 1) == np.float64
    assert exact_dtype(np.dtype(ml_dtypes.int4), np.dtype(ml_dtypes.int4), 70000) == F32


def naive_conv(x, w, pads, strides, dilations, group):
    """Convolution of two spatial axes by loops over Python numbers."""
    x = np.pad(x, ((0, 0), (0, 0), (pads[0], pads[2]), (pads[1], pads[3])))
    n, m = x.shape[0], w.shape[0]
    size = [(x.shape[i + 2] - (w.shape[i + 2] - 1) * dilations[i] - 1) // strides[i] + 1 for i in (0, 1)]
    y = np.zeros((n, m, *size), np.int64)
    for b, f, i, j in np.ndindex(y.shape):
        first = f // (m // group) * w.shape[1]
        for c, p, q in np.ndindex(w.shape[1:]):
            at = (i * strides[0] + p * dilations[0], j * strides[1] + q * dilations[1])
            y[b, f, i, j] += int(x[(b, first + c, *at)]) * int(w[f, c, p, q])
    return y


@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("pads,strides,dilations", [
    ((0, 0, 0, 0), (1, 1), (1, 1)),
    ((1, 0, 2, 1), (2, 1), (1, 1)),
    ((2, 2, 2, 2), (1, 2), (2, 1)),
])  # fmt: skip
def test_integer_convolution(group, pads, strides, dilations):
    rng = np.random.default_rng(group)
    x = rng.integers(0, 256, (2, 4, 5, 6)).astype(np.uint8)
    w = rng.integers(-128, 128, (4, 4 // group, 3, 2)).astype(np.int8)
    zx, zw = np.asarray(130, np.uint8), rng.integers(-5, 6, 4).astype(np.int8)
    attributes = {"pads": pads, "strides": strides, "dilations": dilations, "group": group}
    shifted = w.astype(int) - zw.astype(int)[:, None, None, None]
    want = naive_conv(x.astype(int) - 130, shifted, **attributes)
    got = conv_integer(x, w, zx, zw, **attributes)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(conv_integer(x, w, **attributes), naive_conv(x, w, **attributes))

    out = [np.asarray(4.0, F32), np.asarray(100, np.uint8)]
    scales = rng.uniform(0.01, 0.05, 4).astype(F32)
    bias = rng.integers(-5000, 5000, 4).astype(np.int32)
    inputs = [x, np.asarray(0.1, F32), zx, w, scales, np.zeros(4, np.int8), *out, bias]
    ours = qlinear_conv(*inputs, **attributes)
    np.testing.assert_array_equal(ours, peer("QLinearConv", inputs, attributes)[0])


def test_convolution_of_one_and_three_axes():
    rng = np.random.default_rng(5)
    x, w = rng.integers(0, 256, (1, 2, 9)).astype(np.uint8), rng.integers(0, 256, (3, 2, 4)).astype(np.uint8)
    flat = conv_integer(x, w, strides=(2,), pads=(1, 2))
    wide = conv_integer(x[:, :, None], w[:, :, None], strides=(1, 2), pads=(0, 1, 0, 2))
    deep = conv_integer(x[:, :, None, None], w[:, :, None, None], strides=(1, 1, 2), pads=(0, 0, 1, 0, 0, 2))
    np.testing.assert_array_equal(flat, wide[:, :, 0])
    np.testing.assert_array_equal(flat, deep[:, :, 0, 0])


@pytest.mark.parametrize("per_column", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_quantized_product(per_column, kind):
    rng = np.random.default_rng(6)
    info = np.iinfo(kind)
    a, b = (rng.integers(info.min, info.max + 1, s).astype(kind) for s in ((2, 5, 70), (70, 6)))
    b_scale = rng.uniform(0.01, 0.02, 6 if per_column else ()).astype(F32)
    middle = (info.min + info.max + 1) // 2  # so that few results saturate
    b_zero = rng.integers(middle - 5, middle + 5, b_scale.shape).astype(kind)
    inputs = [
        a,
        np.asarray(0.02, F32),
        np.asarray(middle + 3, kind),
        b,
        np.asarray(b_scale),
        np.asarray(b_zero),
    ]
    inputs += [np.asarray(0.9, F32), np.asarray(middle, kind)]
    got = qlinear_matmul(*inputs)
    assert got.dtype == kind and np.unique(got).size > 20
    np.testing.assert_array_equal(got, peer("QLinearMatMul", inputs, {})[0])


def test_quantized_product_per_row_and_in_float8():
    rng = np.random.default_rng(7)
    a, b = (rng.integers(-128, 128, s).astype(np.int8) for s in ((3, 8), (8, 4)))
    rows, zeros = np.array([0.1, 0.2, 0.3], F32), np.array([1, -2, 3], np.int8)
    one, none = np.asarray(1, F32), np.asarray(0, np.int8)
    got = qlinear_matmul(a, rows, zeros, b, one, none, np.asarray(30, F32), none)
    for i in range(3):
        row = qlinear_matmul(a[i : i + 1], rows[i], zeros[i], b, one, none, np.asarray(30, F32), none)
        np.testing.assert_array_equal(got[i : i + 1], row)
    small = np.array([[1, 2], [3, 4]]).astype(ml_dtypes.float8_e4m3fn)
    zero = np.zeros((), ml_dtypes.float8_e4m3fn)
    product = qlinear_matmul(small, one, zero, small, one, zero, np.asarray(2, F32), zero)
    assert product.dtype == small.dtype
    assert product.astype(float).tolist() == [[3.5, 5], [7.5, 11]]
