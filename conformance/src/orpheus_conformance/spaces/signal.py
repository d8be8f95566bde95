"""Signal processing: transforms and windows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import Evidence, Ulps, eps
from orpheus_core.types import Array, DType


class _Transform(Ulps):
    """Sums of n products with rotations: ``c eps log2(2 n)`` of the whole signal's length (Higham 2002, section 24.1),
    which a plain sum exceeds by sqrt(n / log n) at most; the bound is for either.
    """

    def bound(self, evidence: Evidence) -> Array | None:
        """The same for each element of a signal: errors spread evenly over the spectrum."""
        signal = np.asarray(evidence.inputs[0], np.float64)
        length = max(_length(evidence.case), 1)
        energy = float(np.sqrt((signal * signal).sum()))
        scale = energy * (1 if evidence.case.attributes.get("inverse") else math.sqrt(length))
        unit = max(eps(evidence.dtype), eps("float32") if evidence.dtype != "float64" else 0)
        shape = np.shape(evidence.expected[evidence.output])
        c = self.count * (math.log2(2 * length) + math.sqrt(length))
        result = np.abs(np.asarray(evidence.expected[evidence.output], np.float64))
        return np.asarray(np.full(shape, c * unit * scale) + eps(evidence.dtype) * result)


def _length(case: Case) -> int:
    signal = case.inputs[0]
    assert isinstance(signal, Operand)
    found = max(signal.shape)
    for operand in case.inputs[1:3]:
        if isinstance(operand, Operand) and operand.data is not None and operand.shape == ():
            found = max(found, int(operand.data[0]))
    return 2 * found


_FOURIER = _Transform(4.0, "a fast transform's error per stage")


@space(
    "DFT", _FOURIER, since=20, without={"special": "one NaN or infinity reaches the whole spectrum, or not"}
)
def dft(d: Draw) -> Layer:
    """Real and complex signals, cut and padded, of prime and even lengths, forwards, backwards and one-sided."""
    rank = d.rank("input", (3, 2, 4))
    inverse = d.attribute("inverse", (0, 1, OMIT))
    onesided = d.attribute("onesided", (0, OMIT, 1))
    if onesided == 1:
        parts = 2 if inverse == 1 else 1
    else:
        parts = d.dim("input", rank - 1, (1, 2), rank=rank)
    axis = d.choose([a for n in range(rank - 1) for a in (n - rank, n)])
    shape = [d.choose((2, 1, 3)) for _ in range(rank - 1)] + [parts]
    halved = onesided == 1 and inverse == 1
    shape[axis] = d.choose((4, 2, 3, 5, 7, 8) if halved else (4, 1, 2, 3, 5, 7, 8, 11))
    inputs: list[Any] = [d.tensor("input", d.dtype("T1"), shape, special=False)]
    if d.flag():
        inputs.append(
            d.data(
                "dft_length", d.dtype("T2"), d.choose((4, 3, 5, 8, 1, 13) if not halved else (4, 3, 5, 8, 13))
            )
        )
    else:
        inputs.append(None)
    if axis not in (-2, rank - 2) or d.flag():
        inputs.append(d.data("axis", "int64", axis))
    return Layer(tuple(inputs), {"inverse": inverse, "onesided": onesided})


@space(
    "STFT",
    _FOURIER,
    since=17,
    without={"special": "one NaN or infinity reaches a frame's whole spectrum, or not"},
)
def stft(d: Draw) -> Layer:
    """Frames that overlap, touch and leave gaps; with a window, without one, with a length."""
    parts = d.dim("signal", 2, (1, 2), rank=3)
    length = d.choose((8, 5, 11, 16, 4))
    dtype = d.dtype("T1")
    kind = d.dtype("T2")
    size = d.choose([n for n in (4, 3, 5, 8) if n <= length])
    step = d.choose((2, 1, 3, 7))
    onesided = 0 if parts == 2 else d.attribute("onesided", (1, OMIT, 0))
    windowed = d.flag()
    inputs: list[Any] = [d.tensor("signal", dtype, (d.choose((1, 2)), length, parts), special=False)]
    inputs.append(d.data("frame_step", kind, step))
    inputs.append(d.tensor("window", dtype, (size,), special=False, constant=None) if windowed else None)
    if not windowed or d.flag():
        inputs.append(d.data("frame_length", kind, size))
    return Layer(tuple(inputs), {"onesided": onesided})


_COSINE = Ulps(
    8.0,
    "a cosine of an angle that is rounded itself, times a weight; relative to one, the sum of the weights",
    half=1.0,
    magnitude=lambda e: 4.0,
)


def _window(op: str) -> None:
    @space(op, _COSINE)
    def draw(d: Draw) -> Layer:
        kinds = [OMIT, *(DType(t).onnx for t in sorted(d.dtypes("T2")) if DType(t).is_float)]
        periodic = d.attribute("periodic", (1, 0, OMIT))
        # A symmetric window of one point is 0 / 0 by its formula.
        size = d.choose((8, 2, 3, 5, 10, 13) if periodic == 0 else (8, 1, 2, 3, 5, 10, 13))
        attributes = {"periodic": periodic, "output_datatype": d.attribute("output_datatype", kinds)}
        return Layer((d.data("size", d.dtype("T1"), size),), attributes)


for _op in ("HannWindow", "HammingWindow", "BlackmanWindow"):
    _window(_op)


@space("MelWeightMatrix", Ulps(2.0, "a quotient of integers", half=2.0))
def mel_weight_matrix(d: Draw) -> Layer:
    """Bands narrower and wider than a bin."""
    kind, edge = d.dtype("T1"), d.dtype("T2")
    bands, length, rate = d.choose((4, 1, 8)), d.choose((16, 8, 33, 64)), d.choose((8192, 16000))
    low, high = d.choose(((0.0, 4096.0), (125.0, 3000.0), (20.0, 7000.0)))
    numbers = (("num_mel_bins", bands), ("dft_length", length), ("sample_rate", rate))
    inputs = [d.data(name, kind, n) for name, n in numbers]
    inputs += [d.data(name, edge, n) for name, n in (("lower_edge_hertz", low), ("upper_edge_hertz", high))]
    kinds = [OMIT, *(DType(t).onnx for t in sorted(d.dtypes("T3")) if DType(t).is_float)]
    return Layer(tuple(inputs), {"output_datatype": d.attribute("output_datatype", kinds)})
