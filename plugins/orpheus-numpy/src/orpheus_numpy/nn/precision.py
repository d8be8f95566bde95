"""In which precision a kernel computes: low-precision floats go through float32 and are rounded once."""

from __future__ import annotations

from typing import Any, overload

import ml_dtypes
import numpy as np

from orpheus_core.types import Array

_LOW = frozenset((np.dtype(np.float16), np.dtype(ml_dtypes.bfloat16)))


def wide_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """The type to compute in: float32 for float16 and bfloat16, otherwise ``dtype`` itself."""
    return np.dtype(np.float32) if dtype in _LOW else dtype


@overload
def widen(x: Array) -> Array: ...
@overload
def widen(x: None) -> None: ...
def widen(x: Array | None) -> Array | None:
    """``x`` in the type to compute in; ``x`` itself when it has that already."""
    return None if x is None else x.astype(wide_dtype(x.dtype), copy=False)


def deliver(value: Any, dtype: np.dtype[Any], out: Array | None = None) -> Array:
    """``value`` rounded to ``dtype``: in ``out`` when it is given, which may be where it lies already."""
    if out is None:
        return np.asarray(value).astype(dtype, copy=False)
    if value is not out:
        np.copyto(out, value, casting="unsafe")
    return out


def first(out: tuple[Array | None, ...] | None) -> Array | None:
    """The array to fill with output 0, or None when the kernel must allocate it."""
    return out[0] if out else None
