"""Tables of Resize and Pad, against what ONNX's operator pages say of small cases."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from orpheus_core.geometry.sampling import Axis, padded, resized
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType


def problem(op: str, x: int, y: int, constants: dict[int, Any], **attributes: Any) -> Problem:
    types = [TensorType(DType.FLOAT32, (1, n)) for n in (x, y)]
    return Problem(op, "", 18, attributes, (types[0],), (types[1],), constants)


def taken(axis: Axis, x: list[float], outside: float = 0.0) -> list[float]:
    places, weights = axis
    values = np.where(places < 0, outside, np.array(x)[places])
    return [float(v) for v in (values * (1 if weights is None else weights)).sum(1)]


def resize(x: list[float], size: int, **attributes: Any) -> list[float]:
    first, axis = resized(problem("Resize", len(x), size, {3: np.array([1, size])}, **attributes))
    assert taken(first, [7.0]) == [7.0]
    return taken(axis, x)


def test_linear() -> None:
    assert resize([1, 2], 4, mode="linear") == [1, 1.25, 1.75, 2]
    corners = resize([1, 2], 4, mode="linear", coordinate_transformation_mode="align_corners")
    assert corners == pytest.approx([1, 4 / 3, 5 / 3, 2])


def test_nearest() -> None:
    facts = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}
    assert resize([1, 2], 4, **facts, nearest_mode="floor") == [1, 1, 2, 2]
    assert resize([1, 2], 4, **facts, nearest_mode="ceil") == [1, 2, 2, 2]


def test_symmetric_positions_that_are_whole_stay_so() -> None:
    # 5 elements by half: of 2.5 there are 2, and the first lies at 2.5 (1 - 2 / 2.5) + 0.5 / 0.5 - 0.5 = 1.
    facts = {
        "mode": "nearest",
        "coordinate_transformation_mode": "half_pixel_symmetric",
        "nearest_mode": "floor",
    }
    scales = {2: np.array([1, 0.5], np.float32)}
    axis = resized(problem("Resize", 5, 2, scales, **facts))[1]
    assert taken(axis, [0, 1, 2, 3, 4]) == [1, 3]


def test_cubic_weights_sum_to_one() -> None:
    for exclude in (0, 1):
        assert resize([3, 3, 3], 8, mode="cubic", exclude_outside=exclude) == pytest.approx([3] * 8)


@pytest.mark.parametrize(("mode", "wanted"), [("linear", [0.375, 2]), ("cubic", [0.30361442, 2.07142862])])
def test_antialiasing_by_the_operators_example(mode: str, wanted: list[float]) -> None:
    # The page's 4 x 4 elements are 4 i + j + 1, so that what a row of them gives tells what 0 to 3 give.
    scales = {2: np.array([1, 0.6], np.float32)}
    axis = resized(problem("Resize", 4, 2, scales, mode=mode, antialias=1))[1]
    assert taken(axis, [0, 1, 2, 3]) == pytest.approx(wanted, rel=1e-6)


def test_taps_that_no_element_weighs_are_left_out() -> None:
    facts = {"mode": "linear", "coordinate_transformation_mode": "asymmetric"}
    axis = resized(problem("Resize", 4, 2, {3: np.array([1, 2])}, **facts))[1]
    assert axis[0].tolist() == [[0], [2]]


@pytest.mark.parametrize(
    ("mode", "wanted"),
    [
        ("constant", [9, 9, 1, 2, 3, 9]),
        ("edge", [1, 1, 1, 2, 3, 3]),
        ("reflect", [3, 2, 1, 2, 3, 2]),
        ("wrap", [2, 3, 1, 2, 3, 1]),
    ],
)
def test_pad(mode: str, wanted: list[float]) -> None:
    axes = padded(problem("Pad", 3, 6, {1: np.array([0, 2, 0, 1])}, mode=mode))
    assert taken(axes[0], [5.0]) == [5.0]
    assert taken(axes[1], [1, 2, 3], 9) == wanted
