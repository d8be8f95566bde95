"""Every kernel on layers of its own, by the kernels' own sources, against the reference in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import LAYERS, Layer, kind, model, providers, rounded

import orpheus_core as orpheus
from orpheus_core.geometry.cook_toom import FORMS

#: Half a unit in the last place of a result.
UNITS = {"float32": 0.0, "float16": 2.0**-11, "bfloat16": 2.0**-8}


def bound(layer: Layer, wanted: Any) -> Any:
    """Rounding of the result, and for each of K products half a unit of float32 of the sum so far, about sqrt(K)."""
    if layer.options:  # TF32: two operands of 11 bits in each product
        return 3 * 2.0**-10 * np.abs(wanted).max()
    first = layer.constants[0] if layer.constants and isinstance(layer.constants[0], tuple) else (1, 4)
    depth = np.prod(first[1:]) if layer.op == "Conv" else layer.x[-1]
    factor = FORMS[name].factor if (name := layer.kernel.partition("/")[2]) in FORMS else 1
    return UNITS[layer.dtype] * np.abs(wanted) + factor * 2.0**-24 * (9 + depth) ** 1.5


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_layer(layer: Layer) -> None:
    made, extra = model(layer, layer.dtype)
    pin = {"layer": f"cuda:{layer.kernel}"}
    session = orpheus.InferenceSession(made, providers=providers(layer), fallback="error", pin=pin)
    x = rounded(np.random.default_rng(0).standard_normal(layer.x), layer.dtype)
    exact, exact_extra = model(layer, "float64")
    (wanted, *_) = orpheus.InferenceSession(exact, providers=["numpy"]).run(None, {"x": x, **exact_extra})
    feeds = {"x": x.astype(kind(layer.dtype)), **extra}
    for _ in range(3):  # one by one, then recorded, then replayed
        got = session.run(None, feeds)[0]
        assert got.shape == wanted.shape
        error = np.abs(got.astype(np.float64) - wanted)
        assert (error <= bound(layer, wanted)).all(), (
            f"{error.max()} at {np.unravel_index(error.argmax(), error.shape)}"
        )
