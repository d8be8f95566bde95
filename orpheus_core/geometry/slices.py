"""Slice's bounds on one axis."""

from __future__ import annotations


def slice_of(start: int, end: int, step: int, size: int) -> slice:
    """ONNX's bounds as Python's. Raises ValueError for a step of 0.

    Backwards ONNX clamps a start below the axis to the first element, where Python takes nothing; and an end before
    the first element means through it, where a negative end counts from behind in Python.
    """
    if step == 0:
        raise ValueError("Slice: a step must not be 0")
    if step > 0:
        return slice(start, end, step)
    first = min(max(start + size if start < 0 else start, 0), max(size - 1, 0))
    last = end + size if end < 0 else end
    return slice(first, last if last >= 0 else None, step)
