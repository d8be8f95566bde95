"""How far a right result may be from the float64 one, and why.

Every bound is per element, absolute, and derived; a kernel's declared ``Accuracy.factor`` multiplies it. No bound is
a flat tolerance: a flat relative error rejects a right sum that cancels, a flat absolute error accepts a wrong one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from orpheus_conformance.case import Case
from orpheus_core.types import Array, DType


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a bound may be computed from.

    ``inputs`` are in float64 where they were floats, ``expected`` the results on them. ``evaluate(attributes, inputs)``
    asks the oracle about the same operator once more. ``dtype`` is the output's element type. ``transforms``: the
    kernel declares that it works on transformed tiles; ``normwise``: on sums over all of its operands.
    """

    case: Case
    attributes: Mapping[str, Any]
    inputs: tuple[Any, ...]
    expected: tuple[Any, ...]
    output: int
    dtype: str
    evaluate: Callable[[Mapping[str, Any], tuple[Any, ...]], Sequence[Any]]
    transforms: bool = False
    normwise: bool = False


class Tolerance(Protocol):
    """How one operator's results are judged.

    ``native``: the oracle computes in the case's own element types, not in float64. ``exact_integers``: small integers
    must give equal bits. ``signed_zero``: the sign of a zero counts.
    """

    @property
    def native(self) -> bool:
        """Whether the oracle computes in the case's own types."""

    @property
    def exact_integers(self) -> bool:
        """Whether small integers give equal bits."""

    @property
    def signed_zero(self) -> bool:
        """Whether the sign of a zero counts."""

    def bound(self, evidence: Evidence) -> Array | None:
        """The greatest absolute error of each element, or None where results must be equal."""


@dataclass(frozen=True)
class Exact:
    """Equal results: data movement, comparisons, integers. With ``signed_zero``, equal bits (movement)."""

    signed_zero: bool = False
    native: bool = True
    exact_integers: bool = True

    def bound(self, evidence: Evidence) -> Array | None:
        """None: equal."""
        return None


@dataclass(frozen=True)
class Ulps:
    """At most ``count`` units in the last place of the result, by element type; ``why`` justifies the number.

    1 is one rounding with room for a neighbour (a directed or a double rounding). A function computed in the output's
    own precision has a few. ``slack``, in the same unit, multiplies a magnitude that the result may have cancelled
    from (``|x| + |y|`` of a sum): a function of the evidence.
    """

    count: float
    why: str
    half: float = 1.0
    exact_integers: bool = False
    signed_zero: bool = False
    native: bool = False
    magnitude: Callable[[Evidence], Any] | None = None

    def bound(self, evidence: Evidence) -> Array | None:
        """``count`` (``half`` for float16 and narrower, which are computed wider) ULPs of the result or magnitude."""
        if not DType(evidence.dtype).is_float:
            return None
        narrow = DType(evidence.dtype).itemsize < 4
        size = np.abs(np.asarray(evidence.expected[evidence.output], np.float64))
        if self.magnitude is not None:
            size = np.maximum(size, self.magnitude(evidence))
        return np.asarray(
            (self.half if narrow else self.count) * eps(evidence.dtype) * size + tiny(evidence.dtype)
        )


@dataclass(frozen=True)
class Accumulation:
    """Sums of products: ``|got - ref64| <= (2 + sqrt K) * eps * ref64(|x|, |w|)``.

    K, ``length(case)``, is the number of terms. The root is what serial accumulation of one-signed data was measured to
    grow by; pairwise and blocked orders stay below. eps is that of the output's type or of the accumulator, whichever
    is coarser. ``attributes`` are replaced when the magnitude is computed (an activation switched off, alpha made
    positive); float attributes lose their sign anyhow. ``ulps`` is added for what is applied to the sum.
    """

    length: Callable[[Case], int]
    exact: bool = True
    attributes: Mapping[str, Any] = field(default_factory=dict)
    ulps: float = 0.0
    slope: float = 1.0
    native: bool = False
    signed_zero: bool = False

    @property
    def exact_integers(self) -> bool:
        """Whether small integers give exact sums (no division, no activation that rounds)."""
        return self.exact

    def bound(self, evidence: Evidence) -> Array | None:
        """See the class; None for integer results, which are exact."""
        if not DType(evidence.dtype).is_float:
            return None
        inputs = tuple(_magnitude(x) for x in evidence.inputs)
        if evidence.transforms:
            inputs = tuple(_levelled(x, 0 if evidence.normwise else 2) for x in inputs)
        attributes = {k: abs(v) if isinstance(v, float) else v for k, v in evidence.attributes.items()}
        size = evidence.evaluate({**attributes, **self.attributes}, inputs)[evidence.output]
        if evidence.transforms:
            size = _levelled(np.asarray(size, np.float64))  # an element whose taps lie in the pads, too
        unit = eps(evidence.dtype)
        c = (2 + math.sqrt(max(1, self.length(evidence.case)))) * self.slope
        result = np.abs(np.asarray(evidence.expected[evidence.output], np.float64))
        return np.asarray(
            unit * (c * np.asarray(size, np.float64) + self.ulps * result) + tiny(evidence.dtype)
        )


@dataclass(frozen=True)
class Steps:
    """Quantized results: at most ``count`` steps of the output, where rounding ties may differ; ``why`` says where."""

    count: int
    why: str
    native: bool = True
    exact_integers: bool = False
    signed_zero: bool = False

    def bound(self, evidence: Evidence) -> Array | None:
        """``count`` for every element."""
        return np.full(np.shape(evidence.expected[evidence.output]), float(self.count))


#: Equal bits: the operator moves data.
MOVEMENT = Exact(signed_zero=True)
#: Equal values: comparisons, selections, integer arithmetic.
EXACT = Exact()
#: One correctly rounded operation (IEEE 754): half an ULP, one with a second rounding.
ROUNDED = Ulps(1.0, "one correctly rounded IEEE operation", exact_integers=True)


def eps(dtype: str) -> float:
    """Distance from 1 to the next number of a float type."""
    return float(finfo(dtype).eps)


def tiny(dtype: str) -> float:
    """The smallest normal number: hardware may flush what is below it."""
    return float(finfo(dtype).tiny)


def finfo(dtype: str) -> Any:
    """Limits of a float type, as ``numpy.finfo`` gives them."""
    return ml_dtypes.finfo(DType(dtype).numpy)  # type: ignore[no-untyped-call]


def _levelled(x: Any, first: int = 2) -> Any:
    """Axes from ``first``, by default the spatial ones, filled with their maximum.

    A transform's errors are relative to the tile, not to the element; Strassen's to the whole operand.
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or x.ndim < 3 or not x.size:
        return x
    finite = np.where(np.isfinite(x), x, 0.0)
    return np.broadcast_to(finite.max(tuple(range(first, x.ndim)), keepdims=True), x.shape)


def _magnitude(x: Any) -> Any:
    return np.abs(x) if isinstance(x, np.ndarray) and x.dtype.kind == "f" else x
