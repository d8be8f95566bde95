"""Facts about shapes, and other shapes of the same elements: equal bits."""

from __future__ import annotations

import math

from orpheus_conformance.draw import DIMS, FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import MOVEMENT

_RANKS = (2, 1, 3, 0, 4, 5)


@space("Shape", MOVEMENT, since=15)
def shape_(d: Draw) -> Layer:
    """Bounds beyond either end of the rank are clamped."""
    shape = d.shape("data", _RANKS)
    bounds = {name: d.attribute(name, (OMIT, 0, 1, 2, -1, -2, 9, -9)) for name in ("start", "end")}
    return Layer((d.tensor("data", d.dtype("T"), shape),), bounds)


@space("Size", MOVEMENT)
def size(d: Draw) -> Layer:
    """The number of elements."""
    return Layer((d.tensor("data", d.dtype("T"), d.shape("data", _RANKS)),))


@space("Reshape", MOVEMENT, since=5)
def reshape(d: Draw) -> Layer:
    """Axes joined, ones added, and dimensions written as such, as 0 (copied) or as -1 (inferred)."""
    shape = d.shape("data", _RANKS)
    wanted = _regrouped(d, shape)
    literal = d.attribute("allowzero", (0, 1)) == 1
    if not literal:
        if any(n == 0 and shape[i : i + 1] != (0,) for i, n in enumerate(wanted)):
            wanted = list(shape)  # there is no other way to write an empty dimension
        wanted = [0 if shape[i : i + 1] == (n,) and (n == 0 or d.flag()) else n for i, n in enumerate(wanted)]
    if math.prod(shape) and wanted and d.flag():
        wanted[d.integer(0, len(wanted) - 1)] = -1
    data = d.tensor("data", d.dtype("T"), shape)
    return Layer(
        (data, d.data("shape", "int64", wanted)), {"allowzero": d.maybe("allowzero", int(literal), 0)}
    )


def _regrouped(d: Draw, shape: tuple[int, ...]) -> list[int]:
    """A shape of as many elements."""
    wanted: list[int] = []
    for n in d.shuffled(shape):
        if wanted and d.flag():
            wanted[-1] *= n
        else:
            wanted.append(n)
    if d.flag():
        wanted.insert(d.integer(0, len(wanted)), 1)
    return wanted if wanted != [1] or shape else []


@space("Flatten", MOVEMENT)
def flatten(d: Draw) -> Layer:
    """Every axis, the ends of the shape included."""
    shape = d.shape("input", _RANKS)
    rank = len(shape)
    axis = d.attribute("axis", (*range(rank + 1), *range(-rank, 0)))
    return Layer((d.tensor("input", d.dtype("T"), shape),), {"axis": d.maybe("axis", axis, 1)})


@space("Squeeze", MOVEMENT, since=13)
def squeeze(d: Draw) -> Layer:
    """Some of the axes of size one, or all of them."""
    shape = d.shape("data", _RANKS, (1, 2, 3, 0))
    data = d.tensor("data", d.dtype("T"), shape)
    ones = [a for a, n in enumerate(shape) if n == 1]
    if not ones or d.flag():
        return Layer((data,))
    axes = [a - len(shape) if d.flag() else a for a in d.subset(ones, 1)]
    return Layer((data, d.data("axes", "int64", axes)))


@space("Unsqueeze", MOVEMENT, since=13)
def unsqueeze(d: Draw) -> Layer:
    """Axes of the output, in any order, from either end."""
    shape = d.shape("data", (2, 1, 3, 0, 4))
    count = d.choose((1, 2, 3))
    axes = d.subset(range(len(shape) + count), count)[:count]
    rank = len(shape) + len(axes)
    axes = tuple(a - rank if d.flag() else a for a in axes)
    return Layer((d.tensor("data", d.dtype("T"), shape), d.data("axes", "int64", axes)))


@space("Expand", MOVEMENT, since=8)
def expand(d: Draw) -> Layer:
    """Broadcasting in both directions: a one in ``shape`` keeps the axis of the data, more axes may come first."""
    whole = d.shape("input", (2, 1, 3, 4, 0))
    shape = d.broadcastable(whole)
    wanted = [
        d.choose((n, 1)) if own == n else n for n, own in zip(whole, (1,) * (len(whole) - len(shape)) + shape)
    ]
    wanted = wanted[d.integer(0, len(whole) - len(shape)) if d.flag() else 0 :]
    return Layer((d.tensor("input", d.dtype("T"), shape), d.data("shape", "int64", wanted)))


@space("Tile", MOVEMENT, since=6)
def tile(d: Draw) -> Layer:
    """Repeats of none, one and more along each axis."""
    shape = d.shape("input", (2, 1, 3, 4, 0), (*FULL_DIMS, 0))
    repeats = [d.choose(d.sizes("output", (1, 2, 3, 0))) for _ in shape]
    return Layer((d.tensor("input", d.dtype("T"), shape), d.data("repeats", "int64", repeats)))


@space("ConstantOfShape", MOVEMENT, since=9)
def constant_of_shape(d: Draw) -> Layer:
    """Every element type that a value may have; zeros of float32 without one."""
    shape = tuple(d.choose(DIMS) for _ in range(d.choose((2, 1, 3, 0))))
    value = d.choose((OMIT, d.tensor("value", d.dtype("T2"), (1,), constant=True)))
    return Layer((d.data("input", "int64", shape),), {"value": value})
