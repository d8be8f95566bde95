"""Operators that move data and compute nothing: equal bits."""

from __future__ import annotations

from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import MOVEMENT


@space("Transpose", MOVEMENT)
def transpose(d: Draw) -> Layer:
    """Data of any rank; perm left out reverses the axes. Often all axes are equal: then it may be done in place."""
    shape = d.shape("data", (2, 1, 3, 4, 5, 0))
    if d.choose((False, True)) and len(shape) > 1:
        shape = (max(2, shape[0]),) * len(shape)
    perm = d.choose((d.shuffled(range(len(shape))), OMIT)) if shape else OMIT
    return Layer((d.tensor("data", d.dtype("T"), shape),), {"perm": perm})


@space("Concat", MOVEMENT, since=4)
def concat(d: Draw) -> Layer:
    """One to four tensors that agree in all axes but one."""
    shape = d.shape("inputs", (2, 1, 3, 4))
    axis = d.axis(len(shape))
    dtype = d.dtype("T")
    parts = []
    for _ in range(d.choose((2, 1, 3, 4))):
        sizes = list(shape)
        options = d.sizes("inputs", (1, 2, 3, 0))
        sizes[axis] = d.choose(d.widths(options) if axis in (1, 1 - len(shape)) else options)
        parts.append(d.tensor("inputs", dtype, sizes, constant=None))
    return Layer(tuple(parts), {"axis": axis})
