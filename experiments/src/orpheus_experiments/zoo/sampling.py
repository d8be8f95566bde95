"""Random parameters: one stream per parameter name, the same numbers everywhere.

Only the raw 64-bit output of PCG64 and the hashing of SeedSequence are used, which numpy keeps stable
between versions (NEP 19); the distributions of ``numpy.random.Generator`` carry no such promise.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np

from orpheus_core.types import Array

__all__ = ["normal", "uniform"]

# Standard deviation of the sum of four independent 16-bit integers.
_DEVIATION = math.sqrt((65536.0**2 - 1.0) / 3.0)


def normal(seed: int, name: str, shape: Sequence[int], deviation: float) -> Array:
    """A float32 array of ``shape``, near normal with mean 0, cut off at 3.5 standard deviations.

    Each element is the sum of four uniform integers (an Irwin-Hall sum), exact in integers until the
    one multiplication at the end.
    """
    bits = _bits(seed, name, shape)
    total = (bits & np.uint64(0xFFFF)).astype(np.int32)
    for shift in (16, 32, 48):
        total += ((bits >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int32)
    total -= 2 * 65535
    values: Array = total.astype(np.float32) * np.float32(deviation / _DEVIATION)
    return values.reshape(shape)


def uniform(seed: int, name: str, shape: Sequence[int], low: float, high: float) -> Array:
    """A float32 array of ``shape``, uniform in [low, high)."""
    fraction = (_bits(seed, name, shape) >> np.uint64(40)).astype(np.float64) / 2.0**24
    values: Array = (low + (high - low) * fraction).astype(np.float32)
    return values.reshape(shape)


def _bits(seed: int, name: str, shape: Sequence[int]) -> Array:
    key = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big")
    generator = np.random.PCG64(np.random.SeedSequence([seed, key]))
    return np.atleast_1d(generator.random_raw(math.prod(shape)))
