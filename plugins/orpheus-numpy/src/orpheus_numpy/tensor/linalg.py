"""Det."""

from __future__ import annotations

import numpy as np

from orpheus_core.types import Array


def det(data: Array) -> Array:
    """ONNX Det: determinants of the matrices ``(..., n, n)``, computed in float64; shape ``data.shape[:-2]``."""
    if data.ndim < 2 or data.shape[-1] != data.shape[-2]:
        raise ValueError(f"Det: needs square matrices, has shape {data.shape}")
    return np.asarray(np.linalg.det(data.astype(np.float64))).astype(data.dtype)
