"""Tensor manipulation against independent formulas: views, joins, padding, creation, searching."""

import itertools
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from orpheus_numpy.tensor import create, join, linalg, pad, search, shape
from orpheus_numpy.tensor.detection import non_max_suppression

from orpheus_core.plugin import Problem
from orpheus_core.types import DType

FEW = settings(max_examples=40, deadline=None)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
DTYPES = st.sampled_from(
    [np.float32, np.int8, np.bool_, np.complex64, ml_dtypes.bfloat16, ml_dtypes.int4, object]
)


def i64(*values):
    return np.array(values, np.int64)


def tensor(dims, dtype=np.float32, seed=0):
    """Distinct small values where the type has enough."""
    values = np.random.default_rng(seed).permutation(math.prod(dims)).reshape(dims)
    return values.astype(str).astype(object) if dtype is object else (values % 8).astype(dtype)


def problem(outputs):
    return Problem("Split", "", 18, {}, (), (None,) * outputs)


def both_ways(kernel, *inputs, **attributes):
    """The result of a kernel that can fill a given output, after checking that it fills one with the same."""
    before = [np.array(x) for x in inputs]
    fresh = kernel(*inputs, **attributes)
    target = np.empty_like(fresh)
    assert kernel(*inputs, **attributes, out=(target,)) is target
    np.testing.assert_array_equal(target, fresh)
    for x, old in zip(inputs, before):
        np.testing.assert_array_equal(x, old)
    return fresh


@FEW
@given(SHAPES, DTYPES, st.data())
def test_transpose_moves_each_element(dims, dtype, data):
    x = tensor(dims, dtype)
    perm = data.draw(st.permutations(range(x.ndim)))
    y = both_ways(shape.transpose, x, perm=perm)
    for index in np.ndindex(*dims):
        assert y[tuple(index[p] for p in perm)] == x[index]


@FEW
@given(SHAPES, st.data())
def test_squeeze_undoes_unsqueeze(dims, data):
    x = tensor(dims)
    count = data.draw(st.integers(0, 3))
    rank = x.ndim + count
    axes = data.draw(st.lists(st.integers(0, rank - 1), min_size=count, max_size=count, unique=True))
    signed = [a - rank if data.draw(st.booleans()) else a for a in axes]
    y = shape.unsqueeze(x, i64(*signed))
    assert [y.shape[a] for a in axes] == [1] * count
    np.testing.assert_array_equal(shape.squeeze(y, i64(*signed)), x)
    assert 1 not in shape.squeeze(x).shape


@pytest.mark.parametrize(
    ("old", "wanted", "allowzero", "new"),
    [
        ((2, 3, 4), (0, -1), 0, (2, 12)),
        ((2, 3, 4), (4, 0, -1), 0, (4, 3, 2)),
        ((0, 3, 4), (0, -1), 0, (0, 12)),
        ((0, 3), (3, 0), 1, (3, 0)),
        ((1,), (), 0, ()),
    ],
)
def test_reshape(old, wanted, allowzero, new):
    assert shape.reshape(np.zeros(old), i64(*wanted), allowzero=allowzero).shape == new


@pytest.mark.parametrize("wanted", [(5, -1), (-1, -1), (7,), (-2, 3), (2, 3, 0)])
def test_reshape_refuses(wanted):
    with pytest.raises(ValueError, match="Reshape"):
        shape.reshape(np.zeros((2, 3)), i64(*wanted))


@FEW
@given(SHAPES, st.integers(-6, 6), st.integers(-6, 6))
def test_shape_clamps_start_and_end(dims, start, end):
    def clamp(v):
        return min(max(v + len(dims) if v < 0 else v, 0), len(dims))

    expected = [d for i, d in enumerate(dims) if clamp(start) <= i < clamp(end)]
    assert shape.shape(np.zeros(dims), start=start, end=end).tolist() == expected
    assert shape.size(np.zeros(dims)) == math.prod(dims)


@FEW
@given(SHAPES, DTYPES, st.data())
def test_split_undoes_concat(dims, dtype, data):
    axis = data.draw(st.integers(-len(dims), len(dims) - 1))
    parts = []
    for seed in range(data.draw(st.integers(1, 3))):
        size = data.draw(st.integers(0, 3))
        sizes = list(dims)
        sizes[axis] = size
        parts.append(tensor(sizes, dtype, seed))
    joined = both_ways(join.concat, *parts, axis=axis)
    lengths = i64(*(p.shape[axis] for p in parts))
    targets = tuple(np.empty_like(p) if i % 2 else None for i, p in enumerate(parts))
    again = join.split(joined, lengths, axis=axis, problem=problem(len(parts)), out=targets)
    for part, found in zip(parts, again):
        np.testing.assert_array_equal(found, part)


@pytest.mark.parametrize(
    ("length", "count", "sizes"), [(7, 3, [3, 3, 1]), (6, 3, [2, 2, 2]), (2, 3, [1, 1, 0])]
)
def test_split_in_equal_parts(length, count, sizes):
    x = np.arange(length)
    for arguments in ({"num_outputs": count, "problem": problem(1)}, {"problem": problem(count)}):
        parts = join.split(x, **arguments)
        assert [len(p) for p in parts] == sizes
        np.testing.assert_array_equal(np.concatenate(parts), x)


@FEW
@given(st.integers(1, 8), st.data())
def test_slice_follows_the_formula(size, data):
    bound = st.one_of(st.integers(-12, 12), st.sampled_from([2**63 - 1, -(2**63)]))
    start, end = data.draw(bound), data.draw(bound)
    step = data.draw(st.integers(-4, 4).filter(bool))
    # The operator page's clamping, written out.
    first = min(max(start + size if start < 0 else start, 0), size - 1 if step < 0 else size)
    last = end + size if end < 0 else end
    last = min(max(last, -1), size - 1) if step < 0 else min(max(last, 0), size)
    x = tensor((3, size))
    expected = x[:, list(range(first, last, step))]
    np.testing.assert_array_equal(
        both_ways(join.slice_, x, i64(start), i64(end), i64(-1), i64(step)), expected
    )


@FEW
@given(SHAPES, DTYPES, st.data())
def test_tile_takes_indices_modulo(dims, dtype, data):
    x = tensor(dims, dtype)
    repeats = [data.draw(st.integers(0, 3)) for _ in dims]
    y = both_ways(join.tile, x, i64(*repeats))
    assert y.shape == tuple(d * n for d, n in zip(dims, repeats))
    for index in np.ndindex(*y.shape):
        assert y[index] == x[tuple(i % d for i, d in zip(index, dims))]


@FEW
@given(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3), DTYPES)
def test_expand_broadcasts_both_ways(shapes, dtype):
    x = tensor(shapes.input_shapes[0], dtype)
    y = both_ways(join.expand, x, i64(*shapes.input_shapes[1]))
    assert y.shape == shapes.result_shape
    np.testing.assert_array_equal(y, np.broadcast_to(x, shapes.result_shape))


def naive_source(mode, position, size):
    """The element of an axis of ``size`` that a mode puts at ``position``, one step at a time."""
    while not 0 <= position < size:
        if mode == "edge":
            position = 0 if position < 0 else size - 1
        elif mode == "wrap":
            position += size if position < 0 else -size
        elif size == 1:
            position = 0
        else:
            position = -position if position < 0 else 2 * (size - 1) - position
    return position


@FEW
@given(SHAPES, DTYPES, st.sampled_from(["constant", "reflect", "edge", "wrap"]), st.data())
def test_pad_places_each_element(dims, dtype, mode, data):
    x = tensor(dims, dtype)
    axes = data.draw(st.lists(st.integers(0, len(dims) - 1), min_size=1, unique=True))
    before = [data.draw(st.integers(-dims[a] // 2 + 1, 5)) for a in axes]
    after = [data.draw(st.integers(0 if b < 0 else 1 - dims[a], 5)) for a, b in zip(axes, before)]
    fill = np.array("?" if dtype is object else 1).astype(x.dtype)
    signed = i64(*(a - len(dims) for a in axes))
    y = both_ways(pad.pad, x, i64(*before, *after), fill, signed, mode=mode)
    left = [slice(None)] * x.ndim
    offset = [0] * x.ndim
    for axis, b, a in zip(axes, before, after):
        left[axis] = slice(max(-b, 0), dims[axis] + min(a, 0))
        offset[axis] = max(b, 0)
    kept = x[tuple(left)]
    assert y.shape == tuple(
        d + (before[axes.index(i)] + after[axes.index(i)] if i in axes else 0) for i, d in enumerate(dims)
    )
    for index in itertools.islice(np.ndindex(*y.shape), 200):
        place = [i - o for i, o in zip(index, offset)]
        inside = all(0 <= p < d for p, d in zip(place, kept.shape))
        if mode == "constant" and not inside:
            assert y[index] == fill
        else:
            assert y[index] == kept[tuple(naive_source(mode, p, d) for p, d in zip(place, kept.shape))]


def test_pad_refuses():
    with pytest.raises(ValueError, match="mode 'mirror'"):
        pad.pad(np.zeros(2), i64(1, 1), mode="mirror")
    with pytest.raises(ValueError, match="nothing to copy"):
        pad.pad(np.zeros((2, 0)), i64(0, 1, 0, 1), mode="edge")
    with pytest.raises(ValueError, match="remove more"):
        pad.pad(np.zeros(2), i64(-2, -1))


@FEW
@given(st.integers(0, 7), st.integers(0, 7))
def test_center_crop_pad_keeps_the_centre(size, target):
    x = np.arange(1, size + 1)
    y = pad.center_crop_pad(np.stack([x, x]), i64(target), axes=(-1,))[1]
    if target <= size:
        start = (size - target) // 2
        assert y.tolist() == x[start : start + target].tolist()
    else:
        ahead = (target - size) // 2
        assert y.tolist() == [0] * ahead + x.tolist() + [0] * (target - size - ahead)


@FEW
@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-7, 7).filter(bool))
def test_range_counts_until_the_limit(start, limit, delta):
    expected = list(range(start, limit, delta))
    for dtype in (np.int16, np.int64, np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
        found = create.range_(*(np.array(v, dtype) for v in (start, limit, delta)))
        assert found.dtype == dtype
        if dtype is not ml_dtypes.bfloat16:
            assert found.tolist() == expected
        else:
            np.testing.assert_array_equal(found, np.array(expected, np.float32).astype(dtype))


def test_range_refuses():
    zero = np.array(0.0, np.float32)
    with pytest.raises(ValueError, match="delta is 0"):
        create.range_(zero, zero + 1, zero)
    with pytest.raises(ValueError, match="no finite length"):
        create.range_(zero, np.array(np.inf, np.float32), np.array(1, np.float32))


@FEW
@given(st.integers(0, 5), st.integers(0, 5), st.one_of(st.integers(-6, 6), st.just(2**62)))
def test_eye_like_and_trilu_compare_row_and_column(rows, columns, k):
    x = tensor((2, rows, columns), object)
    up = create.trilu(x, np.array(k), upper=1)
    down = create.trilu(x, np.array(k), upper=0)
    eye = create.eye_like(x[0], dtype=DType.BFLOAT16.onnx, k=k)
    assert eye.dtype == ml_dtypes.bfloat16
    for b, i, j in np.ndindex(*x.shape):
        assert eye[i, j] == (j - i == k)
        assert up[b, i, j] == (x[b, i, j] if j - i >= k else "")
        assert down[b, i, j] == (x[b, i, j] if j - i <= k else "")


@FEW
@given(hnp.arrays(np.float32, SHAPES, elements=st.integers(-7, 7)), st.integers(0, 5), st.data())
def test_one_hot_has_one_hot_element(indices, depth, data):
    axis = data.draw(st.integers(-indices.ndim - 1, indices.ndim))
    y = create.one_hot(indices, np.array([depth]), np.array(["off", "on"], object), axis=axis)
    y = np.moveaxis(y, axis, -1)
    assert y.shape == (*indices.shape, depth)
    for index in np.ndindex(*indices.shape):
        place = int(indices[index])
        hot = [i for i in range(depth) if y[(*index, i)] == "on"]
        assert hot == ([place % depth] if -depth <= place < depth else [])


def test_constant_forms():
    for name, value, dtype in (
        ("value_float", 1.5, np.float32),
        ("value_floats", (1.5, 2.5), np.float32),
        ("value_int", 3, np.int64),
        ("value_ints", (3, 4), np.int64),
        ("value_string", "a", object),
        ("value_strings", ("a", "b"), object),
    ):
        found = create.constant(**{name: value})
        assert found.dtype == dtype
        assert found.tolist() == (list(value) if isinstance(value, tuple) else value)
    with pytest.raises(ValueError, match="none of its value"):
        create.constant()
    assert create.constant_of_shape(i64(2, 0)).shape == (2, 0)
    filled = create.constant_of_shape(i64(2), value=np.array(["x"], object))
    assert filled.tolist() == ["x", "x"]
    with pytest.raises(ValueError, match="negative dimension"):
        create.constant_of_shape(i64(2, -1))


@pytest.mark.parametrize("linear", [True, False])
def test_sparse_constant_is_made_dense(linear):
    from onnx import helper, numpy_helper

    indices = i64(1, 5) if linear else i64(0, 1, 1, 2).reshape(2, 2)
    values = numpy_helper.from_array(np.array([7, 9], np.float32))
    sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(indices), [2, 3])
    assert create.constant(sparse_value=sparse).tolist() == [[0, 7, 0], [0, 0, 9]]


@FEW
@given(
    hnp.arrays(np.int8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=4), elements=st.integers(0, 2)),
    st.data(),
)
def test_unique_finds_first_inverse_and_count(x, data):
    axis = data.draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    ordered = data.draw(st.booleans())
    kind = data.draw(st.sampled_from([np.int8, np.float32, ml_dtypes.bfloat16, object]))
    values = x.astype(str).astype(object) if kind is object else x.astype(kind)
    y, first, inverse, counts = search.unique(values, axis=axis, sorted=int(ordered))
    rows = (
        values.reshape(-1, 1)
        if axis is None
        else np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    )
    keys = [tuple(r.tolist()) for r in rows]
    wanted = sorted(set(keys)) if ordered else list(dict.fromkeys(keys))
    assert first.tolist() == [keys.index(k) for k in wanted]
    assert inverse.tolist() == [wanted.index(k) for k in keys]
    assert counts.tolist() == [keys.count(k) for k in wanted]
    np.testing.assert_array_equal(
        y, np.take(values.reshape(-1) if axis is None else values, first, axis or 0)
    )


def test_unique_takes_nan_as_one_value():
    y, first, _, counts = search.unique(np.array([[np.nan, 1], [np.nan, 1], [0, np.nan]]), axis=0)
    assert (first.tolist(), counts.tolist(), y.shape) == ([2, 0], [1, 2], (2, 2))


@FEW
@given(hnp.arrays(np.int16, SHAPES, elements=st.integers(-2, 2)), st.booleans(), st.data())
def test_top_k_orders_by_value_then_index(x, largest, data):
    kind = data.draw(st.sampled_from([np.int16, np.float32, ml_dtypes.bfloat16]))
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    k = data.draw(st.integers(0, x.shape[axis]))
    values, indices = search.top_k(x.astype(kind), i64(k), axis=axis, largest=int(largest))
    lines = np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    found = np.moveaxis(indices, axis, -1).reshape(len(lines), k)
    kept = np.moveaxis(values, axis, -1).reshape(len(lines), k)
    for line, order, best in zip(lines.tolist(), found.tolist(), kept):
        assert order == sorted(range(len(line)), key=lambda i: (-line[i] if largest else line[i], i))[:k]
        assert best.astype(np.int16).tolist() == [line[i] for i in order]
    with pytest.raises(ValueError, match="TopK"):
        search.top_k(x, i64(x.shape[axis] + 1), axis=axis)


@pytest.mark.parametrize("largest", [0, 1])
def test_top_k_keeps_the_order_of_many_equals(largest):
    """Long enough that an unstable sort would show."""
    x = np.random.default_rng(0).integers(0, 3, 2000).astype(np.float32)
    order = search.top_k(x, i64(1500), largest=largest)[1].tolist()
    assert order == sorted(range(2000), key=lambda i: (-x[i] if largest else x[i], i))[:1500]


@FEW
@given(st.integers(1, 4), st.integers(1, 4), st.booleans(), st.data())
def test_reverse_sequence_reverses_the_head(batch, steps, batch_first, data):
    lengths = [data.draw(st.integers(0, steps)) for _ in range(batch)]
    x = tensor((batch, steps, 2), object)
    given_x = x if batch_first else x.swapaxes(0, 1)
    y = search.reverse_sequence(
        given_x, i64(*lengths), batch_axis=1 - batch_first, time_axis=int(batch_first)
    )
    for before, after, n in zip(x, y if batch_first else y.swapaxes(0, 1), lengths):
        assert after.tolist() == before[:n][::-1].tolist() + before[n:].tolist()
    with pytest.raises(ValueError, match="lengths"):
        search.reverse_sequence(x, i64(*([steps + 1] * batch)), batch_axis=0, time_axis=1)


def test_non_zero_in_row_major_order():
    assert search.non_zero(np.array([[0, 2], [3, 0]])).tolist() == [[0, 1], [1, 0]]
    assert search.non_zero(np.array(5)).shape == (0, 1)
    assert search.non_zero(np.array(False)).shape == (0, 0)


@FEW
@given(hnp.arrays(np.float64, (2, 3, 3), elements=st.integers(-4, 4)))
def test_det_by_permutations(x):
    def leibniz(m):
        return sum(
            np.linalg.det(np.eye(3)[list(p)]) * math.prod(m[i, p[i]] for i in range(3))
            for p in itertools.permutations(range(3))
        )

    np.testing.assert_allclose(linalg.det(x), [leibniz(m) for m in x], atol=1e-9)
    assert linalg.det(x.astype(ml_dtypes.bfloat16)).dtype == ml_dtypes.bfloat16


def naive_nms(boxes, scores, most, overlap, least, centred):
    def corners(b):
        if centred:
            return b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2
        return min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3])

    def iou(a, b):
        a, b = corners(a), corners(b)
        common = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
        areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
        return common / (sum(areas) - common) if min(areas) > 0 else 0

    kept = []
    for batch, label in np.ndindex(*scores.shape[:2]):
        line = scores[batch, label]
        chosen = []
        for i in sorted(range(len(line)), key=lambda i: (-line[i], i)):
            if (
                len(chosen) < most
                and line[i] > least
                and all(iou(boxes[batch, i], boxes[batch, j]) <= overlap for j in chosen)
            ):
                chosen.append(i)
        kept += [[batch, label, i] for i in chosen]
    return kept


@FEW
@given(
    hnp.arrays(np.float64, (2, 6, 4), elements=st.integers(0, 8)),
    hnp.arrays(np.float64, (2, 2, 6), elements=st.integers(0, 5)),
    st.integers(0, 7),
    st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    st.sampled_from([-1.0, 0.0, 2.0]),
    st.booleans(),
)
def test_non_max_suppression(boxes, scores, most, overlap, least, centred):
    limits = (i64(most), np.array(overlap), np.array([least]))
    found = non_max_suppression(boxes, scores, *limits, center_point_box=int(centred))
    assert found.dtype == np.int64
    assert found.tolist() == naive_nms(boxes, scores, most, overlap, least, centred)


def test_non_max_suppression_without_limits_selects_nothing():
    assert non_max_suppression(np.ones((1, 2, 4), np.float32), np.ones((1, 1, 2), np.float32)).shape == (0, 3)


def test_a_tensor_of_rank_0_stays_an_array_of_its_type():
    from orpheus_numpy.tensor.gather import gather

    word = np.array("word", object)
    for y in (
        pad.pad(word, i64()),
        join.tile(word, i64()),
        join.expand(word, i64()),
        join.slice_(word, i64(), i64()),
        gather(word.reshape(1), np.array(0)),
        shape.reshape(word.reshape(1), i64()),
        shape.transpose(word),
        shape.squeeze(word.reshape(1, 1)),
    ):
        assert (y.shape, y.dtype, y.item()) == ((), object, "word")
