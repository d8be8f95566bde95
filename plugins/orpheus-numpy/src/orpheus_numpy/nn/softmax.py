"""Softmax along the last axis in a given precision, as the function bodies of ONNX's attention operators compute it.

In float16 and bfloat16 every step of the body rounds: exponentials, their sum, the quotient. A sum of float16 is
rounded once, as numpy does it; ONNX's expected results round every addition of bfloat16. That sum is pairwise here,
with leaves of eight, so its error grows with the logarithm of the row's length and a long row does not stagnate.

Source: https://onnx.ai/onnx/operators/onnx__Softmax.html; N. Higham, The Accuracy of Floating Point Summation, 1993.
"""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.nn.precision import widen

_LEAF = 8


def softmax(scores: Array, dtype: np.dtype[Any]) -> Array:
    """Softmax of ``scores`` over the last axis in ``dtype``; a row that is wholly -inf gives zeros."""
    x = rounded(widen(scores), dtype)
    top = x.max(axis=-1, keepdims=True, initial=-np.inf)
    powers = rounded(np.exp(rounded(x - np.where(np.isneginf(top), 0, top), dtype)), dtype)
    if dtype == ml_dtypes.bfloat16:
        total = _pairwise_sum(powers, dtype)
    else:
        total = rounded(powers.sum(axis=-1, keepdims=True), dtype)
    return (powers / np.where(total == 0, 1, total)).astype(dtype, copy=False)


def rounded(x: Array, dtype: np.dtype[Any]) -> Array:
    """``x`` with the values that ``dtype`` can hold, in the type to compute in."""
    return widen(x.astype(dtype, copy=False))


def _pairwise_sum(x: Array, dtype: np.dtype[Any]) -> Array:
    """The sum over the last axis, kept, every addition rounded to ``dtype``."""
    blocks = max(1, -(-x.shape[-1] // _LEAF))
    padded = np.zeros((*x.shape[:-1], blocks * _LEAF), x.dtype)
    padded[..., : x.shape[-1]] = x
    leaves = padded.reshape(*x.shape[:-1], blocks, _LEAF)
    sums = leaves[..., 0]
    for column in range(1, _LEAF):
        sums = rounded(sums + leaves[..., column], dtype)
    while sums.shape[-1] > 1:
        half = sums.shape[-1] // 2
        paired = rounded(sums[..., :half] + sums[..., half : 2 * half], dtype)
        sums = np.concatenate((paired, sums[..., 2 * half :]), axis=-1)
    return sums
