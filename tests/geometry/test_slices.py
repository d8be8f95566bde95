"""Slice's bounds against the words of its page: clamp to [0, size] going up, start to [0, size - 1] going down."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from orpheus_core import InferenceSession
from orpheus_core.geometry.slices import slice_of


def clamped(start, end, step, size):
    """The indices that ONNX takes, one by one."""
    start, end = (v + size if v < 0 else v for v in (start, end))
    low, high = (0, size) if step > 0 else (-1, size - 1)
    at, end = min(max(start, 0), high), min(max(end, low), high)
    found = []
    while (at < end if step > 0 else at > end) and size:
        found.append(at)
        at += step
    return found


@pytest.mark.parametrize("size", [0, 1, 2, 5])
@pytest.mark.parametrize("step", [-(2**63), -7, -2, -1, 1, 3, 2**63 - 1])
def test_the_indices_are_those_of_the_page(size, step):
    places = (*range(-2 * size - 2, 2 * size + 3), 2**63 - 1, -(2**63))
    for start in places:
        for end in places:
            found = list(range(size)[slice_of(start, end, step, size)])
            assert found == clamped(start, end, step, size), (start, end)


def test_a_step_of_zero_is_refused():
    with pytest.raises(ValueError, match="step must not be 0"):
        slice_of(0, 1, 0, 2)


@pytest.mark.parametrize("passes", [None, ()])
def test_a_shape_is_sliced_as_a_tensor_is(passes):
    """By the importer, by constant folding and by a kernel: backwards from below, which takes the first element."""
    vectors = {"shape": [3, 4], "starts": [-7], "ends": [-9], "axes": [0], "steps": [-1]}
    nodes = [
        helper.make_node("Slice", list(vectors), ["target"]),
        helper.make_node("Expand", ["x", "target"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "sliced",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(v, np.int64), name) for name, v in vectors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    session = InferenceSession(model, providers=["numpy"], enable_passes=passes)
    assert list(session.get_outputs()[0].shape) == [3]
    (y,) = session.run(None, {"x": np.ones(1, np.float32)})
    assert y.shape == (3,)
