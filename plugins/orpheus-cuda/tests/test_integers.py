"""Convolutions and products of bytes: sums equal to the reference's, rounded results one step off at most."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from integer_cases import LAYERS, model, name_of

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
