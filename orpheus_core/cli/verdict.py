"""How far two results are apart, and whether that is rounding or an error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.types import Array, DType

#: Largest difference that is taken for rounding, as a share of the largest magnitude of the reference.
#: float32 networks of the depth in use drift by about 1e-5 of it between correct engines; ten times that leaves
#: room for Winograd transforms. The narrower types scale with their unit roundoff, 2^-11 and 2^-8.
TOLERANCE = {
    DType.FLOAT64: 1e-9,
    DType.FLOAT32: 1e-4,
    DType.FLOAT16: 2e-2,
    DType.BFLOAT16: 1e-1,
}
#: Quantization steps that two correct 8-bit kernels may differ by: a tie rounded the other way moves one
#: intermediate step, which a later layer may turn into a second.
STEPS = 2


@dataclass(frozen=True)
class Difference:
    """``largest`` absolute difference, the same ``relative`` to the reference's largest magnitude, the verdict."""

    largest: float
    relative: float
    passed: bool
    reason: str = ""


def difference(got: Any, wanted: Any, tolerance: float | None = None) -> Difference:
    """Compare two results of a model: arrays, sequences, maps or None, nested alike.

    ``tolerance`` (a share of the largest magnitude) replaces the one that follows from the element type of floats.
    """
    if isinstance(wanted, dict):
        if not isinstance(got, dict) or got.keys() != wanted.keys():
            return _failed(f"{_noun(got)} instead of a map with the same {len(wanted)} keys")
        return difference([got[k] for k in wanted], list(wanted.values()), tolerance)
    if isinstance(wanted, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(wanted):
            return _failed(f"{_noun(got)} instead of a sequence of {len(wanted)}")
        return worst([difference(g, w, tolerance) for g, w in zip(got, wanted)])
    if wanted is None or got is None:
        return Difference(0.0, 0.0, True) if got is wanted else _failed(f"{_noun(got)}, not {_noun(wanted)}")
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        return _failed(f"{_noun(got)} instead of {_noun(wanted)}")
    return _arrays(got, wanted, tolerance)


def worst(found: Sequence[Difference]) -> Difference:
    """The difference that speaks for several: the largest, a failed one before any passed."""
    return max(found, key=lambda d: (not d.passed, d.relative), default=Difference(0.0, 0.0, True))


def _arrays(got: Array, wanted: Array, tolerance: float | None) -> Difference:
    dtype = DType.from_numpy(wanted.dtype)
    if dtype in (DType.STRING, DType.BOOL) or not wanted.size:
        wrong = int(np.sum(got != wanted))
        return Difference(
            float(bool(wrong)), float(bool(wrong)), not wrong, f"{wrong} differ" if wrong else ""
        )
    if not dtype.is_float and not dtype.value.startswith("complex"):
        return _integers(got, wanted, dtype)
    wide = np.complex128 if dtype.value.startswith("complex") else np.float64
    a, b = got.astype(wide), wanted.astype(wide)
    finite = np.isfinite(b)
    odd = ~finite | ~np.isfinite(a)
    if not np.array_equal(a[odd], b[odd], equal_nan=True):
        return _failed("NaN or infinity in other places")
    if not finite.any():
        return Difference(0.0, 0.0, True)
    largest = float(np.max(np.abs(a[finite] - b[finite])))
    scale = float(np.max(np.abs(b[finite])))
    relative = largest / scale if scale else largest
    # Types without an entry are narrower than bfloat16: one step of theirs is up to a quarter of the value.
    limit = TOLERANCE.get(dtype, 1e-4 if wide is np.complex128 else 0.25) if tolerance is None else tolerance
    passed = relative <= limit
    return Difference(
        largest, relative, passed, "" if passed else f"{relative:.1e} of the largest, over {limit:g}"
    )


def _integers(got: Array, wanted: Array, dtype: DType) -> Difference:
    largest = max(abs(int(a) - int(b)) for a, b in _extremes(got, wanted))
    scale = max(1, *(abs(int(v)) for v in (wanted.max(), wanted.min())))
    # 8-bit results are quantized values; wider integers are indices and counts, which have no rounding.
    steps = STEPS if dtype in (DType.INT8, DType.UINT8) else 0
    reason = f"{largest} steps apart, over {steps}" if largest > steps else ""
    return Difference(float(largest), largest / scale, largest <= steps, reason)


def _extremes(got: Array, wanted: Array) -> list[tuple[Any, Any]]:
    # As Python integers only where the difference is largest: 64-bit differences may overflow.
    wide_got, wide_wanted = got.astype(np.float64), wanted.astype(np.float64)
    index = np.unravel_index(int(np.argmax(np.abs(wide_got - wide_wanted))), got.shape)
    first = np.unravel_index(int(np.argmax(got != wanted)), got.shape)
    return [(got[index], wanted[index]), (got[first], wanted[first])]


def _failed(reason: str) -> Difference:
    return Difference(float("inf"), float("inf"), False, reason)


def _noun(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype.name}[{','.join(map(str, value.shape))}]"
    return "nothing" if value is None else f"a {type(value).__name__}"
