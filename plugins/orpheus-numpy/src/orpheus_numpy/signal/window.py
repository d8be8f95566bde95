"""HannWindow, HammingWindow, BlackmanWindow, MelWeightMatrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orpheus_core.types import Array, DType
from orpheus_numpy.tensor._axes import scalar


def _cosines(op: str, size: Array, weights: Sequence[float], periodic: int, output_datatype: int) -> Array:
    """A generalised cosine window: the sum of ``weights[k] * cos(2 pi k n / N)``, computed in float64."""
    count = int(scalar(size, op, "size"))
    if count < 0:
        raise ValueError(f"{op}: size {count} is negative")
    dtype = DType.from_onnx(output_datatype).numpy
    if count == 1 and not periodic:
        return np.ones(1, dtype)  # 0 / 0 by the formula; one, as every library has it
    angle = 2 * np.pi * np.arange(count) / max(count if periodic else count - 1, 1)
    return np.asarray(sum(w * np.cos(k * angle) for k, w in enumerate(weights))).astype(dtype)


def hann_window(size: Array, *, periodic: int = 1, output_datatype: int = 1) -> Array:
    """ONNX HannWindow of ``size`` points; ``periodic`` leaves out the last of ``size + 1``."""
    return _cosines("HannWindow", size, (0.5, -0.5), periodic, output_datatype)


def hamming_window(size: Array, *, periodic: int = 1, output_datatype: int = 1) -> Array:
    """ONNX HammingWindow of ``size`` points, with the weights 25/46 and 21/46."""
    return _cosines("HammingWindow", size, (25 / 46, -21 / 46), periodic, output_datatype)


def blackman_window(size: Array, *, periodic: int = 1, output_datatype: int = 1) -> Array:
    """ONNX BlackmanWindow of ``size`` points, with the weights 0.42, 0.5 and 0.08."""
    return _cosines("BlackmanWindow", size, (0.42, -0.5, 0.08), periodic, output_datatype)


def mel_weight_matrix(
    num_mel_bins: Array,
    dft_length: Array,
    sample_rate: Array,
    lower_edge_hertz: Array,
    upper_edge_hertz: Array,
    *,
    output_datatype: int = 1,
) -> Array:
    """ONNX MelWeightMatrix: triangles evenly spaced on the mel scale, shape (dft_length // 2 + 1, num_mel_bins).

    Corners are rounded down to spectrogram bins. As in ONNX's own test data, the mel range is divided into
    ``num_mel_bins + 2`` steps, so that the last triangle ends one step below the upper edge.
    """
    op = "MelWeightMatrix"
    bands, length, rate = (
        int(scalar(value, op, name))
        for value, name in (
            (num_mel_bins, "num_mel_bins"),
            (dft_length, "dft_length"),
            (sample_rate, "sample_rate"),
        )
    )
    low, high = (
        float(scalar(value, op, name))
        for value, name in ((lower_edge_hertz, "lower_edge_hertz"), (upper_edge_hertz, "upper_edge_hertz"))
    )
    if bands < 1 or length < 1 or rate < 1 or not 0 <= low <= high:
        raise ValueError(f"{op}: {bands} bands from {low} to {high} Hz of a DFT of {length} at {rate} Hz")
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (low, high))
    mels = low + np.arange(bands + 2) * ((high - low) / (bands + 2))
    corners = np.floor((length + 1) * 700 * (10 ** (mels / 2595) - 1) / rate)
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    bins = np.arange(length // 2 + 1)[:, None]
    # Where a triangle is narrower than one bin, its flank is the centre alone.
    rising = np.where(centre > left, (bins - left) / np.maximum(centre - left, 1), 1)
    falling = np.where(right > centre, (right - bins) / np.maximum(right - centre, 1), 0)
    inside = np.where(bins <= centre, np.where(bins >= left, rising, 0), np.where(bins < right, falling, 0))
    peaked = np.where(bins == centre, 1, inside)
    return peaked.astype(DType.from_onnx(output_datatype).numpy)
