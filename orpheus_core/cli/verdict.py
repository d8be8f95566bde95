"""How far two results are apart, and whether that is rounding or an error.

NaN equals NaN, and an infinity one of its sign, in the same place; against anything else they fail. What remains is
held against ``statistic(|got - wanted|) <= atol + rtol * statistic(|wanted|)``, for the largest element by default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

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


Statistic = Literal["elemwise", "max", "mean", "median"]
STATISTICS: tuple[str, ...] = get_args(Statistic)
_REDUCE: Mapping[str, Callable[[Array], Any]] = {"max": np.max, "mean": np.mean, "median": np.median}


@dataclass(frozen=True)
class Tolerance:
    """What passes for floats. ``rtol`` None: by element type, or 0 where ``atol`` is given.

    ``statistic``: of all elements, or ``elemwise``, each element against its own bound. ``finite``: NaN and infinity
    fail even where the reference has them.
    """

    rtol: float | None = None
    atol: float | None = None
    statistic: Statistic = "max"
    finite: bool = False

    def relative(self, by_type: float) -> float:
        """The share that passes, where ``by_type`` is the element type's own."""
        if self.rtol is not None:
            return self.rtol
        return by_type if self.atol is None else 0.0


@dataclass(frozen=True)
class Difference:
    """``largest`` absolute difference, the same ``relative`` to the reference's largest magnitude, the verdict.

    ``mean`` and ``median`` are of the absolute differences; ``ulps`` is the largest number of floating-point numbers
    between two elements, None for what is no float.
    """

    largest: float
    relative: float
    passed: bool
    reason: str = ""
    mean: float = 0.0
    median: float = 0.0
    ulps: float | None = None


def difference(got: Any, wanted: Any, tolerance: float | Tolerance | None = None) -> Difference:
    """Compare two results of a model: arrays, sequences, maps or None, nested alike.

    ``tolerance`` (a number is a share of the largest magnitude) replaces what follows from the element type of floats.
    """
    if not isinstance(tolerance, Tolerance):
        tolerance = Tolerance(tolerance)
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


def _arrays(got: Array, wanted: Array, tolerance: Tolerance) -> Difference:
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
    if tolerance.finite and odd.any():
        return _failed(f"{int(odd.sum())} NaN or infinite")
    if not finite.any():
        return Difference(0.0, 0.0, True)
    gaps, sizes = np.abs(a[finite] - b[finite]), np.abs(b[finite])
    largest, scale = float(gaps.max()), float(sizes.max())
    relative = largest / scale if scale else largest
    # Types without an entry are narrower than bfloat16: one step of theirs is up to a quarter of the value.
    share = tolerance.relative(TOLERANCE.get(dtype, 1e-4 if wide is np.complex128 else 0.25))
    reason = _excess(gaps, sizes, share, tolerance)
    return Difference(
        largest, relative, not reason, reason, float(gaps.mean()), float(np.median(gaps)),
        _ulps(got[finite], wanted[finite], dtype),
    )  # fmt: skip


def _excess(gaps: Array, sizes: Array, share: float, tolerance: Tolerance) -> str:
    """Empty when the differences pass, else how they do not."""
    offset = tolerance.atol or 0.0
    if tolerance.statistic == "elemwise":
        over = gaps > offset + share * sizes
        if not over.any():
            return ""
        worst_ = int(np.argmax(gaps - share * sizes))
        return (
            f"{int(over.sum())} of {over.size} elements over {offset:g} + {share:g} of their own size, the worst by"
            f" {gaps[worst_]:.1e} of {sizes[worst_]:.1e}"
        )
    reduce = _REDUCE[tolerance.statistic]
    gap, size = float(reduce(gaps)), float(reduce(sizes))
    if tolerance.atol is not None:
        passed = gap <= offset + share * size
        text = f"{tolerance.statistic} difference {gap:.1e}, over {offset:g}" + (
            f" + {share:g} of {size:.1e}" if share else ""
        )
        return "" if passed else text
    # Without magnitude there is nothing to take a share of: the difference itself counts.
    relative = gap / size if size else gap
    words = "of the largest" if tolerance.statistic == "max" else f"of the {tolerance.statistic}"
    return "" if relative <= share else f"{relative:.1e} {words}, over {share:g}"


def _ulps(got: Array, wanted: Array, dtype: DType) -> float | None:
    """The most numbers of a type between two of its elements, both finite; None for complex and sub-byte types."""
    if not dtype.is_float:
        return None
    integer = np.dtype(f"i{dtype.itemsize}")
    lowest = int(np.iinfo(integer).min)

    def order(array: Array) -> Array:
        # Negative numbers count down from the most negative integer: fold them below zero, -0 onto 0.
        steps = np.ascontiguousarray(array).view(integer).astype(np.int64)
        return np.where(steps < 0, lowest - steps, steps)

    a, b = order(got), order(wanted)
    # Unsigned, for the whole range of float64 is more than an int64 holds.
    high, low = np.maximum(a, b).astype(np.uint64), np.minimum(a, b).astype(np.uint64)
    return float((high - low).max(initial=0))


def _integers(got: Array, wanted: Array, dtype: DType) -> Difference:
    largest = max(abs(int(a) - int(b)) for a, b in _extremes(got, wanted))
    scale = max(1, *(abs(int(v)) for v in (wanted.max(), wanted.min())))
    # 8-bit results are quantized values; wider integers are indices and counts, which have no rounding.
    steps = STEPS if dtype in (DType.INT8, DType.UINT8) else 0
    reason = f"{largest} steps apart, over {steps}" if largest > steps else ""
    gaps = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
    return Difference(
        float(largest), largest / scale, largest <= steps, reason, float(gaps.mean()), float(np.median(gaps))
    )


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
