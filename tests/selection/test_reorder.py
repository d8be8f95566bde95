"""Layout conversion on the host: there and back is the identity, padding is zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orpheus_core.plugin import Backend, Format, Kernel
from orpheus_core.selection.conversion import reorder_kernel
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.reorder import convert, from_layout, to_layout
from orpheus_core.types import CPU, DType, Layout, TensorType

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


@pytest.mark.parametrize(
    ("start", "goal", "taken"),
    [
        ("plain", "NHWC", "first"),
        ("NHWC", "plain", None),
        ("plain", "NCHW16c", "second"),
        ("NHWC", "NCHW16c", "second"),
        ("plain", "NCHW8c", None),
    ],
)
def test_a_kernel_reorders_between_the_layouts_that_it_declares(
    start: str, goal: str, taken: str | None
) -> None:
    def backend(name: str, *formats: Format) -> Backend:
        # The limits of these kernels are their formats alone: neither looks at the operator's attributes.
        kernel = Kernel(op="Reorder", domain="ai.orpheus", name="r", run="toys:relu", formats=formats)
        return Backend(name=name, api=1, kernels=(kernel,))

    first = backend("first", Format(), Format((), ("NHWC",)))
    blocks = [Format((layout,), ("NCHW16c",)) for layout in ("plain", "NHWC")]
    second = backend("second", *blocks, Format(("NCHW16c",)))
    type_ = TensorType(DType.FLOAT32, (1, 24, 8, 8))
    found = reorder_kernel(type_, start, goal, CPU, SelectionOptions(backends=(first, second)))
    assert (found and found[0].backend.name) == taken
    if found is not None:
        layouts = [t.layout.name for t in (*found[1].inputs, *found[1].outputs) if isinstance(t, TensorType)]
        assert layouts == [start, goal]
