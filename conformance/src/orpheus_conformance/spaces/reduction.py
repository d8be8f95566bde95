"""Reductions over axes: an attribute in old opsets, an input in newer ones."""

from __future__ import annotations

import math
from typing import Any

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import DIMS, FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import EXACT, Accumulation


def _length(case: Case) -> int:
    x = case.inputs[0]
    assert isinstance(x, Operand)
    return math.prod(x.shape)


def _reduction(op: str, tolerance: Any, axes_input: int, **more: Any) -> None:
    """A reduction that takes axes as an input from version ``axes_input`` on."""
    sizes = FULL_DIMS if more.pop("full", False) else DIMS

    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        shape = d.shape("data", (2, 1, 3, 4, 0), sizes)
        data = d.tensor("data", d.dtype("T"), shape)
        attributes: dict[str, Any] = {"keepdims": d.attribute("keepdims", (1, 0, OMIT))}
        axes = d.choose((None, d.axes(len(shape), 1) if shape else ()))
        if d.version < axes_input:
            attributes["axes"] = axes if axes else OMIT
            return Layer((data,), attributes)
        attributes["noop_with_empty_axes"] = d.attribute("noop_with_empty_axes", (OMIT, 0, 1))
        if axes is None:
            return Layer((data,), attributes)
        return Layer((data, d.data("axes", "int64", axes)), attributes)


_reduction("ReduceSum", Accumulation(_length), 13)
_reduction("ReduceMean", Accumulation(_length, exact=False), 18, full=True)
_reduction("ReduceMax", EXACT, 18, full=True)
_reduction("ReduceMin", EXACT, 18, full=True)
