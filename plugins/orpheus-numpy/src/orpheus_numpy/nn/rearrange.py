"""DepthToSpace and SpaceToDepth: blocks of pixels traded for channels; and AffineGrid.

Sources: https://onnx.ai/onnx/operators/onnx__DepthToSpace.html, onnx__SpaceToDepth.html, onnx__AffineGrid.html
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver, widen


def depth_to_space(input: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """DepthToSpace: [N, C, H, W] -> [N, C / b^2, H * b, W * b]; ModelError when the channels do not divide."""
    _check(mode, blocksize)
    n, c, h, w = input.shape
    b = blocksize
    if c % (b * b):
        raise ModelError(f"DepthToSpace: {c} channels do not divide into blocks of {b} x {b}")
    if mode == "DCR":
        parts = input.reshape(n, b, b, c // (b * b), h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = input.reshape(n, c // (b * b), b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    spread: Array = parts.reshape(n, c // (b * b), h * b, w * b)
    return spread


def space_to_depth(input: Array, *, blocksize: int, mode: str = "DCR") -> Array:
    """SpaceToDepth: [N, C, H, W] -> [N, C * b^2, H / b, W / b]; ModelError when the image does not divide."""
    _check(mode, blocksize)
    n, c, h, w = input.shape
    b = blocksize
    if h % b or w % b:
        raise ModelError(f"SpaceToDepth: an image of {h} x {w} does not divide into blocks of {b} x {b}")
    parts = input.reshape(n, c, h // b, b, w // b, b)
    order = (0, 3, 5, 1, 2, 4) if mode == "DCR" else (0, 1, 3, 5, 2, 4)
    gathered: Array = parts.transpose(order).reshape(n, c * b * b, h // b, w // b)
    return gathered


def affine_grid(theta: Array, size: Array, *, align_corners: int = 0) -> Array:
    """AffineGrid: theta [N, r, r + 1], size (N, C, *spatial) -> positions [N, *spatial, r], last axis first."""
    spatial = [int(n) for n in size[2:]]
    rank = len(spatial)
    if theta.shape[1:] != (rank, rank + 1):
        raise ModelError(f"AffineGrid: theta {list(theta.shape)} does not fit size {[int(n) for n in size]}")
    matrix = widen(theta)
    axes = [_axis(n, bool(align_corners)).astype(matrix.dtype) for n in spatial]
    mesh = np.meshgrid(*axes, indexing="ij")
    points = np.stack([*mesh[::-1], np.ones_like(mesh[0])], axis=-1).reshape(math.prod(spatial), rank + 1)
    grid = np.matmul(points, matrix.swapaxes(1, 2))
    return deliver(grid.reshape(theta.shape[0], *spatial, rank), theta.dtype)


def _axis(count: int, align_corners: bool) -> Array:
    """The normalized positions of ``count`` pixels along one axis."""
    if align_corners:
        return np.linspace(-1, 1, count)
    return (2 * np.arange(count) + 1) / max(count, 1) - 1


def _check(mode: str, blocksize: int) -> None:
    if mode not in ("DCR", "CRD") or blocksize < 1:
        raise ModelError(f"mode must be DCR or CRD and blocksize positive, got {mode!r} and {blocksize}")
