"""The bound of smooth functions of several steps (softmax, normalization, attention, recurrence), by backward error.

A right kernel gives the exact result for inputs that are a few roundings off. What that many roundings do to a result
is measured on the oracle itself, in float64: inputs are scaled by 1 + h s, s being random signs.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_conformance.case import Case
from orpheus_conformance.tolerance import Evidence, eps, tiny
from orpheus_core.types import Array, DType

_STEP = 2.0**-24
_PATTERNS = 4


@dataclass(frozen=True)
class Conditioned:
    """``|got - f(x)| <= eps * (2 c * sensitivity + ulps * max(|f(x)|, magnitude))`` with ``c = 2 + sqrt K``.

    K, ``length(case)``, is the longest sum inside; sensitivity the largest relative change of a result over
    some sign patterns, none of which is the worst one (hence the 2). ``ulps`` counts the operations after the sums, of
    which ``magnitude`` is the greatest intermediate result. eps is that of the output, or of ``compute``
    where the operator computes in that type. ``fixed``: inputs of which shapes or choices depend. ``why`` says what
    the operations are.
    """

    length: Callable[[Case], int]
    why: str
    ulps: float = 8.0
    magnitude: Callable[[Evidence], Any] | None = None
    compute: str = ""
    fixed: tuple[int, ...] = ()
    native: bool = False
    exact_integers: bool = False
    signed_zero: bool = False

    def bound(self, evidence: Evidence) -> Array | None:
        """See the class; None for integer results."""
        if not DType(evidence.dtype).is_float:
            return None
        unit = max(eps(evidence.dtype), eps(self.compute) if self.compute else 0.0)
        result = np.asarray(evidence.expected[evidence.output], np.float64)
        size = np.abs(result)
        if self.magnitude is not None:
            size = np.maximum(size, self.magnitude(evidence))
        c = 2 + math.sqrt(max(1, self.length(evidence.case)))
        return np.asarray(
            unit * (2 * c * self._sensitivity(evidence, result) + self.ulps * size) + tiny(evidence.dtype)
        )

    def _sensitivity(self, evidence: Evidence, result: Array) -> Array:
        rng = np.random.default_rng(evidence.case.seed)
        worst = np.zeros(result.shape)
        for _ in range(_PATTERNS):
            inputs = tuple(x if i in self.fixed else _nudged(x, rng) for i, x in enumerate(evidence.inputs))
            other = evidence.evaluate(evidence.attributes, inputs)[evidence.output]
            change = np.abs(np.asarray(other, np.float64) - result) / _STEP
            worst = np.maximum(worst, np.nan_to_num(change, nan=0.0, posinf=0.0))
        return worst


def _nudged(x: Any, rng: np.random.Generator) -> Any:
    if not isinstance(x, np.ndarray) or x.dtype != np.float64:
        return x
    return np.asarray(x * (1 + _STEP * rng.choice((-1.0, 1.0), x.shape)))


def greatest(x: Any) -> float:
    """The greatest finite magnitude in an array; zero when there is none."""
    return float(
        np.abs(np.nan_to_num(np.asarray(x, np.float64), nan=0.0, posinf=0.0, neginf=0.0)).max(initial=0.0)
    )
