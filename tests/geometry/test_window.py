"""Windows of convolutions and pools as the ONNX pages of Conv and MaxPool say."""

from __future__ import annotations

import pytest

from orpheus_core.geometry.window import window
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType


def conv(x, w, y, **attributes):
    types = [TensorType(DType.FLOAT32, shape) for shape in (x, w, y)]
    return Problem(
        op="Conv", domain="", version=11, attributes=attributes, inputs=tuple(types[:2]), outputs=(types[2],),
        input_names=("X", "W"), output_names=("Y",),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("auto", "pads"), [("SAME_UPPER", (0, 1, 1, 1)), ("SAME_LOWER", (1, 1, 0, 1)), ("VALID", (0, 0, 0, 0))]
)
def test_automatic_borders(auto, pads):
    y = (1, 1, 4, 7) if auto != "VALID" else (1, 1, 3, 5)
    found = window(conv((1, 1, 8, 7), (1, 1, 3, 3), y, auto_pad=auto, strides=(2, 1)), (3, 3))
    assert found.pads == pads


def test_one_axis_is_a_row_of_one():
    found = window(conv((1, 1, 9), (1, 1, 3), (1, 1, 3), strides=(2,), dilations=(2,), pads=(0, 0)), (3,))
    assert (found.x, found.size, found.y) == ((1, 9), (1, 3), (1, 3))
    assert (found.strides, found.dilations, found.pads) == ((1, 2), (1, 2), (0, 0, 0, 0))
    assert found.padded == (1, 9)
