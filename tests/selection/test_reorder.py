"""Layout conversion on the host: there and back is the identity, padding is zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core.selection.reorder import convert, from_layout, to_layout
from orpheus_core.types import Layout

DIMS = st.integers(0, 5)
RANKS = {"NWC": 3, "NHWC": 4, "NDHWC": 5, "NCW4c": 3, "NCHW8c": 4, "NCHW16c": 4, "NCDHW4c": 5}


@pytest.mark.parametrize("name", RANKS)
@given(data=st.data())
def test_there_and_back(name: str, data: st.DataObject) -> None:
    layout = Layout(name)
    shape = tuple(data.draw(st.integers(0, 20) if axis == 1 else DIMS) for axis in range(RANKS[name]))
    array = np.arange(1, np.prod(shape, dtype=int) + 1, dtype=np.float32).reshape(shape)
    there = to_layout(array, layout)
    assert there.shape == layout.physical_shape(shape)
    assert there.flags.c_contiguous
    assert there.sum(dtype=np.float64) == array.sum(dtype=np.float64), "what is not data is zero"
    np.testing.assert_array_equal(from_layout(there, layout, shape), array)
    back = np.full(shape, -1, np.float32)
    convert(there, layout, back, Layout(), shape)
    np.testing.assert_array_equal(back, array)


def test_between_two_layouts() -> None:
    array = np.random.default_rng(0).standard_normal((2, 6, 3, 4)).astype(np.float32)
    blocked, last = Layout("NCHW4c"), Layout("NHWC")
    target = np.empty(last.physical_shape(array.shape), np.float32)
    convert(to_layout(array, blocked), blocked, target, last, array.shape)
    np.testing.assert_array_equal(target, array.transpose(0, 2, 3, 1))


def test_a_layout_that_does_not_fit_says_so() -> None:
    with pytest.raises(ValueError, match="NCHW16c does not fit"):
        to_layout(np.zeros((2, 3)), Layout("NCHW16c"))
