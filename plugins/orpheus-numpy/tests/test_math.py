"""Element-wise kernels, activations, reductions, casts and random numbers against formulas of their own."""

import itertools
import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from onnx import defs
from orpheus_numpy.manifest.math import KERNELS

from orpheus_core.errors import ModelError
from orpheus_core.plugin import resolve
from orpheus_core.types import DType

F32, F64, F16, BF16 = np.float32, np.float64, np.float16, ml_dtypes.bfloat16


@pytest.fixture(autouse=True)
def _quiet():
    """An executor silences numpy's warnings for the whole plan."""
    with np.errstate(all="ignore"):
        yield


def kernel(op, version=None):
    found = [k for k in KERNELS if k.op == op]
    return resolve((found[0] if version is None else found[-1]).run)


def floats(dtype=F32, shape=None, low=-30.0, high=30.0):
    shape = hnp.array_shapes(max_dims=3, max_side=6) if shape is None else shape
    elements = st.floats(low, high, width=32).map(float)
    return hnp.arrays(F64, shape, elements=elements).map(lambda x: x.astype(dtype))


def test_every_row_names_an_operator_and_a_function():
    for k in KERNELS:
        assert defs.get_schema(k.op).domain == ""
        assert callable(resolve(k.run))
    rows = [(k.op, k.opset) for k in KERNELS]
    assert len(rows) == len(set(rows))


# Operators that fill `out`: how many inputs, of which type, and attributes.
SPECIAL = {
    "BitShift": {"inputs": 2, "dtype": np.int32, "direction": "LEFT"},
    "BitwiseAnd": {"inputs": 2, "dtype": np.int32},
    "BitwiseOr": {"inputs": 2, "dtype": np.int32},
    "BitwiseXor": {"inputs": 2, "dtype": np.int32},
    "BitwiseNot": {"inputs": 1, "dtype": np.int32},
    "And": {"inputs": 2, "dtype": np.bool_},
    "Or": {"inputs": 2, "dtype": np.bool_},
    "Xor": {"inputs": 2, "dtype": np.bool_},
    "Not": {"inputs": 1, "dtype": np.bool_},
    "Where": {"inputs": 3},
    "Cast": {"inputs": 1, "to": DType.FLOAT16.onnx},
    "CumSum": {"inputs": 1, "axis": True},
    "CumProd": {"inputs": 1, "axis": True},
    "Clip": {"inputs": 1, "bounds": True},
    "Max": {"inputs": 3},
    "Min": {"inputs": 3},
    "Mean": {"inputs": 3},
    "Sum": {"inputs": 3},
    "CastLike": {"inputs": 2},
}
for _op in [
    "Add",
    "Div",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
    "Mod",
    "Mul",
    "PRelu",
    "Pow",
    "Sub",
    "SwiGLU",
]:
    SPECIAL[_op] = {"inputs": 2}


def example(op, rng, dtype):
    """Inputs and attributes with which ``op`` can be called."""
    about = dict(SPECIAL.get(op, {"inputs": 1}))
    count, dtype = about.pop("inputs"), about.pop("dtype", dtype)
    inputs = [(rng.standard_normal((3, 4)) * 2).astype(dtype) for _ in range(count)]
    if op == "Where":
        inputs[0] = inputs[0] > 0
    if about.pop("axis", False):
        inputs.append(np.asarray(1))
    if about.pop("bounds", False):
        inputs += [np.asarray(-0.5, dtype), np.asarray(1, dtype)]
    return inputs, about


@pytest.mark.parametrize("dtype", [F32, F64, F16, BF16])
@pytest.mark.parametrize("row", [k for k in KERNELS if k.writes_out], ids=lambda k: f"{k.op}{k.opset[0]}")
def test_out_is_filled_and_may_be_an_input(row, dtype):
    run = resolve(row.run)
    inputs, attributes = example(row.op, np.random.default_rng(1), dtype)
    copies = [x.copy() for x in inputs]
    want = np.asarray(run(*inputs, **attributes))
    assert all(a.tobytes() == b.tobytes() for a, b in zip(inputs, copies)), "inputs were changed"
    for out in (None, np.empty(want.shape, want.dtype)):
        got = np.asarray(run(*inputs, out=(out,), **attributes))
        assert got.tobytes() == want.tobytes()
        assert out is None or np.shares_memory(got, out)
    for _, index in row.inplace:
        operands = [x.copy() for x in inputs]
        if index < len(operands):
            assert operands[index].dtype == want.dtype
            run(*operands, out=(operands[index],), **attributes)
            assert operands[index].tobytes() == want.tobytes()
    alike = {(x.dtype, x.shape) for x in inputs} == {(want.dtype, want.shape)}
    if row.inplace and alike:
        one = inputs[0].copy()
        want = np.asarray(run(*[one] * len(inputs), **attributes))
        run(*[one] * len(inputs), out=(one,), **attributes)
        assert one.tobytes() == want.tobytes(), "one value as every input, in place"


def test_scalars_keep_rank_zero():
    for op in ("Sigmoid", "Gelu", "Mish", "Erf", "HardSwish", "Celu", "Softplus", "Shrink"):
        for dtype in (F32, F16):
            y = kernel(op)(np.asarray(0.5, dtype))
            assert y.shape == () and y.dtype == dtype


def erf_half(x):
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def logistic(x):
    return 1 / (1 + math.exp(-x))


FORMULAS = {
    "Sigmoid": ({}, logistic),
    "HardSigmoid": ({"alpha": 0.3, "beta": 0.4}, lambda x: max(0, min(1, 0.3 * x + 0.4))),
    "HardSwish": ({}, lambda x: x * max(0, min(1, x / 6 + 0.5))),
    "Swish": ({"alpha": 1.5}, lambda x: x * logistic(1.5 * x)),
    "Elu": ({"alpha": 0.7}, lambda x: x if x >= 0 else 0.7 * math.expm1(x)),
    "Celu": ({"alpha": 0.7}, lambda x: x if x >= 0 else 0.7 * math.expm1(x / 0.7)),
    "Selu": ({"alpha": 1.6, "gamma": 1.1}, lambda x: 1.1 * (x if x > 0 else 1.6 * math.expm1(x))),
    "LeakyRelu": ({"alpha": 0.1}, lambda x: x if x >= 0 else 0.1 * x),
    # A threshold that every float type holds exactly, so that no draw lies between it and its rounding.
    "ThresholdedRelu": ({"alpha": 0.75}, lambda x: x if x > 0.75 else 0.0),
    "Softplus": ({}, lambda x: math.log1p(math.exp(-abs(x))) + max(x, 0)),
    "Softsign": ({}, lambda x: x / (1 + abs(x))),
    "Mish": ({}, lambda x: x * math.tanh(math.log1p(math.exp(x)))),
    "Gelu": ({}, erf_half),
    "Relu": ({}, lambda x: max(x, 0)),
    "Erf": ({}, math.erf),
    # Bounds that every type holds exactly: the function jumps there.
    "Shrink": (
        {"lambd": 0.625, "bias": 0.25},
        lambda x: x + 0.25 if x < -0.625 else x - 0.25 if x > 0.625 else 0.0,
    ),
}


@pytest.mark.parametrize("op", FORMULAS)
@given(x=floats(F64))
@settings(max_examples=25, deadline=None)
def test_activation_formulas(op, x):
    attributes, formula = FORMULAS[op]
    for dtype, eps in ((F64, 1e-12), (F32, 4e-6), (F16, 1.5e-3), (BF16, 1e-2)):
        rounded = x.astype(dtype)
        want = np.vectorize(formula, otypes=[F64])(rounded.astype(F64))
        got = kernel(op)(rounded, **attributes)
        assert got.dtype == dtype and got.shape == x.shape
        # 1 + erf cancels far below zero, and what is left of it is multiplied by x.
        tiny = max(float(ml_dtypes.finfo(dtype).tiny), eps if op == "Gelu" else eps / 10)
        np.testing.assert_allclose(got.astype(F64), want, eps, tiny)


def test_activations_at_the_ends_of_the_range():
    ends = np.array([-np.inf, -1e30, 1e30, np.inf, np.nan], F32)
    assert kernel("Sigmoid")(ends).tolist()[:4] == [0, 0, 1, 1]
    np.testing.assert_array_equal(kernel("Softplus")(ends), np.array([0, 0, 1e30, np.inf, np.nan], F32))
    np.testing.assert_array_equal(kernel("Mish")(ends[1:]), np.array([0, 1e30, np.inf, np.nan], F32))
    np.testing.assert_array_equal(kernel("Elu")(ends), np.array([-1, -1, 1e30, np.inf, np.nan], F32))
    np.testing.assert_array_equal(kernel("Erf")(ends), np.array([-1, -1, 1, 1, np.nan], F32))
    for alpha in (0.0, -1.0, 0.5, 2.0):
        got = kernel("LeakyRelu")(np.array([np.inf, -2, np.nan], F32), alpha=alpha)
        np.testing.assert_array_equal(got, np.array([np.inf, -2 * alpha, np.nan], F32))
    assert np.isnan(kernel("LeakyRelu")(np.array([-np.inf], F32), alpha=0.0)), "0 times infinity"
    # Far below zero a sigmoid is exp(x): the relative error stays small where 1/2 + tanh/2 would give 0.
    np.testing.assert_allclose(kernel("Sigmoid")(np.array([-80.0], F32)), math.exp(-80), 1e-5)


def test_erf_is_accurate_to_a_few_units_in_the_last_place():
    x = np.concatenate([np.linspace(-6.5, 6.5, 20001), np.logspace(-37, 0, 500)])
    for dtype, ulps in ((F64, 2), (F32, 4)):
        rounded = x.astype(dtype)
        want = np.vectorize(math.erf)(rounded.astype(F64))
        got = kernel("Erf")(rounded).astype(F64)
        assert (np.abs(got - want) <= ulps * np.finfo(dtype).eps * np.abs(want)).all()


def test_gelu_by_tanh_is_near_gelu():
    x = np.linspace(-6, 6, 101, dtype=F32)
    exact, near = kernel("Gelu")(x), kernel("Gelu")(x, approximate="tanh")
    assert 1e-5 < np.abs(exact - near).max() < 5e-4


def test_prelu_of_integers_and_swiglu():
    x, slope = np.array([[-3, 2], [4, -5]], np.int32), np.array([2, 3], np.int32)
    assert kernel("PRelu")(x, slope).tolist() == [[-6, 2], [4, -15]]
    a, b = np.array([1.0, -2.0], F32), np.array([3.0, 0.5], F32)
    want = [1 * logistic(2.0) * 3, -2 * logistic(-4.0) * 0.5]
    np.testing.assert_allclose(kernel("SwiGLU")(a, b, alpha=2.0), want, 1e-6)


integer_types = st.sampled_from(
    [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64]
)


def wrap(value, dtype):
    info = np.iinfo(dtype)
    return (value - info.min) % (info.max - info.min + 1) + info.min


@st.composite
def integer_pairs(draw):
    dtype = draw(integer_types)
    info = np.iinfo(dtype)
    edges = st.sampled_from([info.min, info.max, 0, 1, int(info.min < 0) * -1, 7])
    numbers = st.lists(st.tuples(*[st.integers(info.min, info.max) | edges] * 2), min_size=1, max_size=8)
    pairs = draw(numbers)
    return dtype, pairs, *(np.array(column, dtype) for column in zip(*pairs))


@given(integer_pairs())
def test_integer_arithmetic(case):
    dtype, pairs, a, b = case
    quotient, floor, trunc = kernel("Div")(a, b), kernel("Mod")(a, b), kernel("Mod")(a, b, fmod=1)
    assert {x.dtype for x in (quotient, floor, trunc)} == {np.dtype(dtype)}
    for i, (p, q) in enumerate(pairs):
        if q:
            assert quotient[i] == wrap(math.trunc(Fraction(p, q)), dtype)
            assert floor[i] == p % q
            assert trunc[i] == p - q * math.trunc(Fraction(p, q))
    assert kernel("Add")(a, b).tolist() == [wrap(p + q, dtype) for p, q in pairs]


@given(integer_pairs())
def test_bit_shifts(case):
    dtype, pairs, x, y = case
    bits = np.iinfo(dtype).bits
    left, right = (kernel("BitShift")(x, y, direction=d).tolist() for d in ("LEFT", "RIGHT"))
    for i, (p, q) in enumerate(pairs):
        far = not 0 <= q < bits
        assert left[i] == (0 if far else wrap(p << q, dtype))
        assert right[i] == ((-1 if p < 0 else 0) if far else p >> q)


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-4, 70)), min_size=1, max_size=9))
def test_integer_powers(pairs):
    def truncated(base, exponent):
        if exponent >= 0:
            return wrap(base**exponent, np.int32)
        return 0 if abs(base) != 1 else base ** (-exponent)

    x, y = (np.array(column, dtype) for column, dtype in zip(zip(*pairs), (np.int32, np.int64)))
    got = kernel("Pow")(x, y)
    assert got.dtype == np.int32 and got.tolist() == [truncated(*pair) for pair in pairs]


def test_powers_of_mixed_types_have_the_type_of_the_base():
    two = np.array([2.0], F32)
    for x, y in itertools.product(
        (F32, F64, F16, BF16, np.int32, np.int64), (F32, F16, BF16, np.int8, np.uint64)
    ):
        got = kernel("Pow")(two.astype(x), np.array([5], y))
        assert got.dtype == x and got.astype(F64) == 32
    assert kernel("Pow")(np.array([2], np.int32), np.array([2.5], F32)).tolist() == [5]


@given(floats(F64, (5,)), floats(F64, (5,)).filter(lambda b: b.all()))
def test_float_remainders(a, b):
    floor, trunc = kernel("Mod")(a, b), kernel("Mod")(a, b, fmod=1)
    assert trunc.tolist() == [math.fmod(p, q) for p, q in zip(a, b)]
    assert floor.tolist() == [p % q for p, q in zip(a.tolist(), b.tolist())]


def test_many_inputs_broadcast():
    a, b, c = np.array([1.0, 5.0], F32), np.array([[2.0], [4.0]], F32), np.asarray(3.0, F32)
    assert kernel("Max")(a, b, c).tolist() == [[3, 5], [4, 5]]
    assert kernel("Min")(a, b, c).tolist() == [[1, 2], [1, 3]]
    assert kernel("Sum")(a, b, c).tolist() == [[6, 10], [8, 12]]
    np.testing.assert_allclose(kernel("Mean")(a, b, c), [[2, 10 / 3], [8 / 3, 4]], 1e-6)
    for op in ("Max", "Min", "Sum", "Mean"):
        one = kernel(op)(a)
        assert one.tolist() == a.tolist() and not np.shares_memory(one, a)
    thousand = [np.asarray([v], F16) for v in (2048.0, 1.0, 1.0)]
    assert kernel("Sum")(*thousand).tolist() == [2050]  # rounded once; float16 alone would stay at 2048


@given(floats(F32), st.floats(-5, 5, width=32), st.floats(-5, 5, width=32))
def test_clip(x, low, high):
    got = kernel("Clip")(x, np.asarray(low, F32), np.asarray(high, F32))
    assert got.ravel().tolist() == [min(max(v, low), high) for v in x.ravel().tolist()]
    assert (kernel("Clip")(x, np.asarray([low], F32)) >= np.float32(low)).all()
    assert kernel("Clip")(x, None, np.asarray(high, F32)).max() <= high
    assert kernel("Clip")(x).tolist() == x.tolist()


def test_where_equal_and_identity_take_strings():
    a, b = np.array(["x", "y"], object), np.array(["x", "z"], object)
    assert kernel("Equal")(a, b).tolist() == [True, False] and kernel("Equal")(a, b).dtype == np.bool_
    assert kernel("Where")(np.array([True, False]), a, b).tolist() == ["x", "z"]
    sequence = [a, b]
    assert kernel("Identity")(sequence) is sequence
    assert not np.shares_memory(kernel("Identity")(a), a)


@pytest.mark.parametrize("dtype", [F32, F16, BF16, F64, ml_dtypes.float8_e5m2])
def test_is_inf_by_sign(dtype):
    x = np.array([-np.inf, 1, np.inf, np.nan], dtype)
    for negative, positive in itertools.product((0, 1), repeat=2):
        got = kernel("IsInf")(x, detect_negative=negative, detect_positive=positive)
        assert got.dtype == np.bool_ and got.tolist() == [bool(negative), False, bool(positive), False]


@given(floats(F32, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)), st.data())
def test_softmax(x, data):
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    y = kernel("Softmax")(x, axis=axis)
    np.testing.assert_allclose(y.sum(axis), 1, 1e-5)
    np.testing.assert_allclose(kernel("Softmax")(x + F32(64), axis=axis), y, 1e-4, 1e-7)
    np.testing.assert_allclose(np.exp(kernel("LogSoftmax")(x, axis=axis)), y, 1e-4, 1e-9)
    hard = kernel("Hardmax")(x, axis=axis)
    assert (hard.sum(axis) == 1).all() and (np.argmax(hard, axis) == np.argmax(x, axis)).all()
    first = axis % x.ndim
    flat = x.reshape(math.prod(x.shape[:first]), -1)
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        old = kernel(op, 1)(x, axis=axis)
        np.testing.assert_array_equal(old, kernel(op)(flat, axis=-1).reshape(x.shape))


def test_softmax_of_large_and_of_no_numbers():
    assert kernel("Softmax")(np.array([1e30, 1e30], F32)).tolist() == [0.5, 0.5]
    assert kernel("LogSoftmax")(np.array([0.0, -200.0], F32)).tolist() == [0, -200]
    for op in ("Softmax", "LogSoftmax", "Hardmax"):
        assert kernel(op)(np.empty((2, 0), F32), axis=1).shape == (2, 0)
        assert kernel(op, 1)(np.empty((0, 3), F32), axis=1).shape == (0, 3)


def fsum_of_exp(v):
    return math.log(math.fsum(map(math.exp, v)))


REDUCTIONS = {
    "ReduceSum": math.fsum,
    "ReduceMean": lambda v: math.fsum(v) / len(v),
    "ReduceProd": math.prod,
    "ReduceL1": lambda v: math.fsum(map(abs, v)),
    "ReduceL2": lambda v: math.sqrt(math.fsum(x * x for x in v)),
    "ReduceSumSquare": lambda v: math.fsum(x * x for x in v),
    "ReduceLogSumExp": fsum_of_exp,
    "ReduceMax": max,
    "ReduceMin": min,
}


@pytest.mark.parametrize("op", REDUCTIONS)
@given(data=st.data())
@settings(max_examples=20, deadline=None)
def test_reductions(op, data):
    x = data.draw(floats(F64, hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), -5, 5))
    axes = data.draw(st.lists(st.integers(0, x.ndim - 1), unique=True))
    keep = data.draw(st.integers(0, 1))
    chosen = axes or list(range(x.ndim))
    negative = np.array([a - x.ndim for a in axes], np.int64)
    got = kernel(op)(x, negative if axes or keep else None, keepdims=keep)
    moved = np.moveaxis(x, chosen, range(-len(chosen), 0))
    rows = moved.reshape(*moved.shape[: x.ndim - len(chosen)], -1)
    want = np.apply_along_axis(lambda v: REDUCTIONS[op](v.tolist()), -1, rows)
    if keep:
        want = want.reshape([1 if a in chosen else n for a, n in enumerate(x.shape)])
    assert np.shape(got) == want.shape
    np.testing.assert_allclose(got, want, 1e-10, 1e-10)
    low = kernel(op)(x.astype(F16), negative, keepdims=keep)
    assert low.dtype == F16 and kernel(op)(x.astype(BF16), negative, keepdims=keep).dtype == BF16


@given(hnp.arrays(np.int32, (3, 4), elements=st.integers(-(2**31), 2**31 - 1)))
def test_integer_reductions_wrap(x):
    rows, axes = x.tolist(), np.array([1])
    assert kernel("ReduceSum")(x, axes, keepdims=0).tolist() == [wrap(sum(r), np.int32) for r in rows]
    assert kernel("ReduceProd")(x, axes, keepdims=0).tolist() == [wrap(math.prod(r), np.int32) for r in rows]
    means = kernel("ReduceMean")(x, axes, keepdims=0).tolist()
    assert means == [math.trunc(Fraction(sum(r), len(r))) for r in rows]
    assert kernel("ReduceMax")(x, axes, keepdims=0).tolist() == [max(r) for r in rows]


def test_reductions_without_axes_and_of_nothing():
    x = np.array([[1.0, 2.0]], F32)
    none = np.array([], np.int64)
    for axes in (None, none):
        assert kernel("ReduceSum")(x, axes).shape == (1, 1)
        np.testing.assert_array_equal(kernel("ReduceSum")(x, axes, noop_with_empty_axes=1), x)
    np.testing.assert_array_equal(kernel("ReduceSumSquare")(x, None, noop_with_empty_axes=1), x * x)
    np.testing.assert_allclose(kernel("ReduceLogSum")(x, None, noop_with_empty_axes=1), np.log(x))
    empty, one = np.empty((2, 0), F32), np.array([1])
    wants = {"ReduceSum": 0, "ReduceProd": 1, "ReduceMax": -np.inf, "ReduceMin": np.inf, "ReduceL2": 0,
             "ReduceLogSum": -np.inf, "ReduceLogSumExp": -np.inf}  # fmt: skip
    for op, want in wants.items():
        assert kernel(op)(empty, one, keepdims=0).tolist() == [want, want]
    assert kernel("ReduceMax")(empty.astype(np.int8), one, keepdims=0).tolist() == [-128, -128]
    assert kernel("ReduceMin")(empty.astype(np.bool_), one, keepdims=0).tolist() == [True, True]


def test_log_sum_exp_neither_overflows_nor_loses_infinities():
    x = np.array([[1000, 1000], [-np.inf, -np.inf], [np.inf, 0]], F32)
    got = kernel("ReduceLogSumExp")(x, np.array([1]), keepdims=0)
    np.testing.assert_allclose(got, [1000 + math.log(2), -np.inf, np.inf], 1e-6)


def test_low_precision_sums_accumulate_in_float32():
    ones = np.ones(4099, F16)
    assert kernel("ReduceSum")(ones).item() == 4100  # the float16 nearest to 4099, half to even
    assert kernel("CumSum")(np.ones(300, BF16), np.asarray(0))[-1] == 300


@given(hnp.arrays(np.int8, (4, 5), elements=st.integers(-2, 2)), st.integers(-2, 1), st.booleans())
def test_index_of_the_extreme(x, axis, last):
    for op, best in (("ArgMax", max), ("ArgMin", min)):
        got = kernel(op)(x, axis=axis, keepdims=0, select_last_index=int(last))
        assert got.dtype == np.int64
        for row, index in zip(np.moveaxis(x, axis, -1).tolist(), got.tolist()):
            places = [i for i, v in enumerate(row) if v == best(row)]
            assert index == places[-1 if last else 0]
        assert kernel(op)(x, axis=axis).shape == tuple(
            1 if a == axis % 2 else n for a, n in enumerate(x.shape)
        )


@given(st.lists(st.integers(-3, 3), max_size=6), st.booleans(), st.booleans())
def test_running_sums_and_products(numbers, exclusive, reverse):
    for op, combine, start in (("CumSum", lambda a, b: a + b, 0), ("CumProd", lambda a, b: a * b, 1)):
        order = numbers[::-1] if reverse else numbers
        totals = list(itertools.accumulate(order, combine, initial=start))
        want = totals[:-1] if exclusive else totals[1:]
        x = np.array([numbers], np.int32).reshape(1, -1)
        got = kernel(op)(x, np.asarray(-1), exclusive=int(exclusive), reverse=int(reverse))
        assert got.dtype == np.int32 and got[0].tolist() == (want[::-1] if reverse else want)


NARROW = ["float8_e4m3fn", "float8_e4m3fnuz", "float8_e5m2", "float8_e5m2fnuz", "float6_e2m3fn", "float6_e3m2fn",
          "float4_e2m1fn", "bfloat16"]  # fmt: skip


def nearest(values, x):
    """The entry of ``values`` (ascending, exact) nearest to each x, half to even: the even one of two neighbours."""
    upper = np.clip(np.searchsorted(values, x), 1, len(values) - 1)
    below, above = values[upper - 1], values[upper]
    gap = [Fraction(float(v)) - Fraction(float(b)) - (Fraction(float(a)) - Fraction(float(v)))
           for v, b, a in zip(x, below, above)]  # fmt: skip
    # Neighbours alternate between even and odd codes, and zero is even.
    parity = (np.arange(len(values)) - np.flatnonzero(values == 0)[0]) % 2
    up = [g > 0 or (g == 0 and parity[u] == 0) for g, u in zip(gap, upper)]
    return np.where(up, above, below)


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("source", [F64, F32, F16, np.int32])
def test_cast_to_narrow_floats_rounds_once(name, source):
    dtype = DType(name)
    size = 2 ** (8 * dtype.numpy.itemsize)
    codes = np.arange(size if "float4" not in name and "float6" not in name else 64 if "6" in name else 16)
    values = codes.astype(np.uint16 if size > 256 else np.uint8).view(dtype.numpy).astype(F64)
    values = np.unique(values[np.isfinite(values)])
    rng = np.random.default_rng(2)
    middles = (values[1:] + values[:-1]) / 2
    if len(values) > 1000:
        middles = rng.choice(middles[np.abs(middles) < 1e30], 300)
    near = [middles * (1 + e) for e in (0, 2.0**-40, -(2.0**-40), 2.0**-20, -(2.0**-20))]
    x = np.concatenate([*near, rng.choice(values, 50)])
    x = x.astype(source)
    x = x[np.isfinite(x.astype(F64)) & (np.abs(x.astype(F64)) <= values[-1])]
    got = kernel("Cast")(x, to=dtype.onnx)
    assert got.dtype == dtype.numpy
    np.testing.assert_array_equal(got.astype(F64), nearest(values, x.astype(F64)))


@pytest.mark.parametrize("name", NARROW[:4])
def test_cast_to_float8_out_of_range(name):
    dtype = DType(name)
    top = float(ml_dtypes.finfo(dtype.numpy).max)
    for source in (F32, F64, F16, BF16):
        x = np.array([np.inf, -np.inf, 60000, -60000, np.nan], source)
        got = kernel("Cast")(x, to=dtype.onnx).astype(F64)
        want = [top, -top, min(top, 57344), -min(top, 57344), np.nan]
        np.testing.assert_array_equal(got, want)
        wild = kernel("Cast")(x, to=dtype.onnx, saturate=0).astype(F64)
        beyond = np.inf if name == "float8_e5m2" else np.nan
        np.testing.assert_array_equal(wild[:2], [beyond, -beyond])
        assert np.isnan(wild[4])
    assert kernel("Cast")(np.array([10**6], np.int32), to=dtype.onnx).astype(F64) == top


def test_cast_to_powers_of_two():
    to = DType.FLOAT8E8M0.onnx
    x = np.array([1, 1.4, 1.5, 1.6, 2, 0.75, 2.0**-127], F32)
    up, down, near = (
        [1, 2, 2, 2, 2, 1, 2.0**-127],
        [1, 1, 1, 1, 2, 0.5, 2.0**-127],
        [1, 1, 2, 2, 2, 1, 2.0**-127],
    )
    for mode, want in (("up", up), ("down", down), ("nearest", near)):
        assert kernel("Cast")(x, to=to, round_mode=mode).astype(F64).tolist() == want
    odd = np.array([0, np.inf, np.nan, -1, 2.0**-130, 1.9e38 * 1.7], F64)
    edge = [2.0**-127, 2.0**127, np.nan, np.nan, 2.0**-127, 2.0**127]
    np.testing.assert_array_equal(kernel("Cast")(odd, to=to).astype(F64), edge)
    wild = kernel("Cast")(odd, to=to, saturate=0, round_mode="nearest").astype(F64)
    assert np.isnan(wild).all()


@given(hnp.arrays(np.int64, (6,), elements=st.integers(-(2**63), 2**63 - 1)))
def test_integer_casts_keep_the_low_bits(x):
    for kind in (np.int8, np.uint8, np.int16, np.uint32, np.uint64):
        got = kernel("Cast")(x, to=DType.from_numpy(kind).onnx)
        assert got.tolist() == [wrap(v, kind) for v in x.tolist()]
    for kind, low, bits in (
        (DType.INT4, -8, 4),
        (DType.UINT4, 0, 4),
        (DType.INT2, -2, 2),
        (DType.UINT2, 0, 2),
    ):
        got = kernel("Cast")(x, to=kind.onnx)
        assert got.astype(int).tolist() == [(v - low) % 2**bits + low for v in x.tolist()]
        assert kernel("Cast")(x, to=DType.BOOL.onnx).tolist() == [v != 0 for v in x.tolist()]


def test_every_pair_of_types_can_be_cast():
    kinds = [d for d in DType if d not in (DType.COMPLEX64, DType.COMPLEX128, DType.STRING)]
    for source, target in itertools.product(kinds, kinds):
        one = np.array([1, 1]).astype(source.numpy)
        got = kernel("Cast")(one, to=target.onnx)
        assert got.dtype == target.numpy and got.astype(F32).tolist() == [1, 1], (source, target)
        assert not np.shares_memory(got, one)
        like = kernel("CastLike")(one, np.empty(0, target.numpy))
        assert like.dtype == target.numpy


@given(floats(F32, low=-(2.0**100), high=2.0**100))
def test_floats_survive_a_trip_through_strings(x):
    text = kernel("Cast")(x, to=DType.STRING.onnx)
    assert text.dtype == object and text.shape == x.shape
    np.testing.assert_array_equal(kernel("Cast")(text, to=DType.FLOAT32.onnx), x)


def test_strings_as_numbers():
    text = np.array(["1e3", "-INF", "NaN", "+inf", " 7 "], object)
    np.testing.assert_array_equal(
        kernel("Cast")(text, to=DType.FLOAT64.onnx), [1000, -np.inf, np.nan, np.inf, 7]
    )
    big = np.array([str(2**63 - 1), "-5", "12.7"], object)
    assert kernel("Cast")(big, to=DType.INT64.onnx).tolist() == [2**63 - 1, -5, 12]
    assert kernel("Cast")(big[1:], to=DType.INT4.onnx).astype(int).tolist() == [-5, -4]
    for target in (DType.INT32, DType.FLOAT32):
        with pytest.raises(ModelError, match="'zwei'"):
            kernel("Cast")(np.array(["zwei"], object), to=target.onnx)


@given(hnp.arrays(np.uint32, (5,)))
def test_bit_cast_keeps_the_bits(x):
    back = kernel("BitCast")(kernel("BitCast")(x, to=DType.FLOAT32.onnx), to=DType.UINT32.onnx)
    assert back.tolist() == x.tolist()
    with pytest.raises(ModelError, match="width"):
        kernel("BitCast")(x, to=DType.INT64.onnx)


@pytest.mark.parametrize("op", ["RandomNormal", "RandomUniform", "Bernoulli", "Multinomial", "Dropout"])
@pytest.mark.parametrize("seed", [0.0, 3.0, -1.0, 0.25])
def test_a_seed_fixes_the_numbers(op, seed):
    half = np.full((50, 4), 0.5, F32)
    calls = {
        "Bernoulli": lambda s: kernel(op)(half, seed=s),
        "Multinomial": lambda s: kernel(op)(half, sample_size=9, seed=s),
        "Dropout": lambda s: kernel(op)(half, np.asarray(0.5, F32), np.asarray(True), seed=s)[0],
    }
    draw = calls.get(op, lambda s: kernel(op)(shape=(50, 4), seed=s))
    assert draw(seed).tobytes() == draw(seed).tobytes() != draw(seed + 0.5).tobytes()
    assert draw(None).tobytes() != draw(None).tobytes()


def test_distributions():
    x = kernel("RandomNormal")(shape=(20000,), mean=2.0, scale=3.0, seed=1.0)
    assert x.dtype == F32 and abs(x.mean() - 2) < 0.1 and abs(x.std() - 3) < 0.1
    like = kernel("RandomUniformLike")(x.astype(F16), low=-1.0, high=3.0, seed=1.0)
    assert (
        like.dtype == F16 and like.min() >= -1 and like.max() <= 3 and abs(like.astype(F32).mean() - 1) < 0.05
    )
    assert kernel("RandomNormalLike")(x, dtype=DType.FLOAT64.onnx).dtype == F64
    p = np.array([[0.1, 0.9]] * 10000, F32)
    assert np.allclose(kernel("Bernoulli")(p, seed=1.0).mean(0), [0.1, 0.9], atol=0.02)
    assert kernel("Bernoulli")(p, dtype=DType.BOOL.onnx).dtype == np.bool_
    drawn = kernel("Multinomial")(np.log(np.array([[1, 2, 5], [1, 0, 0]], F32)), sample_size=8000, seed=1.0)
    assert drawn.dtype == np.int32 and drawn.shape == (2, 8000) and not drawn[1].any()
    assert np.allclose(np.bincount(drawn[0]) / 8000, [1 / 8, 2 / 8, 5 / 8], atol=0.03)


def test_dropout():
    x = np.ones((100, 100), F32)
    y, mask = kernel("Dropout")(x)
    assert y.tolist() == x.tolist() and mask.all() and not np.shares_memory(x, y)
    y, mask = kernel("Dropout")(x, np.asarray(0.25, F32), np.asarray(True), seed=1.0)
    assert abs(mask.mean() - 0.75) < 0.02
    np.testing.assert_allclose(y, np.where(mask, 4 / 3, 0), 1e-6)
