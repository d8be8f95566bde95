"""Transforms against the defining sums; windows and the mel matrix against their formulas."""

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orpheus_numpy.signal import fourier, window

from orpheus_core.types import DType

FEW = settings(max_examples=40, deadline=None)


def dft_matrix(size, sign=-1):
    n = np.arange(size)
    return np.exp(sign * 2j * np.pi * np.outer(n, n) / size)


def parts(values):
    return np.stack([values.real, values.imag], axis=-1)


def signal_of(dims, parts_, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=(*dims, parts_)).astype(dtype)


@FEW
@given(
    st.integers(1, 6),
    st.integers(1, 2),
    st.one_of(st.none(), st.integers(1, 8)),
    st.sampled_from([0, 1, -2, -3]),
    st.booleans(),
)
def test_dft_is_the_defining_sum(size, kind, length, axis, inverse):
    x = signal_of((size, size), kind)
    place = axis % 3
    values = np.moveaxis(x[..., 0] + (1j * x[..., 1] if kind == 2 else 0), place, 0)
    count = size if length is None else length
    used = np.zeros((count, size), complex)
    used[: min(count, size)] = values[:count]
    expected = np.moveaxis(dft_matrix(count, 1 if inverse else -1) @ used, 0, place) / (
        count if inverse else 1
    )
    given_length = None if length is None else np.array(length)
    found = fourier.dft(x, given_length, np.array(axis), inverse=int(inverse))
    np.testing.assert_allclose(found, parts(expected), atol=1e-10)
    np.testing.assert_allclose(fourier.dft(x, given_length, axis, inverse=int(inverse)), found)


@FEW
@given(st.integers(2, 9), st.sampled_from([np.float32, np.float64, np.float16, ml_dtypes.bfloat16]))
def test_one_sided_dft_and_back(size, dtype):
    x = signal_of((2, size), 1, dtype=dtype)
    tolerance = 1e-5 if dtype in (np.float32, np.float64) else 0.1
    half = fourier.dft(x, onesided=1)
    assert (half.dtype, half.shape) == (dtype, (2, size // 2 + 1, 2))
    full = fourier.dft(x)
    np.testing.assert_allclose(half.astype(float), full[:, : size // 2 + 1].astype(float), atol=tolerance)
    back = fourier.dft(half, np.array(size), inverse=1, onesided=1)
    assert (back.dtype, back.shape) == (dtype, x.shape)
    np.testing.assert_allclose(back.astype(float), x.astype(float), atol=tolerance)
    if size % 2 == 0:
        np.testing.assert_array_equal(fourier.dft(half, inverse=1, onesided=1), back)


def test_dft_refuses():
    real, complex_ = np.zeros((1, 4, 1)), np.zeros((1, 4, 2))
    for arguments, message in (
        ((complex_, None, None, 0, 1), "needs real"),
        ((real, None, None, 1, 1), "inverse needs complex"),
        ((real, None, np.array(-1), 0, 0), "real and imaginary parts"),
        ((real, np.array(0), None, 0, 0), "must be positive"),
        ((np.zeros((1, 4, 3)), None, None, 0, 0), "must be 1"),
    ):
        with pytest.raises(ValueError, match=message):
            fourier.dft(*arguments[:3], inverse=arguments[3], onesided=arguments[4])


@FEW
@given(
    st.integers(4, 12),
    st.integers(1, 3),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
    st.sampled_from([1, 2]),
)
def test_stft_transforms_each_frame(length, step, frame, with_window, onesided, kind):
    onesided = onesided and kind == 1
    x = signal_of((2, length), kind)
    weights = np.arange(1.0, frame + 1) if with_window else None
    found = fourier.stft(
        x, np.array(step), weights, None if with_window else np.array(frame), onesided=int(onesided)
    )
    values = x[..., 0] + (1j * x[..., 1] if kind == 2 else 0)
    frames = [values[:, s : s + frame] for s in range(0, length - frame + 1, step)]
    spectra = [(f * (weights if with_window else 1)) @ dft_matrix(frame) for f in frames]
    bins = frame // 2 + 1 if onesided else frame
    np.testing.assert_allclose(found, parts(np.stack(spectra, axis=1)[..., :bins]), atol=1e-10)


def test_stft_refuses():
    with pytest.raises(ValueError, match="onesided=0"):
        fourier.stft(np.zeros((1, 8, 2)), np.array(1), np.ones(4))
    with pytest.raises(ValueError, match="do not fit a signal of 8"):
        fourier.stft(np.zeros((1, 8, 1)), np.array(1), np.ones(4), np.array(3))
    with pytest.raises(ValueError, match="do not fit a signal of 8"):
        fourier.stft(np.zeros((1, 8, 1)), np.array(1), None, np.array(9))


@pytest.mark.parametrize("periodic", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 2, 9])
def test_windows(size, periodic):
    n = size + periodic
    arguments = {"periodic": periodic, "output_datatype": DType.FLOAT64.onnx}
    for kernel, numpy_window in (
        (window.hann_window, np.hanning),
        (window.blackman_window, np.blackman),
    ):
        found = kernel(np.array(size), **arguments)
        expected = numpy_window(n)[:size]
        np.testing.assert_allclose(found, expected, atol=1e-12)
    hamming = window.hamming_window(np.array([size]), **arguments)
    hann = window.hann_window(np.array(size), **arguments)
    # Both are a constant plus a cosine: 25/46 - 21/46 cos = 4/46 + 42/46 (1 - cos) / 2.
    np.testing.assert_allclose(hamming, (4 + 42 * hann) / 46, atol=1e-12)
    assert window.hann_window(np.array(size)).dtype == np.float32
    with pytest.raises(ValueError, match="negative"):
        window.hann_window(np.array(-1))


@FEW
@given(
    st.integers(1, 12),
    st.sampled_from([16, 64, 257]),
    st.sampled_from([0.0, 100.0]),
    st.sampled_from([2000.0, 4000.0]),
)
def test_mel_weight_matrix_is_triangles(bands, length, low, high):
    found = window.mel_weight_matrix(*map(np.array, (bands, length, 8192, low, high)))
    assert (found.dtype, found.shape) == (np.float32, (length // 2 + 1, bands))
    mel_low, mel_high = (2595 * np.log10(1 + f / 700) for f in (low, high))
    hertz = [
        700 * (10 ** ((mel_low + i * (mel_high - mel_low) / (bands + 2)) / 2595) - 1)
        for i in range(bands + 2)
    ]
    corners = [int((length + 1) * f // 8192) for f in hertz]
    for band, (left, centre, right) in enumerate(zip(corners, corners[1:], corners[2:])):
        for b in range(length // 2 + 1):
            if b == centre:
                expected = 1.0
            elif left < b < centre:
                expected = (b - left) / (centre - left)
            elif centre < b < right:
                expected = (right - b) / (right - centre)
            else:
                expected = 0.0
            assert found[b, band] == pytest.approx(expected, abs=1e-6)
