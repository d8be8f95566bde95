"""Gather and scatter against element-by-element loops, and their refusals."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from orpheus_numpy.tensor import gather, scatter

FEW = settings(max_examples=40, deadline=None)
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=1, max_side=4)
DTYPES = st.sampled_from([np.float32, np.int64, ml_dtypes.bfloat16, ml_dtypes.int4, np.bool_, object])
COMBINE = {
    "none": lambda old, new: new,
    "add": lambda old, new: old + new,
    "mul": lambda old, new: old * new,
    "max": max,
    "min": min,
}


def tensor(dims, dtype, seed=0):
    values = np.random.default_rng(seed).integers(0, 7, dims)
    return values.astype(str).astype(object) if dtype is object else values.astype(dtype)


def indices_for(data, dims, size):
    """Indices in range of either sign, int32 or int64."""
    elements = st.integers(-size, size - 1)
    return data.draw(hnp.arrays(data.draw(st.sampled_from([np.int32, np.int64])), dims, elements=elements))


@FEW
@given(SHAPES, DTYPES, st.data())
def test_gather(dims, dtype, data):
    x = tensor(dims, dtype)
    axis = data.draw(st.integers(-x.ndim, x.ndim - 1))
    indices = indices_for(
        data, data.draw(hnp.array_shapes(min_dims=0, max_dims=2, max_side=3)), x.shape[axis]
    )
    y = gather.gather(x, indices, axis=axis)
    axis %= x.ndim
    assert y.shape == (*dims[:axis], *indices.shape, *dims[axis + 1 :])
    for index in np.ndindex(*y.shape):
        middle = index[axis : axis + indices.ndim]
        assert y[index] == x[(*index[:axis], indices[middle], *index[axis + indices.ndim :])]
    target = np.empty_like(y)
    assert gather.gather(x, indices, axis=axis, out=(target,)) is target
    np.testing.assert_array_equal(target, y)


@FEW
@given(SHAPES, DTYPES, st.data())
def test_gather_elements_and_scatter_elements(dims, dtype, data):
    x = tensor(dims, dtype)
    axis = data.draw(st.integers(0, x.ndim - 1))
    smaller = [data.draw(st.integers(1, d)) for d in dims]
    indices = indices_for(data, smaller, dims[axis])
    y = gather.gather_elements(x, indices, axis=axis)
    reduction = data.draw(st.sampled_from(["none"] if dtype in (object, np.bool_) else list(COMBINE)))
    updates = tensor(smaller, dtype, seed=1)
    z = scatter.scatter_elements(x, indices, updates, axis=axis, reduction=reduction)
    expected = x.copy()
    for index in np.ndindex(*smaller):
        place = (*index[:axis], int(indices[index]) % dims[axis], *index[axis + 1 :])
        assert y[index] == x[place]
        expected[place] = COMBINE[reduction](expected[place], updates[index])
    assert z.dtype == x.dtype
    np.testing.assert_array_equal(z, expected)


@FEW
@given(SHAPES, DTYPES, st.data())
def test_gather_nd(dims, dtype, data):
    x = tensor(dims, dtype)
    batch = data.draw(st.integers(0, x.ndim - 1))
    depth = data.draw(st.integers(1, x.ndim - batch))
    lead = (*dims[:batch], *data.draw(hnp.array_shapes(min_dims=1 - min(batch, 1), max_dims=2, max_side=3)))
    indices = np.stack([indices_for(data, lead, dims[batch + i]) for i in range(depth)], axis=-1)
    y = gather.gather_nd(x, indices, batch_dims=batch)
    assert y.shape == (*lead, *dims[batch + depth :])
    for index in np.ndindex(*lead):
        np.testing.assert_array_equal(y[index], x[(*index[:batch], *indices[index])])


@FEW
@given(SHAPES, DTYPES, st.data())
def test_scatter_nd(dims, dtype, data):
    x = tensor(dims, dtype)
    depth = data.draw(st.integers(0, x.ndim))
    lead = data.draw(hnp.array_shapes(min_dims=1, max_dims=2, max_side=3))
    parts = [indices_for(data, lead, dims[i]) for i in range(depth)]
    indices = np.stack(parts, axis=-1) if parts else np.zeros((*lead, 0), np.int64)
    updates = tensor((*lead, *dims[depth:]), dtype, seed=2)
    reduction = data.draw(st.sampled_from(["none"] if dtype in (object, np.bool_) else list(COMBINE)))
    y = scatter.scatter_nd(x, indices, updates, reduction=reduction)
    expected = x.copy()
    for index in np.ndindex(*lead):
        for inner in np.ndindex(*dims[depth:]):
            place = (*indices[index], *inner)
            expected[place] = COMBINE[reduction](expected[place], updates[(*index, *inner)])
    np.testing.assert_array_equal(y, expected)


@FEW
@given(st.sampled_from(["linear", "circular"]), st.integers(1, 2), st.data())
def test_tensor_scatter_follows_the_pseudocode(mode, axis, data):
    capacity, length = 5, data.draw(st.integers(0, 5))
    starts = data.draw(
        hnp.arrays(np.int64, 2, elements=st.integers(0, 5 - length if mode == "linear" else 9))
    )
    dims = [2, 3, 3]
    dims[axis] = capacity
    past = tensor(dims, np.float32)
    dims[axis] = length
    update = tensor(dims, np.float32, seed=1) + 10
    expected = past.copy()
    for prefix in np.ndindex(*past.shape[:axis]):
        for i in range(length):
            place = int(starts[prefix[0]]) + i
            expected[(*prefix, place % capacity if mode == "circular" else place)] = update[(*prefix, i)]
    found = scatter.tensor_scatter(past, update, starts, axis=axis, mode=mode)
    np.testing.assert_array_equal(found, expected)
    if not starts.any():
        np.testing.assert_array_equal(scatter.tensor_scatter(past, update, axis=axis, mode=mode), expected)


@FEW
@given(SHAPES, st.data())
def test_compress(dims, data):
    x = tensor(dims, object)
    axis = data.draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    length = x.size if axis is None else dims[axis]
    condition = data.draw(hnp.arrays(np.bool_, st.integers(0, length)))
    expected = np.take(x, [i for i, c in enumerate(condition) if c], axis)
    np.testing.assert_array_equal(gather.compress(x, condition, axis=axis), expected)
    with pytest.raises(ValueError, match="Compress"):
        gather.compress(x, np.ones(length + 1, bool), axis=axis)


X = np.arange(6.0).reshape(2, 3)
REFUSED = {
    "gather above": lambda: gather.gather(X, np.array([2]), axis=0),
    "gather below": lambda: gather.gather(X, np.array([-4]), axis=1),
    "gather axis": lambda: gather.gather(X, np.array([0]), axis=2),
    "gather elements": lambda: gather.gather_elements(X, np.array([[3]]), axis=1),
    "gather elements shape": lambda: gather.gather_elements(X, np.zeros((3, 3), int), axis=1),
    "gather nd": lambda: gather.gather_nd(X, np.array([[0, 3]])),
    "gather nd depth": lambda: gather.gather_nd(X, np.array([[0, 0, 0]])),
    "gather nd batch": lambda: gather.gather_nd(X, np.zeros((3, 1), int), batch_dims=1),
    "scatter elements": lambda: scatter.scatter_elements(X, np.array([[2]]), np.array([[1.0]])),
    "scatter shapes": lambda: scatter.scatter_elements(X, np.array([[0]]), np.array([1.0])),
    "scatter reduction": lambda: scatter.scatter_elements(
        X, np.array([[0]]), np.array([[1.0]]), reduction="mean"
    ),
    "scatter nd": lambda: scatter.scatter_nd(X, np.array([[-3]]), np.zeros((1, 3))),
    "scatter nd shape": lambda: scatter.scatter_nd(X, np.array([[0]]), np.zeros((1, 2))),
    "tensor scatter": lambda: scatter.tensor_scatter(X[None], X[None, :1], np.array([2])),
    "scatter bool": lambda: scatter.scatter_nd(X > 1, np.array([[0, 0]]), np.array([True]), reduction="add"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_with_the_values(name):
    with pytest.raises(ValueError, match=r"(Gather|Scatter)\w*: .*\d|TensorScatter: .*\d|'mean'|not defined"):
        REFUSED[name]()


def test_gather_nd_of_one_element_is_a_scalar():
    found = gather.gather_nd(np.array([3, 5]), np.array([1]))
    assert (found.shape, found.tolist()) == ((), 5)
