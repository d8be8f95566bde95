"""Reductions over axes (an input; the importer makes the attribute of old opsets one), running sums, ArgMax, TopK."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned
from orpheus_conformance.draw import DIMS, FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import EXACT, Accumulation, Evidence, tiny
from orpheus_core.types import Array, DType

_UNORDERED = {"special": "the operator page does not order NaN"}


def _factors(d: Draw) -> str | None:
    """The kind of values of a product: small factors vanish together and not apart, and zero times infinity is NaN.

    No page says in which order, so that special values are drawn among factors of size one.
    """
    return "units" if d.kind == "special" else None


def _length(case: Case) -> int:
    x = case.inputs[0]
    assert isinstance(x, Operand)
    return math.prod(x.shape)


@dataclass(frozen=True)
class Root(Accumulation):
    """A root of a sum of powers: powers of small numbers underflow, and the root makes that visible."""

    def bound(self, evidence: Evidence) -> Array | None:
        """As of the sum, and the root of what underflows."""
        found = super().bound(evidence)
        if found is None:
            return None
        terms = max(1, self.length(evidence.case))
        return np.asarray(found + (terms * tiny(evidence.dtype)) ** (1 / evidence.attributes.get("p", 2)))


def _reduction(
    op: str,
    tolerance: Any,
    since: int,
    *,
    full: bool = False,
    floats: bool = False,
    low: float | None = None,
    kind: Callable[[Draw], str | None] = lambda d: None,
    **more: Any,
) -> None:
    """A reduction that takes axes as an input from version ``since`` on.

    ``full``: over no elements it has no value. ``floats``: what it gives on integers the page leaves open.
    ``kind`` of values, where it is not the tier's.
    """

    @space(op, tolerance, since=since, **more)
    def draw(d: Draw) -> Layer:
        shape = d.shape("data", (2, 1, 3, 4, 0), FULL_DIMS if full else DIMS)
        real = [t for t in d.dtypes("T") if DType(t).is_float]
        data = d.tensor("data", d.dtype("T", real if floats else None), shape, low=low, kind=kind(d))
        attributes: dict[str, Any] = {"keepdims": d.attribute("keepdims", (1, 0, OMIT))}
        axes = (d.axes(len(shape), 1) if shape else ()) if d.present("axes") else None
        attributes["noop_with_empty_axes"] = d.attribute("noop_with_empty_axes", (OMIT, 0, 1))
        if axes is None:
            return Layer((data,), attributes)
        return Layer((data, d.data("axes", "int64", axes)), attributes)


def _largest(e: Evidence) -> float:
    """log(sum(exp(x))): the largest term that is added to a logarithm of at least one."""
    x = np.abs(np.nan_to_num(e.inputs[0], nan=0.0, posinf=0.0, neginf=0.0))
    return float(x.max(initial=0.0)) + math.log(max(1, x.size)) + 1


_reduction("ReduceSum", Accumulation(_length), 13)
_reduction("ReduceMean", Accumulation(_length, exact=False), 18, full=True, floats=True)
_reduction("ReduceMax", EXACT, 18)
_reduction("ReduceMin", EXACT, 18)
_reduction("ReduceL1", Accumulation(_length), 18)
_reduction("ReduceL2", Root(_length, exact=False), 18, floats=True)
_reduction("ReduceSumSquare", Accumulation(_length), 18)
_reduction("ReduceProd", Accumulation(_length, exact=False), 18, kind=_factors)
_reduction(
    "ReduceLogSum", Conditioned(_length, "a sum and a logarithm", magnitude=lambda e: 1.0), 18, low=0.25
)
_reduction(
    "ReduceLogSumExp", Conditioned(_length, "differences, exponentials, a logarithm", magnitude=_largest), 18
)


def _running(op: str, tolerance: Any, kind: Callable[[Draw], str | None] = lambda d: None) -> None:
    @space(op, tolerance)
    def draw(d: Draw) -> Layer:
        """The axis is a scalar input."""
        shape = d.shape("x", (1, 2, 3, 4))
        axis = d.data("axis", d.dtype("T2"), d.axis(len(shape)))
        attributes = {n: d.attribute(n, (OMIT, 0, 1)) for n in ("exclusive", "reverse")}
        return Layer((d.tensor("x", d.dtype("T"), shape, kind=kind(d)), axis), attributes)


_running("CumSum", Accumulation(_length))
_running("CumProd", Accumulation(_length, exact=False), _factors)


def _arg(op: str) -> None:
    @space(op, EXACT, without=_UNORDERED)
    def draw(d: Draw) -> Layer:
        """Among equals the first, or the last with select_last_index."""
        shape = d.shape("data", (2, 1, 3, 4), FULL_DIMS)
        attributes = {
            "axis": d.choose((OMIT, d.axis(len(shape)))),
            "keepdims": d.attribute("keepdims", (OMIT, 1, 0)),
        }
        if d.version >= 12:
            attributes["select_last_index"] = d.attribute("select_last_index", (OMIT, 0, 1))
        return Layer((d.tensor("data", d.dtype("T"), shape),), attributes)


_arg("ArgMax")
_arg("ArgMin")


@space("TopK", EXACT, since=10, without=_UNORDERED)
def top_k(d: Draw) -> Layer:
    """Equals by index. Unsorted only where there is no order to choose: of one element, or none."""
    shape = d.shape("X", (1, 2, 3, 4))
    axis = d.axis(len(shape))
    attributes: dict[str, Any] = {"axis": OMIT if axis in (-1, len(shape) - 1) and d.flag() else axis}
    count = d.integer(min(d.sizes("Values", (0, 1))), shape[axis])
    if d.version >= 11:
        attributes["largest"] = d.attribute("largest", (OMIT, 1, 0))
        attributes["sorted"] = d.attribute("sorted", (OMIT, 1, 0) if count < 2 else (OMIT, 1))
    k = d.data("K", "int64", (count,))
    return Layer((d.tensor("X", d.dtype("T"), shape), k), attributes, (True, True))
