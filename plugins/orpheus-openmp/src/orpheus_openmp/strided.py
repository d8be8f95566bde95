"""Views of memory as strides and lists, and boxes of elements between two of them; see native/strided.hpp."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from orpheus_core.types import Array

#: Dimensions a box may have once it is collapsed; native/strided.hpp.
MAX_RANK = 8
Ints = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """Elements at ``offset + sum(index * stride)``, or where ``lists`` says along a dimension that has one."""

    sizes: Ints
    strides: Ints
    offset: int = 0
    lists: tuple[Ints | None, ...] = ()

    @classmethod
    def of(cls, shape: Sequence[int]) -> View:
        """All of a contiguous array."""
        strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
        return cls(tuple(shape), tuple(strides), 0, (None,) * len(shape))

    def permuted(self, order: Iterable[int]) -> View:
        """Dimensions in another order."""
        order = tuple(order)
        parts = (self.sizes, self.strides, self.lists)
        sizes, strides, lists = (tuple(part[d] for d in order) for part in parts)
        return View(sizes, strides, self.offset, lists)  # type: ignore[arg-type]

    def sliced(self, axis: int, start: int, count: int, step: int = 1) -> View:
        """``count`` elements of a dimension, from ``start`` on."""
        return self._with(axis, count, self.strides[axis] * step, None, start * self.strides[axis])

    def taken(self, axis: int, positions: Sequence[int]) -> View:
        """The elements of a dimension at ``positions``."""
        steps = {b - a for a, b in pairwise(positions)}
        if len(steps) <= 1:
            return self.sliced(axis, positions[0], len(positions), steps.pop() if steps else 1)
        stride = self.strides[axis]
        return self._with(axis, len(positions), stride, tuple(p * stride for p in positions), 0)

    def split(self, axis: int, *inner: int) -> View:
        """One dimension as several, the last ones of sizes ``inner``."""
        sizes = (self.sizes[axis] // math.prod(inner), *inner)
        strides = tuple(self.strides[axis] * math.prod(sizes[i + 1 :]) for i in range(len(sizes)))
        return View(
            self.sizes[:axis] + sizes + self.sizes[axis + 1 :],
            self.strides[:axis] + strides + self.strides[axis + 1 :],
            self.offset,
            self.lists[:axis] + (None,) * len(sizes) + self.lists[axis + 1 :],
        )

    def broadcast(self, shape: Sequence[int]) -> View:
        """As numpy broadcasts: dimensions of size 1 repeat."""
        new = len(shape) - len(self.sizes)
        strides = tuple(0 if size == 1 else stride for size, stride in zip(self.sizes, self.strides))
        return View(tuple(shape), (0,) * new + strides, self.offset, (None,) * new + self.lists)

    def _with(self, axis: int, size: int, stride: int, positions: Ints | None, offset: int) -> View:
        def put(values: tuple, value: object) -> tuple:  # type: ignore[type-arg]
            return (*values[:axis], value, *values[axis + 1 :])

        return replace(
            self, sizes=put(self.sizes, size), strides=put(self.strides, stride),
            lists=put(self.lists, positions), offset=self.offset + offset,
        )  # fmt: skip


@dataclass(frozen=True)
class Dimension:
    """One dimension of a box: its size, a stride for each operand, and operand 0's list."""

    size: int
    strides: Ints
    positions: Ints | None = None


def collapsed(*views: View) -> list[Dimension]:
    """The dimensions of a box of equal-sized views: those of size 1 left out, neighbours joined where all allow it.

    Only the first view may have lists. The last view's strides order them, the largest first.
    """
    sizes = views[0].sizes
    assert all(view.sizes == sizes for view in views)
    found = [
        Dimension(size, tuple(view.strides[d] for view in views), views[0].lists[d])
        for d, size in enumerate(sizes)
        if size != 1
    ]
    offset_lists = [d for d, size in enumerate(sizes) if size == 1 and views[0].lists[d]]
    assert not offset_lists, "a list of one position is an offset"
    found.sort(key=lambda dimension: -abs(dimension.strides[-1]))
    joined: list[Dimension] = []
    for inner in found:
        outer = joined[-1] if joined else None
        fits = outer is not None and outer.positions is None and inner.positions is None
        if outer is not None and fits and outer.strides == tuple(s * inner.size for s in inner.strides):
            joined[-1] = Dimension(outer.size * inner.size, inner.strides)
        else:
            joined.append(inner)
    return joined or [Dimension(1, (1,) * len(views))]


def table_of(dimensions: Sequence[Dimension], before: int = 0) -> list[int]:
    """A box as the kernels read it: sizes, places of lists, strides by operand, then the lists.

    Places count from ``before`` integers ahead of the table.
    """
    rank, operands = len(dimensions), len(dimensions[0].strides)
    lists: list[int] = []
    places = []
    for dimension in dimensions:
        places.append(0 if dimension.positions is None else before + (2 + operands) * rank + len(lists))
        lists += dimension.positions or ()
    strides = [d.strides[operand] for operand in range(operands) for d in dimensions]
    return [*(d.size for d in dimensions), *places, *strides, *lists]


@dataclass(frozen=True)
class Piece:
    """A box of elements that ``x`` and ``y`` name one by one; ``constant``: x is a view of the value, not the input."""

    x: View
    y: View
    constant: bool = False

    def table(self) -> list[int]:
        """As native/kernels/move.cpp reads it."""
        dimensions = collapsed(self.x, self.y)
        last = dimensions[-1]
        tiled = False
        if last.positions is None and last.strides[0] not in (0, 1):
            along = [d for d in dimensions[:-1] if d.strides[0] == 1 and d.positions is None]
            if along:
                dimensions = [d for d in dimensions[:-1] if d is not along[0]] + [along[0], last]
                tiled = True
        header = 6
        box = table_of(dimensions, header)
        return [
            header + len(box), len(dimensions), int(self.constant), int(tiled), self.x.offset, self.y.offset, *box,
        ]  # fmt: skip


def tables(pieces: Sequence[Piece]) -> Array:
    """The table of a list of pieces."""
    return np.array([number for piece in pieces for number in piece.table()], np.int64)


def rank_of(pieces: Iterable[Piece]) -> int:
    """The largest number of dimensions of any piece's box."""
    return max((len(collapsed(piece.x, piece.y)) for piece in pieces), default=1)


def plain_to_blocked(plain: View, shape: Sequence[int], block: int) -> list[tuple[View, View]]:
    """Pairs (plain, blocked) of views of one tensor: its whole blocks, and what is in the last one.

    ``plain`` has the dimensions N, C, ... of ``shape`` in any memory order; the blocked side is a contiguous NCHWc.
    """
    blocks, tail = divmod(shape[1], block)
    memory = View.of((shape[0], -(-shape[1] // block), *shape[2:], block))
    lanes = len(shape)
    inward = (0, 1, lanes, *range(2, lanes))  # N, blocks, lanes, ...
    pairs = []
    if blocks:
        whole = memory.sliced(1, 0, blocks).permuted(inward)
        pairs.append((plain.sliced(1, 0, blocks * block).split(1, block), whole))
    if tail:
        part = memory.sliced(1, blocks, 1).sliced(lanes, 0, tail).permuted(inward)
        pairs.append((plain.sliced(1, blocks * block, tail).split(1, tail), part))
    return pairs


def blocked_pads(shape: Sequence[int], block: int) -> View | None:
    """The lanes of the last block that no channel fills, in a contiguous NCHWc; None where there are none."""
    blocks, tail = divmod(shape[1], block)
    if not tail:
        return None
    memory = View.of((shape[0], blocks + 1, *shape[2:], block))
    return memory.sliced(1, blocks, 1).sliced(len(shape), tail, block - tail)
