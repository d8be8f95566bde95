"""Convolutions and products of bytes: sums equal to the reference's, rounded results one step off at most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from integer_cases import LAYERS, dynamic, model, name_of

import orpheus_core as orpheus


@pytest.mark.parametrize("layer", LAYERS, ids=name_of)
def test_sums_of_bytes(layer: Any) -> None:
    made, (_, shape, _, kind, _, result) = model(layer), layer
    session = orpheus.InferenceSession(made, providers=["cuda"], fallback="error")
    reference = orpheus.InferenceSession(made, providers=["numpy"])
    for seed in range(3):
        ends = np.iinfo(kind)
        x = np.random.default_rng(seed).integers(ends.min, ends.max + 1, shape).astype(kind)
        (got,), (wanted,) = (s.run(None, {"x": x}) for s in (session, reference))
        assert got.dtype == wanted.dtype == result and got.shape == wanted.shape
        far = np.abs(got.astype(np.int64) - wanted)
        assert far.max() <= (0 if result == "int32" else 1) and (far != 0).mean() < 0.01


def test_weights_around_another_number_are_left_to_others() -> None:
    for zero in (3, 127):
        session: Any = orpheus.InferenceSession(model(LAYERS[0], zero=zero), providers=["cuda", "numpy"])
        assert f"needs weights of int8 around 0, has a zero point of {zero}" in str(session.explain())


@pytest.mark.parametrize("low", [-3.0, 0.5, -9.0])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 7), (2, 2100), (5, 3, 40, 31)])
def test_a_range_that_is_found_at_run_time(shape: tuple[int, ...], low: float) -> None:
    session = orpheus.InferenceSession(dynamic(shape), providers=["cuda"], fallback="error")
    reference = orpheus.InferenceSession(dynamic(shape), providers=["numpy"])
    for seed in range(3):  # one by one, then recorded, then replayed
        x = np.random.default_rng(seed).uniform(low, low + 4, shape).astype(np.float32)
        (y, scale, zero), wanted = (s.run(None, {"x": x}) for s in (session, reference))
        np.testing.assert_allclose(scale, wanted[1], rtol=2.0**-22)
        for found, right in ((y, wanted[0]), (zero, wanted[2])):
            assert found.dtype == np.uint8 and found.shape == right.shape
            assert not found.size or np.abs(found.astype(int) - right).max() <= 1
        assert not y.size or (y != wanted[0]).mean() < 0.01


def test_a_range_of_zeros_has_a_scale() -> None:
    session = orpheus.InferenceSession(dynamic((300,)), providers=["cuda"], fallback="error")
    y, scale, zero = session.run(None, {"x": np.zeros(300, np.float32)})
    assert not y.any() and scale == 1 and zero == 0


@pytest.mark.parametrize("asked", [["y"], ["s"], ["z"], ["z", "y"]])
def test_of_a_range_only_what_is_asked_for(asked: list[str]) -> None:
    made = dynamic((4, 700), *asked)
    x = np.random.default_rng(0).uniform(-1, 5, (4, 700)).astype(np.float32)
    results = [
        orpheus.InferenceSession(made, providers=[name], fallback="error").run(asked, {"x": x})
        for name in ("cuda", "numpy")
    ]
    for found, wanted in zip(*results, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=2.0**-22, atol=1 if found.dtype == np.uint8 else 0)
