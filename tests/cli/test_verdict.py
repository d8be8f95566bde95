"""What counts as rounding and what as an error."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from orpheus_core.cli.verdict import Difference, Tolerance, difference, worst


def shifted(dtype, relative: float) -> Difference:
    wanted = np.array([1.0, -4.0, 0.5])
    got = wanted + np.array([4.0 * relative, 0.0, 0.0])
    return difference(got.astype(dtype), wanted.astype(dtype))


@pytest.mark.parametrize(
    ("dtype", "fine", "wrong"),
    [
        (np.float64, 1e-10, 1e-8),
        (np.float32, 5e-5, 5e-4),
        (np.float16, 1e-2, 4e-2),
        (ml_dtypes.bfloat16, 5e-2, 2e-1),
        (np.complex64, 5e-5, 5e-4),
    ],
)
def test_floats_are_judged_by_the_largest_magnitude(dtype, fine: float, wrong: float) -> None:
    assert shifted(dtype, 0).largest == 0
    assert shifted(dtype, fine).passed
    assert not shifted(dtype, wrong).passed
    assert shifted(np.float32, 5e-4).relative == pytest.approx(5e-4, rel=1e-3)
    assert difference(np.float32([1.1]), np.float32([1.0]), tolerance=0.2).passed


def test_nan_and_infinity_must_be_in_the_same_places() -> None:
    wanted = np.float32([np.nan, np.inf, -np.inf, 1])
    assert difference(wanted.copy(), wanted).passed
    for place, value in ((0, 1.0), (1, np.nan), (1, -np.inf), (3, np.nan), (3, np.inf)):
        got = wanted.copy()
        got[place] = value
        found = difference(got, wanted)
        assert not found.passed and found.largest == np.inf


def test_quantized_results_may_be_two_steps_apart() -> None:
    wanted = np.array([0, 100, 255], np.uint8)
    assert difference(np.array([2, 98, 255], np.uint8), wanted).passed
    found = difference(np.array([0, 103, 255], np.uint8), wanted)
    assert not found.passed and found.largest == 3


def test_indices_are_exact_even_where_float64_is_not() -> None:
    wanted = np.array([2**62, 5], np.int64)
    assert difference(wanted.copy(), wanted).passed
    assert difference(wanted + np.array([1, 0]), wanted).largest == 1
    assert not difference(np.array([2**62 + 1, 5], np.int64), wanted).passed
    assert not difference(np.array([2**62, 6], np.int64), wanted).passed
    extremes = np.array([-(2**63), 2**63 - 1], np.int64)
    assert difference(extremes[::-1].copy(), extremes).largest == float(2**64 - 1)


def test_booleans_and_strings_are_exact() -> None:
    assert difference(np.array([True, False]), np.array([True, False])).passed
    assert difference(np.array([True, True]), np.array([True, False])).reason == "1 differ"
    assert not difference(np.array(["a"], object), np.array(["b"], object)).passed


def test_type_and_shape_must_agree() -> None:
    wanted = np.zeros((2, 3), np.float32)
    assert "float64[2,3] instead of float32[2,3]" in difference(wanted.astype(np.float64), wanted).reason
    assert not difference(wanted.reshape(3, 2), wanted).passed
    assert not difference(None, wanted).passed and not difference([wanted], wanted).passed


def test_sequences_and_maps_are_compared_through() -> None:
    a, b = np.float32([1]), np.float32([2])
    assert difference([a, [b, None]], [a, [b, None]]).passed
    assert not difference([a, [a, None]], [a, [b, None]]).passed
    assert not difference([a], [a, b]).passed
    assert difference([{"k": a}], [{"k": a}]).passed
    assert not difference([{"k": a, "l": a}], [{"k": a}]).passed


def test_empty_results_are_equal() -> None:
    empty = np.zeros((0, 4), np.float32)
    assert difference(empty.copy(), empty).passed


def test_worst_prefers_what_failed() -> None:
    failed, loose = Difference(1, 0.001, False), Difference(5, 0.5, True)
    assert worst([loose, failed]) is failed
    assert worst([]).passed


def test_every_statistic_of_the_errors_is_told() -> None:
    wanted = np.float32([1, 2, 4, 8])
    found = difference(wanted + np.float32([0, 0, 0.5, 0]), wanted)
    assert (found.largest, found.mean, found.median) == (0.5, 0.125, 0.0)
    assert found.relative == pytest.approx(1 / 16)


@pytest.mark.parametrize(
    ("tolerance", "passed"),
    [
        (Tolerance(atol=0.1), False),
        (Tolerance(atol=0.6), True),
        (Tolerance(rtol=0.01), False),
        (Tolerance(rtol=0.07), True),
        (Tolerance(rtol=0.05, atol=0.1), True),
        (Tolerance(rtol=0.07, statistic="elemwise"), False),
        (Tolerance(rtol=0.13, statistic="elemwise"), True),
        (Tolerance(atol=0.5, statistic="elemwise"), True),
        (Tolerance(rtol=0.02, statistic="mean"), False),
        (Tolerance(rtol=0.04, statistic="mean"), True),
        (Tolerance(atol=0.0, statistic="median"), True),
    ],
)
def test_what_passes_is_what_the_tolerance_says(tolerance: Tolerance, passed: bool) -> None:
    wanted = np.float32(
        [1, 2, 4, 8]
    )  # its third element is off by an eighth of itself, a sixteenth of the largest
    found = difference(wanted + np.float32([0, 0, 0.5, 0]), wanted, tolerance)
    assert found.passed is passed and bool(found.reason) is not passed


def test_ulps_are_numbers_of_the_type_between_two_results() -> None:
    for dtype in (np.float32, np.float64, np.float16, ml_dtypes.bfloat16):
        wanted = np.array([1, -1, 0, 3], dtype)
        eps = float(ml_dtypes.finfo(dtype).eps)
        assert difference(wanted, wanted).ulps == 0
        for place, steps in ((0, 3), (1, -2)):
            got = wanted.astype(np.float64)
            got[place] += steps * eps
            assert difference(got.astype(dtype), wanted).ulps == abs(steps)
    tiny = np.float32(1e-45)  # the smallest number: the next one to zero on either side
    assert difference(np.array([-tiny]), np.array([tiny])).ulps == 2
    assert difference(np.array([-0.0]), np.array([0.0])).ulps == 0
    assert difference(np.array([1, 2]), np.array([1, 2])).ulps is None


def test_nan_may_be_refused_altogether() -> None:
    wanted = np.float32([np.nan, 1])
    assert difference(wanted.copy(), wanted).passed
    found = difference(wanted.copy(), wanted, Tolerance(finite=True))
    assert not found.passed and found.reason == "1 NaN or infinite"
