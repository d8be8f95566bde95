"""Pooling, normalization, attention, linear algebra and losses against float64 formulas written out."""

from __future__ import annotations

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from orpheus_numpy.manifest import nn as manifest
from orpheus_numpy.nn import image, linear, loss, normalization, pool, rearrange, sequence_mixing
from orpheus_numpy.nn.attention import attention, flex_attention
from orpheus_numpy.nn.softmax import softmax

from orpheus_core.errors import KernelError, ModelError
from orpheus_core.plugin import Problem, resolve
from orpheus_core.types import DType, TensorType, type_of_array

seeds = st.integers(0, 2**32 - 1)
floats = st.sampled_from((np.float32, np.float64, np.float16, ml_dtypes.bfloat16))


def tolerance(dtype, factor=8):
    return factor * float(ml_dtypes.finfo(dtype).eps)


def test_every_reference_of_the_manifest_exists():
    for kernel in manifest.KERNELS:
        assert callable(resolve(kernel.run or kernel.prepare)), kernel.op_id
        if kernel.cost:
            assert callable(resolve(kernel.cost))


# Pooling


@st.composite
def pools(draw):
    rank = draw(st.integers(1, 3))
    ints = lambda low, high, n=rank: st.lists(st.integers(low, high), min_size=n, max_size=n)  # noqa: E731
    kernel, strides, dilations = draw(ints(1, 3)), draw(ints(1, 3)), draw(ints(1, 2))
    pads = [min(p, k - 1) for p, k in zip(draw(ints(0, 2, 2 * rank)), kernel * 2)]
    spatial = [(k - 1) * d + 1 + draw(st.integers(0, 4)) for k, d in zip(kernel, dilations)]
    X = np.random.default_rng(draw(seeds)).standard_normal((2, 2, *spatial))
    attributes = {"kernel_shape": kernel, "strides": strides, "dilations": dilations, "pads": pads}
    return X, {**attributes, "ceil_mode": draw(st.integers(0, 1))}


def windows(X, attributes):
    """Output shape, and for each position the elements inside the input and the number with pads."""
    rank = X.ndim - 2
    kernel, strides, dilations, pads = (
        attributes[k] for k in ("kernel_shape", "strides", "dilations", "pads")
    )
    rounding = math.ceil if attributes["ceil_mode"] else math.floor
    axes = []
    for a, n in enumerate(X.shape[2:]):
        begin, end = pads[a], pads[a + rank]
        count = rounding((n + begin + end - dilations[a] * (kernel[a] - 1) - 1) / strides[a]) + 1
        if (count - 1) * strides[a] >= n + begin:
            count -= 1
        at = [[o * strides[a] + k * dilations[a] - begin for k in range(kernel[a])] for o in range(count)]
        axes.append([([p for p in w if 0 <= p < n], sum(-begin <= p < n + end for p in w)) for w in at])
    shape = tuple(map(len, axes))
    found = {}
    for index in itertools.product(*map(range, shape)):
        parts = [axis[i] for axis, i in zip(axes, index)]
        found[index] = [p for p, _ in parts], math.prod(c for _, c in parts)
    return shape, found


@settings(max_examples=120, deadline=None)
@given(pools(), floats)
def test_pools_match_the_definition(case, dtype):
    X, attributes = case
    X = X.astype(dtype)
    wide = X.astype(np.float64)
    shape, found = windows(X, attributes)
    assume(all(all(parts) for parts, _ in found.values()))
    want = {k: np.empty((2, 2, *shape)) for k in ("max", "mean", "padded", "norm")}
    for index, (parts, padded) in found.items():
        part = wide[np.ix_([0, 1], [0, 1], *parts)].reshape(2, 2, -1)
        where = (slice(None), slice(None), *index)
        want["max"][where], want["mean"][where] = part.max(2), part.mean(2)
        want["padded"][where], want["norm"][where] = (
            part.sum(2) / padded,
            (np.abs(part) ** 3).sum(2) ** (1 / 3),
        )
    close = {"rtol": tolerance(dtype), "atol": tolerance(dtype)}
    assert np.array_equal(pool.max_pool(X, **attributes).astype(np.float64), want["max"])
    got = {
        "mean": pool.average_pool(X, **attributes),
        "padded": pool.average_pool(X, count_include_pad=1, **attributes),
        "norm": pool.lp_pool(X, p=3, **attributes),
    }
    for name, y in got.items():
        assert y.dtype == dtype
        np.testing.assert_allclose(y.astype(np.float64), want[name], **close)
    out = np.empty((2, 2, *shape), dtype)
    assert pool.max_pool(X, out=(out,), **attributes) is out
    assert np.array_equal(out.astype(np.float64), want["max"])
    assert pool.average_pool(X, out=(out,), **attributes) is out
    assert out.tobytes() == got["mean"].tobytes()


@settings(max_examples=80, deadline=None)
@given(pools(), st.sampled_from((np.float32, np.int8, np.uint8)), st.integers(0, 1))
def test_max_pool_indices_point_at_the_maximum(case, dtype, storage_order):
    X, attributes = case
    X = (X * 4).astype(np.int8).astype(dtype)
    shape, found = windows(X, attributes)
    assume(all(all(parts) for parts, _ in found.values()))
    spatial = TensorType(DType.INT64, (2, 2, *shape))
    problem = Problem("MaxPool", "", 22, {}, (type_of_array(X),), (spatial.with_shape(None), spatial))
    y, indices = pool.max_pool(X, problem=problem, storage_order=storage_order, **attributes)
    assert np.array_equal(y, pool.max_pool(X, **attributes))
    order = "F" if storage_order else "C"
    flat = np.stack([np.stack([c.ravel(order) for c in n]) for n in X]).ravel()
    assert np.array_equal(flat[indices], y)


def test_max_pool_indices_undo_by_unpool():
    X = np.random.default_rng(0).permutation(36).reshape(1, 1, 6, 6).astype(np.float32)
    types = (TensorType(DType.FLOAT32), TensorType(DType.INT64))
    problem = Problem("MaxPool", "", 22, {}, (type_of_array(X),), types)
    geometry = {"kernel_shape": [2, 2], "strides": [2, 2]}
    y, indices = pool.max_pool(X, problem=problem, **geometry)
    back = pool.max_unpool(y, indices, **geometry)
    assert back.shape == X.shape
    assert np.array_equal(back[back != 0], X[back != 0])
    assert np.array_equal(pool.max_pool(back, **geometry), y)
    with pytest.raises(ModelError, match="positions"):
        pool.max_unpool(y, indices + 36, **geometry)
    with pytest.raises(ModelError, match="does not hold"):
        pool.max_unpool(y, indices, np.array([1, 1, 5, 6]), **geometry)


def test_max_pool_of_nothing_but_lowest_values_and_nan():
    X = np.full((1, 1, 4), -np.inf, np.float32)
    attributes = {"kernel_shape": [3], "pads": [1, 1]}
    types = (TensorType(DType.FLOAT32), TensorType(DType.INT64))
    problem = Problem("MaxPool", "", 22, {}, (type_of_array(X),), types)
    y, indices = pool.max_pool(X, problem=problem, **attributes)
    assert np.isneginf(y).all()
    assert indices.ravel().tolist() == [0, 0, 1, 2]
    X[0, 0, 2] = np.nan
    y, indices = pool.max_pool(X, problem=problem, **attributes)
    assert np.isnan(y[0, 0, 1:]).all()
    assert indices.ravel().tolist() == [0, 2, 2, 2]


@settings(max_examples=30, deadline=None)
@given(seeds, floats)
def test_global_pools(seed, dtype):
    X = np.random.default_rng(seed).standard_normal((2, 3, 4, 5)).astype(dtype)
    wide = X.astype(np.float64)
    close = {"rtol": tolerance(dtype), "atol": tolerance(dtype)}
    mean = pool.global_average_pool(X)
    assert (mean.dtype, mean.shape) == (dtype, (2, 3, 1, 1))
    np.testing.assert_allclose(mean.astype(np.float64), wide.mean((2, 3), keepdims=True), **close)
    assert np.array_equal(pool.global_max_pool(X), X.max((2, 3), keepdims=True))
    norm = np.sqrt((wide**2).sum((2, 3), keepdims=True))
    np.testing.assert_allclose(pool.global_lp_pool(X).astype(np.float64), norm, **close)


# Normalization


@settings(max_examples=60, deadline=None)
@given(seeds, floats, st.integers(1, 3))
def test_normalizations_match_their_formulas(seed, dtype, rank):
    rng = np.random.default_rng(seed)
    shape = (2, 6, *rng.integers(2, 5, rank))
    # A checkerboard under the noise keeps every deviation away from 0, where rounding errors grow without limit.
    X = (rng.standard_normal(shape) * 0.2 + np.indices(shape).sum(0) % 2 * 3 - 1).astype(dtype)
    scale, shift, mean = (rng.standard_normal(6).astype(dtype) for _ in range(3))
    var = (rng.random(6) + 0.5).astype(dtype)
    x, along = X.astype(np.float64), (-1, *(1,) * rank)
    s, b, m, v = (a.astype(np.float64).reshape(along) for a in (scale, shift, mean, var))

    def standard(axes, value=x):
        return (value - value.mean(axes, keepdims=True)) / np.sqrt(value.var(axes, keepdims=True) + 1e-5)

    groups = standard(2, x.reshape(2, 3, -1)).reshape(X.shape)
    space, tail = tuple(range(2, X.ndim)), tuple(range(1, X.ndim))
    flat = rng.standard_normal(X.shape[1:]).astype(dtype)
    cases = [
        (normalization.batch_normalization(X, scale, shift, mean, var), (x - m) / np.sqrt(v + 1e-5) * s + b),
        (normalization.instance_normalization(X, scale, shift), standard(space) * s + b),
        (normalization.group_normalization(X, scale, shift, num_groups=3), groups * s + b),
        (normalization.layer_normalization(X, flat, axis=1)[0], standard(tail) * flat.astype(np.float64)),
        (
            normalization.rms_normalization(X, flat, axis=1),
            x / np.sqrt((x * x).mean(tail, keepdims=True) + 1e-5) * flat.astype(np.float64),
        ),
        (normalization.lp_normalization(X, axis=1), x / np.sqrt((x * x).sum(1, keepdims=True))),
        (normalization.lp_normalization(X, axis=1, p=1), x / np.abs(x).sum(1, keepdims=True)),
        (
            normalization.mean_variance_normalization(X, axes=space),
            (x - x.mean(space, keepdims=True)) / (x.std(space, keepdims=True) + 1e-9),
        ),
        (normalization.scale_shift(X, scale, shift), x * s + b),
        (
            normalization.scale_shift(X, scale, shift, axis=-X.ndim + 1, activation="Relu"),
            np.maximum(x * s + b, 0),
        ),
    ]
    for got, want in cases:
        assert got.dtype == dtype
        bound = tolerance(dtype, 16)
        np.testing.assert_allclose(got.astype(np.float64), want, rtol=bound, atol=bound * 4)
    out = np.empty_like(X)
    assert normalization.batch_normalization(X, scale, shift, mean, var, out=(out,)) is out
    assert out.tobytes() == cases[0][0].tobytes()


def test_batch_normalization_of_float64_is_not_rounded_by_float32_parameters():
    X = np.array([[0.3, -0.7]])
    narrow = [np.array(v, np.float32) for v in ([1.1, 0.9], [0.2, -0.1], [0.05, 0.3], [0.7, 1.3])]
    s, b, m, v = (p.astype(np.float64) for p in narrow)
    y = normalization.batch_normalization(X, *narrow)
    np.testing.assert_allclose(y, (X - m) / np.sqrt(v + 1e-5) * s + b, rtol=1e-14)


def test_batch_normalization_in_training_returns_running_statistics():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4, 3, 5))
    one, zero = np.ones(3), np.zeros(3)
    y, mean, var = normalization.batch_normalization(X, one, zero, zero, one, training_mode=1, momentum=0.75)
    np.testing.assert_allclose(y.mean((0, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(mean, 0.25 * X.mean((0, 2)))
    np.testing.assert_allclose(var, 0.75 + 0.25 * X.var((0, 2)))
    again = normalization.batch_normalization(
        X, one, zero, zero, one, training_mode=1, momentum=0.75, out=(X,)
    )
    assert again[0] is X
    assert np.array_equal(X, y)
    assert np.array_equal(again[2], var)


def test_parameters_may_be_wider_than_the_data():
    X = np.ones((1, 2, 3), np.float16)
    wide = [np.array(v, np.float32) for v in ([1, 2], [0, 1], [0.5, 0.5], [1, 1])]
    y = normalization.batch_normalization(X, *wide)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y[0, :, 0], [0.5, 2.0], rtol=2e-3)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 5), st.integers(1, 6))
def test_lrn_sums_its_neighbours(seed, size, channels):
    X = np.random.default_rng(seed).standard_normal((2, channels, 3))
    want = np.empty_like(X)
    for c in range(channels):
        low, high = max(0, c - (size - 1) // 2), min(channels - 1, c + math.ceil((size - 1) / 2))
        want[:, c] = X[:, c] / (2 + 0.5 / size * (X[:, low : high + 1] ** 2).sum(1)) ** 0.75
    np.testing.assert_allclose(normalization.lrn(X, size=size, alpha=0.5, bias=2.0), want, rtol=1e-12)


# Linear algebra


@settings(max_examples=60, deadline=None)
@given(seeds, floats, st.integers(0, 1), st.integers(0, 1), st.sampled_from(((), (1,), (4,), (3, 1), (3, 4))))
def test_gemm(seed, dtype, transA, transB, bias):
    rng = np.random.default_rng(seed)
    A, B, C = (rng.standard_normal(s).astype(dtype) for s in ((5, 3) if transA else (3, 5), (5, 4), bias))
    B = np.ascontiguousarray(B.T) if transB else B
    a, b, c = (v.astype(np.float64) for v in (A.T if transA else A, B.T if transB else B, C))
    want, size = 0.5 * a @ b - 2 * c, 0.5 * np.abs(a) @ np.abs(b) + 2 * np.abs(c)
    options = {"alpha": 0.5, "beta": -2.0, "transA": transA, "transB": transB}
    got = linear.gemm(A, B, C, **options)
    assert got.dtype == dtype
    assert np.all(
        np.abs(got.astype(np.float64) - want) <= (2 + math.sqrt(5)) * float(ml_dtypes.finfo(dtype).eps) * size
    )
    out = np.empty((3, 4), dtype)
    assert linear.gemm(A, B, C, out=(out,), **options) is out
    assert np.allclose(
        out.astype(np.float64), got.astype(np.float64), rtol=tolerance(dtype), atol=tolerance(dtype)
    )
    R = rng.standard_normal((3, 4)).astype(dtype)
    fused = linear.fused_gemm(A, B, C, R, activation="Relu", **options)
    want, size = np.maximum(want + R.astype(np.float64), 0), size + np.abs(R.astype(np.float64))
    assert np.all(np.abs(fused.astype(np.float64) - want) <= 5 * float(ml_dtypes.finfo(dtype).eps) * size)


def test_gemm_of_integers_stays_exact():
    A, B = np.array([[2**30, 3]], np.int64), np.array([[5], [7]], np.int64)
    assert linear.gemm(A, B, np.array([1])).tolist() == [[5 * 2**30 + 22]]
    assert linear.gemm(A, B, alpha=2.0).dtype == np.int64


@pytest.mark.parametrize(
    ("a", "b"), [((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 1, 2, 3), (5, 3, 2)), ((0, 3), (3, 2))]
)
def test_matmul_broadcasts_as_numpy(a, b):
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal(a), rng.standard_normal(b)
    want = np.asarray(np.matmul(A, B))
    got = linear.matmul(A, B)
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want)
    out = np.empty(want.shape)
    assert linear.matmul(A, B, out=(out,)) is out
    np.testing.assert_allclose(out, want)
    if A.ndim > 1 and B.ndim > 1:
        bias = rng.standard_normal(want.shape[-1])
        np.testing.assert_allclose(
            linear.fused_matmul(A, B, bias, want, activation="Tanh"), np.tanh(2 * want + bias)
        )


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("ij,jk->ik", 2),
        (" i j , j k ", 2),
        ("...ij,...jk->...ik", 2),
        ("ii->i", 1),
        ("ij->", 1),
        ("ij,jk,ik->j", 3),
    ],
)
def test_einsum(equation, shapes):
    operands = [np.random.default_rng(i).standard_normal((3, 3)) for i in range(shapes)]
    want = np.einsum(equation.replace(" ", ""), *operands)
    np.testing.assert_allclose(linear.einsum(*operands, equation=equation), want)


@pytest.mark.parametrize(
    ("equation", "words"),
    [
        ("ij->ij", "1 terms for 2"), ("ij,jkl->ik", "rank 2"), ("ij,jk->iz", "output"), ("ij,jk->ii", "output"),
        ("i1,jk->ik", "letters"), ("ij,ik->jk", "'i' is"),
    ],
)  # fmt: skip
def test_einsum_refuses(equation, words):
    with pytest.raises(ModelError, match=words):
        linear.einsum(np.zeros((2, 3)), np.zeros((3, 4)), equation=equation)


# Attention


def naive_attention(q, k, v, allowed, scale):
    """One query at a time; heads of k and v repeat in order."""
    repeat = q.shape[1] // k.shape[1]
    y = np.zeros((*q.shape[:3], v.shape[3]))
    for b, h, i in np.ndindex(q.shape[:3]):
        keys = [j for j in range(k.shape[2]) if allowed[b, i, j]]
        if keys:
            scores = np.array([scale * q[b, h, i] @ k[b, h // repeat, j] for j in keys])
            weights = np.exp(scores - scores.max())
            y[b, h, i] = (weights / weights.sum()) @ v[b, h // repeat, keys]
    return y


@settings(max_examples=60, deadline=None)
@given(
    seeds, st.booleans(), st.booleans(), st.integers(-1, 3), st.integers(-1, 3),
    st.sampled_from(("none", "past", "nonpad")), st.booleans(),
)  # fmt: skip
def test_attention_masks_compose(seed, causal, masked, left, right, cache, packed):
    rng = np.random.default_rng(seed)
    batch, heads, groups, queries, keys = 2, 4, 2, 3, 5
    q = rng.standard_normal((batch, heads, queries, 4))
    k, v = rng.standard_normal((batch, groups, keys, 4)), rng.standard_normal((batch, groups, keys, 6))
    past = {}
    offset = np.zeros(batch, int)
    whole_k, whole_v = k, v
    if cache == "past":
        past = {
            "past_key": rng.standard_normal((batch, groups, 2, 4)),
            "past_value": rng.standard_normal((2, 2, 2, 6)),
        }
        whole_k = np.concatenate((past["past_key"], k), 2)
        whole_v = np.concatenate((past["past_value"], v), 2)
        offset[:] = 2
    allowed = np.ones((batch, queries, whole_k.shape[2]), bool)
    if cache == "nonpad":
        past = {"nonpad_kv_seqlen": rng.integers(1, keys + 1, batch)}
        offset = past["nonpad_kv_seqlen"] - queries
        allowed &= np.arange(keys) < past["nonpad_kv_seqlen"][:, None, None]
    mask = rng.random((batch, 1, queries, whole_k.shape[2])) < 0.7 if masked else None
    if mask is not None:
        allowed &= mask[:, 0]
    for b, i, j in np.ndindex(allowed.shape):
        at = i + offset[b]
        allowed[b, i, j] &= not (causal and j > at)
        allowed[b, i, j] &= not (left >= 0 and j < at - left) and not (right >= 0 and j > at + right)
    want = naive_attention(q, whole_k, whole_v, allowed, 0.5)
    options = {"is_causal": int(causal), "left_window_size": left, "right_window_size": right}
    operands = [q, k, v]
    if packed:
        operands = [x.transpose(0, 2, 1, 3).reshape(batch, x.shape[2], -1) for x in operands]
        options |= {"q_num_heads": heads, "kv_num_heads": groups}
        want = want.transpose(0, 2, 1, 3).reshape(batch, queries, -1)
    y, present_key, present_value, weights = attention(
        *operands, mask, **past, **options, qk_matmul_output_mode=3
    )
    np.testing.assert_allclose(y, want, rtol=1e-10, atol=1e-12)
    assert np.array_equal(present_key, whole_k)
    assert np.array_equal(present_value, whole_v)
    np.testing.assert_allclose(weights.sum(-1), np.broadcast_to(allowed.any(-1)[:, None], weights.shape[:3]))


def test_attention_refuses_what_does_not_fit():
    x = np.zeros((1, 3, 2, 4), np.float32)
    with pytest.raises(ModelError, match="do not fit 2 key heads"):
        attention(x, x[:, :2], x[:, :2])
    with pytest.raises(ModelError, match="q_num_heads"):
        attention(x[0], x[0], x[0])
    with pytest.raises(ModelError, match="together"):
        attention(x, x, x, None, x)


def test_flex_attention_calls_its_subgraphs():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 2, n, 4)) for n in (3, 5, 5))
    block = np.tri(3, 5, dtype=bool)
    got = flex_attention(
        q, k, v, score_mod=lambda s: (np.where(block, s, -np.inf),), prob_mod=lambda p: (2 * p,), scale=0.5
    )
    want = 2 * naive_attention(q, k, v, np.broadcast_to(block, (1, 3, 5)), 0.5)
    np.testing.assert_allclose(got, want, rtol=1e-10)


@pytest.mark.parametrize("dtype", [ml_dtypes.bfloat16, np.float16, np.float32])
@pytest.mark.parametrize("length", [1, 7, 8, 1000, 5000])
def test_softmax_of_a_long_row_sums_to_one(dtype, length):
    weights = softmax(np.zeros((2, length), dtype), np.dtype(dtype)).astype(np.float64)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=tolerance(dtype, 2))


@pytest.mark.parametrize("rule", ["linear", "gated", "delta", "gated_delta"])
def test_linear_attention_is_its_recurrence(rule):
    rng = np.random.default_rng(0)
    q, k, v = rng.standard_normal((1, 4, 12)), rng.standard_normal((1, 4, 6)), rng.standard_normal((1, 4, 10))
    g, b, state = -rng.random((1, 4, 2)), rng.random((1, 4, 2)), rng.standard_normal((1, 2, 3, 5))
    y, last = sequence_mixing.linear_attention(
        q, k, v, state, g, b, q_num_heads=4, kv_num_heads=2, update_rule=rule, scale=0.25
    )
    S, want = state[0].copy(), np.empty((4, 4, 5))
    for t, h in itertools.product(range(4), range(2)):
        key, value = k[0, t].reshape(2, 3)[h], v[0, t].reshape(2, 5)[h]
        S[h] *= np.exp(g[0, t, h]) if "gated" in rule else 1
        S[h] += np.outer(key, b[0, t, h] * (value - S[h].T @ key) if "delta" in rule else value)
        for head in (2 * h, 2 * h + 1):
            want[t, head] = 0.25 * q[0, t].reshape(4, 3)[head] @ S[h]
    np.testing.assert_allclose(y.reshape(4, 4, 5), want, rtol=1e-10)
    np.testing.assert_allclose(last[0], S, rtol=1e-10)
    with pytest.raises(ModelError, match="needs decay"):
        sequence_mixing.linear_attention(q, k, v, q_num_heads=4, kv_num_heads=2)


def test_rotary_embedding_rotates_pairs():
    rng = np.random.default_rng(0)
    angle = rng.standard_normal((8, 2))
    X = rng.standard_normal((1, 3, 2, 6))
    ids = np.array([[5, 0]])
    for interleaved in (0, 1):
        y = sequence_mixing.rotary_embedding(
            X, np.cos(angle), np.sin(angle), ids, rotary_embedding_dim=4, interleaved=interleaved
        )
        assert np.array_equal(y[..., 4:], X[..., 4:])
        real, imaginary = (slice(0, 4, 2), slice(1, 4, 2)) if interleaved else (slice(0, 2), slice(2, 4))
        turned = (X[..., real] + 1j * X[..., imaginary]) * np.exp(1j * angle[ids])[:, None]
        np.testing.assert_allclose(y[..., real] + 1j * y[..., imaginary], turned, rtol=1e-12)
        flat = X.transpose(0, 2, 1, 3).reshape(1, 2, 18)
        packed = sequence_mixing.rotary_embedding(
            flat,
            np.cos(angle)[ids],
            np.sin(angle)[ids],
            num_heads=3,
            rotary_embedding_dim=4,
            interleaved=interleaved,
        )
        np.testing.assert_allclose(packed.reshape(1, 2, 3, 6).transpose(0, 2, 1, 3), y)


def test_causal_conv_in_steps_is_the_whole():
    rng = np.random.default_rng(0)
    X, W, B = rng.standard_normal((2, 3, 7)), rng.standard_normal((3, 1, 4)), rng.standard_normal(3)
    whole, state = sequence_mixing.causal_conv_with_state(X, W, B, activation="silu")
    parts, carried = [], None
    for t in (slice(0, 2), slice(2, 3), slice(3, 7)):
        y, carried = sequence_mixing.causal_conv_with_state(X[:, :, t], W, B, carried, activation="silu")
        parts.append(y)
    np.testing.assert_allclose(np.concatenate(parts, 2), whole)
    assert np.array_equal(carried, state)


# Rearranging, losses, images


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_and_space_are_inverse(mode):
    X = np.arange(2 * 12 * 3 * 2).reshape(2, 12, 3, 2)
    wide = rearrange.depth_to_space(X, blocksize=2, mode=mode)
    assert wide.shape == (2, 3, 6, 4)
    assert np.array_equal(rearrange.space_to_depth(wide, blocksize=2, mode=mode), X)
    first = [X[0, c, 0, 0] for c in ((0, 3, 6, 9) if mode == "DCR" else (0, 1, 2, 3))]
    assert wide[0, 0, :2, :2].ravel().tolist() == first
    with pytest.raises(ModelError, match="divide"):
        rearrange.depth_to_space(X, blocksize=5)


def test_affine_grid_of_the_identity_is_the_pixel_grid():
    theta = np.eye(2, 3)[None]
    grid = rearrange.affine_grid(theta, np.array([1, 1, 2, 3]), align_corners=1)
    assert grid[0, :, :, 0].tolist() == [[-1, 0, 1]] * 2
    assert grid[0, :, 0, 1].tolist() == [-1, 1]
    edges = rearrange.affine_grid(theta, np.array([1, 1, 2, 4]))
    np.testing.assert_allclose(edges[0, 0, :, 0], [-0.75, -0.25, 0.25, 0.75])


@settings(max_examples=40, deadline=None)
@given(
    seeds,
    st.booleans(),
    st.sampled_from((None, 0, -1)),
    st.sampled_from(("none", "sum", "mean")),
    st.integers(0, 2),
)
def test_losses(seed, weighted, ignore, reduction, rank):
    rng = np.random.default_rng(seed)
    shape = (3, 4, *(2,) * rank)
    scores = rng.standard_normal(shape)
    labels = rng.integers(0 if ignore != -1 else -1, 4, (3, *shape[2:]))
    weights = rng.random(4) + 0.1 if weighted else None
    logs = scores - np.log(np.exp(scores).sum(1, keepdims=True))
    want, share = np.zeros(labels.shape), np.zeros(labels.shape)
    for at in np.ndindex(labels.shape):
        c = labels[at]
        if c != ignore:
            share[at] = 1 if weights is None else weights[c]
            want[at] = -logs[(at[0], c, *at[1:])] * share[at]
    assume(share.sum() > 0)
    want = {"none": want, "sum": want.sum(), "mean": want.sum() / share.sum()}[reduction]
    options = {"ignore_index": ignore, "reduction": reduction}
    got, log_prob = loss.softmax_cross_entropy_loss(scores, labels, weights, **options)
    np.testing.assert_allclose(got, want, rtol=1e-10)
    np.testing.assert_allclose(log_prob, logs, rtol=1e-10)
    np.testing.assert_allclose(
        loss.negative_log_likelihood_loss(logs, labels, weights, **options), want, rtol=1e-10
    )


def test_a_label_outside_the_classes_is_refused():
    with pytest.raises(ModelError, match="class index"):
        loss.negative_log_likelihood_loss(np.zeros((2, 3)), np.array([0, 3]))


def test_image_decoder_says_what_it_needs():
    try:
        from PIL import Image  # noqa: F401
    except ImportError:
        with pytest.raises(KernelError, match="pip install pillow"):
            image.image_decoder(np.zeros(4, np.uint8))
    else:
        header = b"P6 2 1 255\n" + bytes([1, 2, 3, 4, 5, 6])
        stream = np.frombuffer(header, np.uint8)
        assert image.image_decoder(stream).tolist() == [[[1, 2, 3], [4, 5, 6]]]
        assert image.image_decoder(stream, pixel_format="BGR").tolist() == [[[3, 2, 1], [6, 5, 4]]]
        assert image.image_decoder(stream[:5]).size == 0
    with pytest.raises(ModelError, match="pixel_format"):
        image.image_decoder(np.zeros(4, np.uint8), pixel_format="HSV")
