"""Trained models of others against ONNX Runtime's stored answers. Skipped where the folder is absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import orpheus_core as orpheus

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "models"
MODELS = sorted(FOLDER.glob("*.onnx")) + sorted(FOLDER.glob("*/mnist.onnx"))
QUANTIZED = ("mobilenetv2_qlinear", "motor_cnn1d_qdq")

pytestmark = pytest.mark.skipif(not MODELS, reason="the folder of real models is not beside the checkout")


def _answers(model: Path) -> dict[str, Any]:
    stored = model.with_suffix(".npz")
    if not stored.exists():
        stored = model.parent.parent / f"{model.parent.name}.npz"
    return dict(np.load(stored))


def _step(outputs: list[Any]) -> float:
    """The quantization step of a dequantized output: the least difference between two of its values."""
    values = np.unique(np.concatenate([o.reshape(-1) for o in outputs]).astype(np.float64))
    return float(np.diff(values).min()) if values.size > 1 else 1.0


@pytest.mark.parametrize("passes", ["all", "none"])
@pytest.mark.parametrize(
    "model", MODELS, ids=lambda p: p.stem if p.stem != "mnist" else "mnist_torch_extdata"
)
def test_outputs_match_the_stored_answers(model: Path, passes: str) -> None:
    stored = _answers(model)
    feeds = {k[3:]: v for k, v in stored.items() if k.startswith("in:")}
    wanted = {k[4:]: v for k, v in stored.items() if k.startswith("out:")}
    session = orpheus.InferenceSession(model, enable_passes=None if passes == "all" else [])
    got = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds)))
    assert set(got) == set(wanted)
    for name, want in wanted.items():
        assert got[name].shape == want.shape
        assert got[name].dtype == want.dtype
        if model.stem in QUANTIZED:
            bound = 2 * (_step([want]) if want.dtype.kind == "f" else 1)
        else:
            bound = 1e-4 * float(np.abs(want.astype(np.float64)).max(initial=0.0))
        error = np.abs(got[name].astype(np.float64) - want.astype(np.float64)).max(initial=0.0)
        assert error <= bound, f"{name}: error {error:.3g}, bound {bound:.3g}"


def test_all_fifteen_are_there() -> None:
    assert len(MODELS) == 15
