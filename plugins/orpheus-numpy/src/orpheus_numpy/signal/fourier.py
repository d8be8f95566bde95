"""DFT and STFT. Complex numbers are a last axis of two: real part, imaginary part."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import axis_of, scalar


def _complex(data: Array, op: str) -> Array:
    """The numbers in ``data`` without the last axis, real or complex, in single precision unless it is float64."""
    if data.ndim == 0 or data.shape[-1] not in (1, 2):
        raise ValueError(f"{op}: the last axis of shape {data.shape} must be 1 (real) or 2 (complex)")
    wide = data.astype(np.float64 if data.dtype == np.float64 else np.float32)
    if data.shape[-1] == 1:
        return wide[..., 0]
    return np.ascontiguousarray(wide).view(np.result_type(wide, np.complex64))[..., 0]


def _parts(values: Array, dtype: np.dtype[Any]) -> Array:
    return np.stack([values.real, values.imag], axis=-1).astype(dtype)


def dft(
    data: Array,
    dft_length: Array | None = None,
    axis: Array | int | None = None,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Array:
    """ONNX DFT along one axis of ``(..., 1)`` or ``(..., 2)``, cut or zero-padded to ``dft_length``.

    ``onesided`` gives the first half of the spectrum of a real signal, or (inverse) takes one and gives the real
    signal. ``axis`` is an input since opset 20 and an attribute before. Raises ValueError for a one-sided transform
    of the wrong kind of input.
    """
    values = _complex(data, "DFT")
    given = -2 if axis is None else int(scalar(np.asarray(axis), "DFT", "axis"))
    place = axis_of(given, data.ndim, "DFT")
    if place == data.ndim - 1:
        raise ValueError(f"DFT: axis {given} is that of the real and imaginary parts")
    if onesided and bool(inverse) != np.iscomplexobj(values):
        raise ValueError(f"DFT: one-sided {'inverse needs complex' if inverse else 'needs real'} input")
    bins = values.shape[place]
    default = 2 * (bins - 1) if onesided and inverse else bins
    length = default if dft_length is None else int(scalar(dft_length, "DFT", "dft_length"))
    if length < 1:
        raise ValueError(f"DFT: length {length} must be positive")
    if onesided and inverse:
        return np.fft.irfft(values, length, place)[..., None].astype(data.dtype)
    transform = np.fft.ifft if inverse else np.fft.rfft if onesided else np.fft.fft
    return _parts(transform(values, length, place), data.dtype)


def stft(
    signal: Array,
    frame_step: Array,
    window: Array | None = None,
    frame_length: Array | None = None,
    *,
    onesided: int = 1,
) -> Array:
    """ONNX STFT of ``(batch, length, 1 or 2)``: (batch, frames, bins, 2), one spectrum a frame.

    A frame starts every ``frame_step`` samples and is as long as ``frame_length`` or the window (the whole signal,
    if neither is given). Raises ValueError for a one-sided transform of a complex signal and for lengths that
    contradict one another.
    """
    values = _complex(signal, "STFT")
    if values.ndim != 2:
        raise ValueError(f"STFT: needs a signal of rank 3, has shape {signal.shape}")
    if onesided and np.iscomplexobj(values):
        raise ValueError("STFT: a complex signal has no one-sided transform; it needs onesided=0")
    step = int(scalar(frame_step, "STFT", "frame_step"))
    length = values.shape[1] if window is None else window.size
    length = length if frame_length is None else int(scalar(frame_length, "STFT", "frame_length"))
    if step < 1 or not 1 <= length <= values.shape[1] or (window is not None and window.shape != (length,)):
        raise ValueError(
            f"STFT: step {step}, frames of {length} and a window of {None if window is None else window.shape} "
            f"do not fit a signal of {values.shape[1]}"
        )
    frames = np.lib.stride_tricks.sliding_window_view(values, length, axis=1)[:, ::step]
    weighted = frames if window is None else frames * window.astype(frames.real.dtype)
    return _parts((np.fft.rfft if onesided else np.fft.fft)(weighted), signal.dtype)
