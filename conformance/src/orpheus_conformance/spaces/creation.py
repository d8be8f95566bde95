"""Operators that make tensors from a rule."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Operand
from orpheus_conformance.draw import DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import MOVEMENT, Evidence, Ulps
from orpheus_core.types import Array, DType


@space("Constant", MOVEMENT, since=12)
def constant(d: Draw) -> Layer:
    """A tensor of any type and shape, a number, a string, or a list of them."""
    shape = tuple(d.choose(DIMS) for _ in range(d.choose((1, 0, 2, 3))))
    options: dict[str, Any] = {
        "value": d.tensor("value", d.dtype("T"), shape, constant=True),
        "value_float": d.choose((0.5, -2.0, 0.0)),
        "value_int": d.choose((0, -3, 2**40)),
        "value_string": d.choose(("a", "", "naïve")),
        "value_floats": d.choose(((0.5, -1.0), (0.25,), ())),
        "value_ints": d.choose(((1, -2, 3), (7,), ())),
        "value_strings": d.choose((("a", "日本"), ("",), ())),
    }
    name = d.among("value.kind", options)
    return Layer((), {name: options[name]})


def _terms(e: Evidence) -> Array:
    start, limit = (np.abs(np.asarray(e.inputs[i], np.float64)) for i in (0, 1))
    return np.asarray(start + limit)


_STEPS = Ulps(
    3.0,
    "a product and a sum; relative to both ends, as the sum may cancel",
    half=3.0,
    exact_integers=True,
    magnitude=_terms,
)


@space("Range", _STEPS)
def range_(d: Draw) -> Layer:
    """Either direction, an empty range, and a limit that no step meets; steps that every float type holds exactly."""
    dtype = d.dtype("T")
    whole = not DType(dtype).is_float
    start: float = d.choose((0, 1, 5, -3))
    step = d.choose((1, 2, -1, 3, -2) if whole or d.kind == "small" else (1, 0.5, -0.25, 2, -1.5))
    count = d.choose((3, 1, 7, 0, 17, -2))
    limit = start + step * count
    if count > 0 and abs(step) > 1 and d.flag():
        limit -= int(math.copysign(1, step))
    if not whole:
        start, limit, step = float(start), float(limit), float(step)
    names = ("start", "limit", "delta")
    inputs = tuple(
        Operand(dtype, (), "normal", (v,), d.constant(n)) for n, v in zip(names, (start, limit, step))
    )
    return Layer(inputs)


@space("EyeLike", MOVEMENT)
def eye_like(d: Draw) -> Layer:
    """Diagonals inside and outside the matrix; the type of the input or another."""
    shape = tuple(d.dim("input", a, rank=2) for a in range(2))
    kinds = [OMIT, *(DType(t).onnx for t in sorted(d.dtypes("T2")))]
    attributes = {"k": d.attribute("k", (0, OMIT, 1, -1, 2, -2, 9, -9)), "dtype": d.attribute("dtype", kinds)}
    return Layer((d.tensor("input", d.dtype("T1"), shape),), attributes)
