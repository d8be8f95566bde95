"""Comparing a result with what the suite holds to be right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.tolerance import eps
from orpheus_core.types import Array, DType


def difference(got: Any, want: Any, rtol: float, atol: float, *, terms: int, factor: float) -> str:
    """What is wrong with a result; empty when nothing is.

    The suite's own tolerance, ``rtol`` and ``atol``, is chosen by eye and rejects right sums that cancel. So an error
    of ``(2 + sqrt K) eps`` of the largest magnitude, for ``terms`` K of a sum, is right too; ``factor`` as declared.
    """
    if isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return f"got {_brief(got)}, expected a sequence of {len(want)}"
        pairs = enumerate(zip(got, want))
        told = ((i, difference(g, w, rtol, atol, terms=terms, factor=factor)) for i, (g, w) in pairs)
        return next((f"element {i}: {words}" for i, words in told if words), "")
    if want is None or isinstance(want, dict):
        return "" if got == want else f"got {_brief(got)}, expected {_brief(want)}"
    return _arrays(np.asarray(got), np.asarray(want), rtol, atol, terms, factor)


def _arrays(got: Array, want: Array, rtol: float, atol: float, terms: int, factor: float) -> str:
    if got.shape != want.shape:
        return f"got shape {list(got.shape)}, expected {list(want.shape)}"
    if want.dtype.kind in "OUST":
        return "" if got.tolist() == want.tolist() else f"got {_brief(got)}, expected {_brief(want)}"
    if got.dtype != want.dtype:
        return f"got element type {got.dtype}, expected {want.dtype}"
    kind = DType.from_numpy(want.dtype)
    if not kind.is_float:
        same = (
            got == want
            if want.dtype.kind in "biu"
            else np.isclose(got, want, rtol=rtol, atol=atol, equal_nan=True)
        )
        return _worst(got, want, ~np.asarray(same))
    mine, right = got.astype(np.float64), want.astype(np.float64)
    with np.errstate(all="ignore"):
        finite = np.abs(right[np.isfinite(right)])
        # Types narrower than float32 are right within two of their own steps, whatever the suite's tolerance says.
        unit = eps(kind.value) * (2 if kind.itemsize < 4 else 2 + math.sqrt(terms)) * factor
        slack = np.maximum(atol + rtol * np.abs(right), unit * finite.max(initial=0.0))
        close = np.isfinite(right) & (np.abs(mine - right) <= slack)
        same = close | (mine == right) | (np.isnan(mine) & np.isnan(right))
    return _worst(got, want, ~same)


def _worst(got: Array, want: Array, wrong: Array) -> str:
    if not wrong.any():
        return ""
    place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    where = ",".join(map(str, place))
    return f"{int(wrong.sum())} of {wrong.size} elements wrong; [{where}] is {got[place]!s}, expected {want[place]!s}"


def _brief(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 200 else text[:197] + "..."
