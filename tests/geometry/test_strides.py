"""Strides against what numpy does with the same elements."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core.geometry.strides import broadcast, contiguous, merged, sliced
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType

SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def numbered(shape):
    return np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)


def visited(sizes, strides, first=0):
    """Positions of the elements in the order of a loop nest."""
    grid = np.indices(sizes).reshape(len(sizes), -1)
    return (first + np.array(strides) @ grid).tolist()


def slicing(shape, starts, ends, axes, steps):
    types = [TensorType(DType.FLOAT32, shape), *[TensorType(DType.INT64, (len(starts),))] * 4]
    held = {i: np.array(v, np.int64) for i, v in enumerate((starts, ends, axes, steps), 1)}
    return Problem(
        op="Slice", domain="", version=13, attributes={}, inputs=tuple(types), outputs=(types[0],),
        input_names=("data", "starts", "ends", "axes", "steps"), output_names=("output",), constants=held,
    )  # fmt: skip


@given(SHAPES, st.data())
def test_broadcast_as_numpy(target, data):
    rank = data.draw(st.integers(0, len(target)))
    shape = tuple(data.draw(st.sampled_from([1, n])) for n in target[len(target) - rank :])
    strides = broadcast(shape, contiguous(shape), len(target))
    assert visited(target, strides) == np.broadcast_to(numbered(shape), target).ravel().tolist()


@given(SHAPES, st.data())
def test_slices_as_numpy(shape, data):
    cuts = []
    for size in shape:
        step = data.draw(st.sampled_from([-3, -2, -1, 1, 2, 3]))
        first = data.draw(st.integers(0, size - 1))
        last = data.draw(st.integers(first, size) if step > 0 else st.integers(0, first))
        cuts.append((first, last, step))
    wanted = numbered(shape)[tuple(slice(a, b if s > 0 or b else None, s) for a, b, s in cuts)]
    # Backwards through the first element is an end far before it; what begins there may be said from behind, too.
    ends = [b if s > 0 or b else -(10**6) for _, b, s in cuts]
    starts = [a - n if data.draw(st.booleans()) else a for (a, _, _), n in zip(cuts, shape)]
    problem = slicing(shape, starts, ends, range(-len(shape), 0), [s for _, _, s in cuts])
    first, strides = sliced(problem)
    if wanted.size:
        assert visited(wanted.shape, strides, first) == wanted.ravel().tolist()


@pytest.mark.parametrize("step", [2**63 - 1, -(2**63)])
def test_a_step_beyond_the_axis_is_no_stride(step):
    for start in (0, 2):
        assert sliced(slicing((3, 4), [start], [start + 1 if step > 0 else -100], [0], [step])) == (
            4 * start,
            (4, 1),
        )


@given(SHAPES, st.data())
def test_merged_axes_visit_the_same_elements_in_the_same_order(shape, data):
    order = data.draw(st.permutations(range(len(shape))))
    steps = tuple(contiguous(shape)[i] for i in order)
    sizes = tuple(shape[i] for i in order)
    few, (mine, own) = merged(sizes, (steps, contiguous(sizes)))
    assert len(few) <= max(len(sizes), 1)
    assert visited(few, mine) == visited(sizes, steps)
    assert visited(few, own) == list(range(int(np.prod(sizes))))


def test_neighbouring_axes_are_merged():
    assert merged((2, 3, 1, 4), ((12, 4, 9, 1),)) == ((24,), ((1,),))
