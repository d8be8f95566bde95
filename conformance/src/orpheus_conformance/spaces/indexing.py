"""Operators that read or write where indices say."""

from __future__ import annotations

import math
from typing import Any

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import DIMS, FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import MOVEMENT, Accumulation, Evidence, Tolerance, Ulps
from orpheus_core.types import DType


def _indices(
    d: Draw, name: str, dtype: str, shape: tuple[int, ...], size: int, *, negative: bool = True
) -> Operand:
    """Indices into an axis of ``size`` from either end; of shape with no elements when the axis has none."""
    low = -size if negative else 0
    values = tuple(d.integer(low, size - 1) for _ in range(math.prod(shape)))
    return Operand(dtype, shape, "normal", values, d.constant(name))


@space("Gather", MOVEMENT)
def gather(d: Draw) -> Layer:
    """Indices of any rank, from either end of any axis."""
    shape = d.shape("data", (2, 1, 3, 4))
    axis = d.axis(len(shape))
    sizes = d.sizes("indices", (1, 2, 3, 0))
    wanted = tuple(d.choose(sizes) for _ in range(d.choose((1, 0, 2, 3))))
    if not shape[axis]:
        wanted = (*wanted, 0)
    data = d.tensor("data", d.dtype("T"), shape, constant=None)
    indices = _indices(d, "indices", d.dtype("Tind"), wanted, shape[axis])
    return Layer((data, indices), {"axis": d.maybe("axis", axis, 0)})


def _beside(d: Draw, shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """A shape of indices for an elementwise gather or scatter: no longer than the data but along the axis."""
    lengths = [d.sizes("indices", sorted({n, min(n, 1), n // 2}, reverse=True)) for n in shape]
    found = [d.choose(options or (0,)) for options in lengths]
    found[axis] = d.choose(d.sizes("indices", (1, 2, 3, 5, 0))) if shape[axis] else 0
    return tuple(found)


@space("GatherElements", MOVEMENT)
def gather_elements(d: Draw) -> Layer:
    """One index for each element of the result."""
    shape = d.shape("data", (2, 1, 3))
    axis = d.axis(len(shape))
    indices = _indices(d, "indices", d.dtype("Tind"), _beside(d, shape, axis), shape[axis])
    return Layer((d.tensor("data", d.dtype("T"), shape), indices), {"axis": d.maybe("axis", axis, 0)})


def _tuples(
    d: Draw, addressed: tuple[int, ...], leading: tuple[int, ...], *, distinct: bool = False
) -> Operand:
    """Index tuples of shape ``leading + [len(addressed)]``."""
    seen: set[tuple[int, ...]] = set()
    values: list[int] = []
    rows = 0
    for _ in range(math.prod(leading)):
        place = tuple(d.integer(0, n - 1) for n in addressed)
        if distinct and place in seen:
            continue
        seen.add(place)
        rows += 1
        values += [p - n if d.flag() else p for p, n in zip(place, addressed)]
    if rows < math.prod(leading):
        leading = (rows,)
    return Operand("int64", (*leading, len(addressed)), "normal", tuple(values), d.constant("indices"))


@space("GatherND", MOVEMENT, since=12)
def gather_nd(d: Draw) -> Layer:
    """Tuples that address elements or slices, behind shared batch axes."""
    shape = d.shape("data", (2, 3, 1, 4), FULL_DIMS)
    batch = d.attribute("batch_dims", range(len(shape)))
    depth = d.integer(1, len(shape) - batch)
    sizes = d.sizes("indices", (1, 2, 3, 0))
    leading = (*shape[:batch], *(d.choose(sizes) for _ in range(d.choose((1, 0, 2)))))
    indices = _tuples(d, shape[batch : batch + depth], leading)
    return Layer(
        (d.tensor("data", d.dtype("T"), shape), indices), {"batch_dims": d.maybe("batch_dims", batch, 0)}
    )


def _reduction(d: Draw, options: tuple[str, ...] = ("none", "add", "mul", "max", "min")) -> tuple[Any, str]:
    """A reduction, and an element type that it is defined on."""
    reduction = d.attribute("reduction", options)
    forbidden = set() if reduction == "none" else {"bool", "string", "complex64", "complex128"}
    allowed = d.dtypes("T") - forbidden
    if not allowed:
        return "none", d.dtype("T")
    return reduction, d.dtype("T", allowed)


def _scattered(case: Case) -> Tolerance:
    reduction = case.attributes.get("reduction", "none")
    if reduction == "add":
        return Accumulation(_count)
    if reduction == "mul":
        return _PRODUCT
    return MOVEMENT


def _count(case: Case) -> int:
    updates = case.inputs[2]
    assert isinstance(updates, Operand)
    return math.prod(updates.shape) + 1


def _products(case: Case) -> float:
    return float(_count(case))


class _Product(Ulps):
    """A product of n factors: n roundings, each in the output's precision."""

    def bound(self, evidence: Evidence) -> Any:
        """``count`` ULPs for each factor."""
        bound = super().bound(evidence)
        return None if bound is None else bound * _products(evidence.case)


_PRODUCT = _Product(1.0, "one rounding for each factor", exact_integers=False)


@space("ScatterElements", _scattered, since=18)
def scatter_elements(d: Draw) -> Layer:
    """Distinct places where updates replace; any places where they are combined."""
    reduction, dtype = _reduction(d)
    return _scatter(
        d, dtype, {"reduction": d.maybe("reduction", reduction, "none")}, repeats=reduction != "none"
    )


@space("Scatter", MOVEMENT)
def scatter(d: Draw) -> Layer:
    """The older form of ScatterElements."""
    return _scatter(d, d.dtype("T"), {}, repeats=False)


def _scatter(d: Draw, dtype: str, attributes: dict[str, Any], *, repeats: bool) -> Layer:
    shape = d.shape("data", (2, 1, 3))
    axis = d.axis(len(shape))
    wanted = list(_beside(d, shape, axis))
    size = shape[axis]
    if not repeats:
        wanted[axis] = min(wanted[axis], size)
    place = axis % len(shape)
    outer, inner = math.prod(wanted[:place]), math.prod(wanted[place + 1 :])
    values = [0] * math.prod(wanted)
    for i in range(outer):
        for j in range(inner):
            if repeats:
                column = tuple(d.integer(-size, size - 1) for _ in range(wanted[axis]))
            else:
                kept = d.shuffled(range(size))[: wanted[axis]]
                column = tuple(p - size if d.flag() else p for p in kept)
            for k, p in enumerate(column):
                values[(i * wanted[axis] + k) * inner + j] = p
    indices = Operand(d.dtype("Tind"), tuple(wanted), "normal", tuple(values), d.constant("indices"))
    data, updates = (
        d.tensor(n, dtype, s, special=not repeats) for n, s in (("data", shape), ("updates", wanted))
    )
    return Layer((data, indices, updates), {"axis": d.maybe("axis", axis, 0), **attributes})


@space("ScatterND", _scattered, since=18)
def scatter_nd(d: Draw) -> Layer:
    """Elements or slices, at distinct places where updates replace."""
    reduction, dtype = _reduction(d)
    shape = d.shape("data", (2, 3, 1), FULL_DIMS)
    depth = d.integer(1, len(shape))
    leading = tuple(d.choose((1, 2, 3, 0)) for _ in range(d.choose((1, 2, 0))))
    indices = _tuples(d, shape[:depth], leading, distinct=reduction == "none")
    special = reduction == "none"
    data = d.tensor("data", dtype, shape, special=special)
    updates = d.tensor("updates", dtype, (*indices.shape[:-1], *shape[depth:]), special=special)
    return Layer((data, indices, updates), {"reduction": d.maybe("reduction", reduction, "none")})


@space("TensorScatter", MOVEMENT)
def tensor_scatter(d: Draw) -> Layer:
    """A cache of any rank from two, linear and circular, from the start or from given places."""
    mode = d.attribute("mode", ("linear", OMIT, "circular"))
    shape = list(d.shape("past_cache", (4, 3, 2), FULL_DIMS))
    rank = len(shape)
    axis = d.attribute("axis", [a for n in range(1, rank) for a in (n - rank, n)])
    capacity = shape[axis]
    length = d.integer(1, capacity)
    update = [*shape]
    update[axis] = length
    dtype = d.dtype("T")
    past, new = d.tensor("past_cache", dtype, shape), d.tensor("update", dtype, update)
    attributes = {"axis": d.maybe("axis", axis, -2), "mode": mode}
    if d.flag():
        return Layer((past, new), attributes)
    last = capacity - length if mode != "circular" else capacity - 1
    starts = [d.integer(0, last) for _ in range(shape[0])]
    return Layer((past, new, d.data("write_indices", "int64", starts)), attributes)


@space("Compress", MOVEMENT, since=9)
def compress(d: Draw) -> Layer:
    """A condition as long as the axis, or shorter; the flattened tensor without an axis."""
    shape = d.shape("input", (2, 1, 3, 4), DIMS)
    options: tuple[Any, ...] = (OMIT, d.axis(len(shape)))
    axis = d.choose(options)
    length = math.prod(shape) if axis is OMIT else shape[axis]
    kept = d.integer(0, min(length, 12))
    condition = d.data("condition", "bool", [d.flag() for _ in range(kept)])
    return Layer((d.tensor("input", d.dtype("T"), shape), condition), {"axis": axis})


@space("OneHot", MOVEMENT, since=9)
def one_hot(d: Draw) -> Layer:
    """Indices in range from either end, and out of range; a new axis anywhere."""
    shape = tuple(d.choose((2, 1, 3, 0)) for _ in range(d.choose((1, 2, 3))))
    depth = d.choose((3, 1, 2, 5))
    kind = d.dtype("T1")
    low = 0 if kind.startswith("u") else -depth - 2
    values: tuple[float, ...] = tuple(d.integer(low, depth + 2) for _ in range(math.prod(shape)))
    if DType(kind).is_float:
        values = tuple(map(float, values))
    indices = Operand(kind, shape, "normal", values, d.constant("indices"))
    count = d.dtype("T2")
    size = float(depth) if DType(count).is_float else depth
    axis = d.attribute("axis", (-1, *range(len(shape) + 1), *range(-len(shape) - 1, -1)))
    depth_shape = d.choose(((), (1,)))
    counted = Operand(count, depth_shape, "normal", (size,), d.constant("depth"))
    return Layer(
        (indices, counted, d.tensor("values", d.dtype("T3"), (2,))), {"axis": d.maybe("axis", axis, -1)}
    )
