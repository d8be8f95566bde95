"""How random operators are judged: what is certain of every draw, and what is all but certain of many.

No two generators agree, so there is no expected result. Element type and shape are those of the operator page, values
lie in the distribution's support, a seed gives the same values again, and mean and spread are within six standard
errors of what they should be (a chance of 2e-9 to reject a right sample).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_conformance.case import Case
from orpheus_conformance.instance import Instance
from orpheus_conformance.tolerance import Evidence, eps
from orpheus_core.types import Array, DType, TensorType

_SIGMAS = 6.0


@dataclass(frozen=True)
class Moments:
    """What is known of each element: mean and standard deviation (broadcast to the result), and the support."""

    mean: Any
    deviation: Any
    low: float = -np.inf
    high: float = np.inf
    values: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Distribution:
    """``moments(case, arrays)`` of the first output; ``also(arrays, outputs)`` may find more that is wrong."""

    moments: Callable[[Case, tuple[Any, ...]], Moments]
    also: Callable[[tuple[Any, ...], Sequence[Any]], str] | None = None
    native: bool = True
    exact_integers: bool = False
    signed_zero: bool = False

    def bound(self, evidence: Evidence) -> Array | None:
        """Never asked: there is no expected result."""
        raise NotImplementedError("a random result has no expected value to be near to")

    def judge(self, instance: Instance, outputs: Sequence[Any], again: Callable[[], Sequence[Any]]) -> str:
        """What is wrong with ``outputs``, or an empty text. ``again`` computes the layer anew."""
        case, arrays = instance.case, instance.arrays
        for index, (type_, got) in enumerate(zip(instance.problem.outputs, outputs)):
            if not isinstance(type_, TensorType):
                continue
            if not isinstance(got, np.ndarray) or DType.from_numpy(got.dtype) is not type_.dtype:
                shown = getattr(got, "dtype", type(got).__name__)
                return f"output {index}: got {shown}, expected {type_.dtype.value}"
            if type_.static_shape is not None and got.shape != type_.static_shape:
                return f"output {index}: got shape {list(got.shape)}, expected {list(type_.static_shape)}"
        message = _sample(self.moments(case, arrays), outputs[0])
        if not message and self.also is not None:
            message = self.also(arrays, outputs)
        if not message and "seed" in case.attributes:
            for first, second in zip(outputs, again()):
                if not np.array_equal(_plain(first), _plain(second), equal_nan=True):
                    message = "the same seed gave other values the second time"
        return message


def _plain(x: Any) -> Array:
    return np.asarray(x).astype(np.float64)


def _sample(known: Moments, got: Array) -> str:
    found = _plain(got)
    if not found.size:
        return ""
    if known.values is not None and not np.isin(found, known.values).all():
        return f"holds {found[~np.isin(found, known.values)][0]}, expected only {known.values}"
    # A bound of the support may be reached by rounding to a narrow type.
    room = eps(DType.from_numpy(got.dtype).value) if DType.from_numpy(got.dtype).is_float else 0.0
    least, most = (v * (1 + np.sign(v) * s * room) for v, s in ((known.low, -1), (known.high, 1)))
    if not ((found >= least) & (found <= most)).all():
        return f"holds {found.min()} to {found.max()}, outside [{known.low}, {known.high}]"
    mean = np.broadcast_to(known.mean, found.shape)
    deviation = np.broadcast_to(known.deviation, found.shape)
    count = found.size
    # Rounding to a narrow type may shift each value by half a step.
    slack = room * (np.abs(mean) + deviation).mean()
    error = abs((found - mean).mean())
    allowed = _SIGMAS * np.sqrt((deviation**2).sum()) / count + slack
    if error > allowed:
        return f"the mean is off by {error:.4g} over {count} values, allowed {allowed:.4g}"
    if count >= 200 and (deviation > 0).all():
        spread = float((((found - mean) / deviation) ** 2).mean())
        # The fourth moment of a normal variable is 3, which bounds that of the others here.
        limit = _SIGMAS * np.sqrt(2 / count) + 4 * room
        if known.values is None and abs(spread - 1) > limit:
            return f"the variance is {spread:.4g} of what it should be over {count} values"
    return ""
