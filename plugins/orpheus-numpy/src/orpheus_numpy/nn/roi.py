"""Pooling of regions of interest: RoiAlign (bilinear samples) and MaxRoiPool (whole bins).

Sources: https://onnx.ai/onnx/operators/onnx__RoiAlign.html, onnx__MaxRoiPool.html; K. He et al., Mask R-CNN, 2017;
R. Girshick, Fast R-CNN, 2015.
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver, widen
from orpheus_numpy.nn.window import Ints


def roi_align(
    X: Array, rois: Array, batch_indices: Array, *,
    coordinate_transformation_mode: str = "half_pixel", mode: str = "avg", output_height: int = 1,
    output_width: int = 1, sampling_ratio: int = 0, spatial_scale: float = 1.0,
) -> Array:  # fmt: skip
    """RoiAlign: X [N, C, H, W], rois [R, 4] (x1, y1, x2, y2), batch_indices [R] -> [R, C, output_height, output_width].

    Raises ModelError for an unknown mode or a batch index outside X.
    """
    if mode not in ("avg", "max") or coordinate_transformation_mode not in (
        "half_pixel",
        "output_half_pixel",
    ):
        raise ModelError(f"RoiAlign: unknown mode {mode!r} or {coordinate_transformation_mode!r}")
    _check_batch(batch_indices, X.shape[0], "RoiAlign")
    x = widen(X)
    boxes = widen(rois) * spatial_scale
    aligned = coordinate_transformation_mode == "half_pixel"
    y = np.empty((rois.shape[0], X.shape[1], output_height, output_width), x.dtype)
    for r, (batch, box) in enumerate(zip(batch_indices.tolist(), boxes.tolist())):
        x1, y1, x2, y2 = (v - 0.5 for v in box) if aligned else box
        rows = _samples(y1, y2, output_height, sampling_ratio, X.shape[2], aligned)
        columns = _samples(x1, x2, output_width, sampling_ratio, X.shape[3], aligned)
        y[r] = _bins(x[batch], rows, columns, mode)
    return deliver(y, X.dtype)


#: For both neighbours of every sample [bins, samples]: their indices, and their weights (0 outside the image).
_Samples = tuple[tuple[Array, Array], tuple[Array, Array]]


def _samples(start: float, end: float, bins: int, ratio: int, size: int, aligned: bool) -> _Samples:
    """Where one axis of a region is sampled."""
    length = end - start if aligned else max(end - start, 1.0)
    # An empty region still gets one (worthless) sample a bin, so that shapes hold.
    count = max(ratio if ratio > 0 else math.ceil(length / bins), 1)
    at = start + length / bins * (np.arange(bins)[:, None] + (np.arange(count) + 0.5) / count)
    valid = (at >= -1) & (at <= size)
    at = np.clip(at, 0, size - 1)
    low = np.floor(at).astype(np.intp)
    fraction = at - low
    high = np.minimum(low + 1, size - 1)
    return (low, np.where(valid, 1 - fraction, 0)), (high, np.where(valid, fraction, 0))


def _bins(image: Array, rows: _Samples, columns: _Samples, mode: str) -> Array:
    """[C, bins, bins] of an image [C, H, W]."""
    parts = []
    for at_row, row_weight in rows:
        lines = image[:, at_row.ravel()]
        for at_column, column_weight in columns:
            values = lines[:, :, at_column.ravel()].reshape(image.shape[0], *at_row.shape, *at_column.shape)
            weights = row_weight[:, :, None, None] * column_weight
            parts.append(values * weights.astype(image.dtype))
    if mode == "avg":
        return np.asarray((parts[0] + parts[1] + parts[2] + parts[3]).mean(axis=(2, 4)))
    # ONNX takes the largest weighted neighbour, not the largest interpolated value.
    best = np.maximum(np.maximum(parts[0], parts[1]), np.maximum(parts[2], parts[3]))
    return np.asarray(best.max(axis=(2, 4)))


def max_roi_pool(X: Array, rois: Array, *, pooled_shape: Ints, spatial_scale: float = 1.0) -> Array:
    """MaxRoiPool: X [N, C, H, W], rois [R, 5] (batch, x1, y1, x2, y2) -> [R, C, *pooled_shape]; 0 for an empty bin."""
    if rois.ndim != 2 or rois.shape[1] != 5 or len(pooled_shape) != 2:
        raise ModelError(
            f"MaxRoiPool: rois {list(rois.shape)} or pooled_shape {list(pooled_shape)} do not fit"
        )
    _check_batch(rois[:, 0], X.shape[0], "MaxRoiPool")
    y = np.zeros((rois.shape[0], X.shape[1], *pooled_shape), X.dtype)
    for r, (batch, *box) in enumerate(widen(rois).tolist()):
        x1, y1, x2, y2 = (math.floor(v * spatial_scale + 0.5) for v in box)
        rows = _edges(y1, y2, pooled_shape[0], X.shape[2])
        columns = _edges(x1, x2, pooled_shape[1], X.shape[3])
        image = X[int(batch)]
        for i, (top, bottom) in enumerate(rows):
            if top >= bottom:
                continue
            line = image[:, top:bottom].max(axis=1)
            for j, (left, right) in enumerate(columns):
                if left < right:
                    y[r, :, i, j] = line[:, left:right].max(axis=1)
    return y


def _edges(start: int, end: int, bins: int, size: int) -> list[tuple[int, int]]:
    step = max(end - start + 1, 1) / bins
    return [
        (
            min(max(math.floor(i * step) + start, 0), size),
            min(max(math.ceil((i + 1) * step) + start, 0), size),
        )
        for i in range(bins)
    ]


def _check_batch(indices: Array, batch: int, op: str) -> None:
    if indices.size and not 0 <= int(indices.min()) <= int(indices.max()) < batch:
        raise ModelError(f"{op}: a region names an image outside the batch of {batch}")
