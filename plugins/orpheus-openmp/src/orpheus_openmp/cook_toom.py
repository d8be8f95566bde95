"""Winograd's transforms F(m, r) from their interpolation points, and the C++ that applies them.

Y = A' [(G g) * (B' d)] computes m outputs of an r-tap filter with m + r - 1 multiplications (S. Winograd, Arithmetic
Complexity of Computations, 1980; A. Toom and S. Cook's interpolation, transposed). For points a_0 .. a_{n-2} and
infinity: row i of B' holds the coefficients of the product of (x - a_j) over j != i, the last row those of the product
over all; G's row i is (1, a_i, a_i^2, ..) over the value of that product at a_i, its last row selects the last tap;
column i of A' is (1, a_i, a_i^2, ..), its last column selects the last output.

The points decide the error: powers of sqrt(2) around 1 keep the coefficients near 1, and with them F(4, 3) errs about
as a direct sum does. At build time native/winograd_transforms.py writes them as C++, so that only the standard library
is used here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

_Matrix = list[list[float]]


@dataclass(frozen=True)
class Transform:
    """F(out, taps) by ``points`` and infinity; ValueError when their number does not fit.

    The matrices, B' [n, n], G [n, taps] and A' [out, n], are worked out when asked for, so that the import is short.
    ``fresh``: rows of G begin with 1 (but that of infinity), which are sooner computed; those of B' make up for it.
    """

    out: int
    taps: int
    points: tuple[float, ...]
    fresh: bool = False

    def __post_init__(self) -> None:
        wanted = self.out + self.taps - 2
        if len(self.points) != wanted or len(set(self.points)) != wanted:
            raise ValueError(
                f"F({self.out}, {self.taps}) needs {wanted} different points beside infinity, got {list(self.points)}"
            )

    @property
    def size(self) -> int:
        """Inputs, and multiplications, of one tile along one axis."""
        return self.out + self.taps - 1

    @cached_property
    def _scales(self) -> list[float]:
        """For each point the product of its distances from the others."""
        return [math.prod(a - b for b in self.points if b != a) for a in self.points]

    @cached_property
    def inputs(self) -> _Matrix:
        """B'."""
        divisors = self._scales if self.fresh else [1.0] * len(self.points)
        found = [
            [c / d for c in _expand([p for p in self.points if p != a])]
            for a, d in zip(self.points, divisors)
        ]
        return _exact([*([*row, 0.0] for row in found), _expand(self.points)])

    @cached_property
    def weights(self) -> _Matrix:
        """G."""
        divisors = [1.0] * len(self.points) if self.fresh else self._scales
        found = [[a**k / d for k in range(self.taps)] for a, d in zip(self.points, divisors)]
        return _exact([*found, [0.0] * (self.taps - 1) + [1.0]])

    @cached_property
    def outputs(self) -> _Matrix:
        """A'."""
        last = self.out - 1
        return _exact([[a**k for a in self.points] + [float(k == last)] for k in range(self.out)])


def _expand(roots: Sequence[float]) -> list[float]:
    """Coefficients, lowest power first, of the product of (x - root)."""
    found = [1.0]
    for root in roots:
        shifted = [0.0, *found]
        found = [s - root * c for s, c in zip(shifted, [*found, 0.0])]
    return found


def _exact(matrix: _Matrix) -> _Matrix:
    """Rounding of the last bits taken back where a multiple of 1/24 or of sqrt(2)/24 is meant."""

    def settle(value: float) -> float:
        for unit in (1 / 24, math.sqrt(2) / 24):
            count = round(value / unit)
            if abs(value - count * unit) < 1e-12:
                return count * unit if count else 0.0
        return value

    return [[settle(v) for v in row] for row in matrix]


def _symmetric(*points: float) -> tuple[float, ...]:
    return (0.0, *(sign * point for point in points for sign in (1.0, -1.0)))


_H = math.sqrt(0.5)
_R = math.sqrt(2.0)
#: By (out, taps). The points are those of the least error that was measured among symmetric sets of short fractions and
#: powers of sqrt(2); F(1, 1), infinity alone, is the identity.
TRANSFORMS = {
    (out, taps): Transform(out, taps, points)
    for out, taps, points in (
        (1, 1, ()),
        (1, 2, (0.0,)),
        (2, 2, (0.0, 1.0)),
        (3, 2, _symmetric(1.0)),
        (4, 2, _symmetric(1 / 2, 5 / 4)[1:]),
        (7, 2, _symmetric(1 / 2, 1.0, 2.0)),
        (2, 3, _symmetric(1.0)),
        (4, 3, _symmetric(_H, _R)),
        (5, 3, _symmetric(3 / 8, 7 / 8, 3 / 2)[1:]),
        (6, 3, _symmetric(1 / 2, 1.0, 2.0)),
        (4, 4, _symmetric(1 / 4, 1.0, 3 / 2)[1:]),
        (2, 5, _symmetric(_H, _R)),
        (4, 5, _symmetric(1 / 2, 1.0, 2.0)),
        (4, 7, _symmetric(1 / 2, 3 / 4, 5 / 4, 2.0)),
        (6, 7, _symmetric(3 / 8, 3 / 4, 1.0, 3 / 2, 5 / 2)),
    )
}
#: Those whose weights are transformed as they are used.
FRESH = {key: replace(TRANSFORMS[key], fresh=True) for key in ((4, 3), (5, 3))}


@dataclass(frozen=True)
class Form:
    """F(rows.out x cols.out, rows.taps x cols.taps): a transform for each axis.

    ``kernel`` is the size of the filters, ``factor`` the error that the kernel declares, in that of a direct sum;
    ``exact`` says that integers stay exact. With a ``step`` of 2 it is a convolution of that stride: tap k of an axis
    meets the inputs of phase k mod 2 only, so that each of the four phases of the input is convolved with its own taps
    with stride 1, half of them a side, and all are summed before the inverse.
    """

    rows: Transform
    cols: Transform
    kernel: tuple[int, int]
    factor: float
    step: int = 1
    exact: bool = False
    #: Whether its weights stay as they are and are transformed each time they are used.
    fly: bool = False

    @cached_property
    def phases(self) -> list[tuple[int, int]]:
        """First row and column of each phase, in an order in which those that meet an element are neighbours."""
        return [(0, 0)] if self.step == 1 else [(0, 1), (0, 0), (1, 0), (1, 1)]

    @cached_property
    def spans(self) -> list[tuple[int, int]]:
        """For each element the phases, first and end, that it sums over.

        A phase of one tap less than the others has a zero for its last tap, which is all that infinity's row selects.
        """
        row_odd, col_odd = (self.step == 2 and taps % 2 == 1 for taps in self.kernel)
        found = []
        for i in range(self.rows.size):
            for j in range(self.cols.size):
                no_row, no_col = row_odd and i == self.rows.size - 1, col_odd and j == self.cols.size - 1
                all_rows = 3 if no_col else len(self.phases)
                found.append((int(no_col), 2 if no_row else all_rows))
        return found

    @property
    def plain(self) -> bool:
        """Whether the input may also be plain. A 3x3 stem is faster by direct convolution."""
        return self.step == 2 and min(self.kernel) > 3

    @cached_property
    def products(self) -> int:
        """Multiplications of a tile, for each channel and filter."""
        return self.elements if self.step == 1 else sum(end - first for first, end in self.spans)

    @property
    def out(self) -> tuple[int, int]:
        """The outputs of a tile."""
        return self.rows.out, self.cols.out

    @property
    def elements(self) -> int:
        """Elements of a transformed tile."""
        return self.rows.size * self.cols.size


def _form(rows: tuple[int, int], cols: tuple[int, int], factor: float, step: int = 1) -> Form:
    """The form of (outputs, taps of the filters) of rows and columns."""
    down, across = (TRANSFORMS[out, -(-taps // step)] for out, taps in (rows, cols))
    return Form(down, across, (rows[1], cols[1]), factor, step, exact=factor == 2)


#: By the name of the kernel; the native side knows a form by its place here.
FORMS = {
    name: _form(rows, cols, factor, *step)
    for name, rows, cols, factor, *step in (
        ("winograd2", (2, 3), (2, 3), 2),
        ("winograd4", (4, 3), (4, 3), 4),
        ("winograd5", (5, 3), (5, 3), 8),
        ("winograd6", (6, 3), (6, 3), 32),
        ("winograd4x2", (4, 3), (2, 3), 4),
        ("winograd4_1x3", (1, 1), (4, 3), 4),
        ("winograd4_3x1", (4, 3), (1, 1), 4),
        ("winograd4_1x5", (1, 1), (4, 5), 8),
        ("winograd4_5x1", (4, 5), (1, 1), 8),
        ("winograd2_5x5", (2, 5), (2, 5), 4),
        ("winograd4_5x5", (4, 5), (4, 5), 16),
        ("winograd4_1x7", (1, 1), (4, 7), 16),
        ("winograd4_7x1", (4, 7), (1, 1), 16),
        ("winograd6_1x7", (1, 1), (6, 7), 32),
        ("winograd6_7x1", (6, 7), (1, 1), 32),
        ("winograd3_s2", (3, 3), (3, 3), 4, 2),
        ("winograd4_s2", (4, 3), (4, 3), 4, 2),
        ("winograd1x7_s2", (1, 3), (7, 3), 8, 2),
        ("winograd2x7_s2", (2, 3), (7, 3), 8, 2),
        ("winograd4x2_s2", (4, 3), (2, 3), 4, 2),
        ("winograd4_5x5_s2", (4, 5), (4, 5), 4, 2),
        ("winograd4_7x7_s2", (4, 7), (4, 7), 8, 2),
    )
}
FORMS |= {
    f"{name}_fly": replace(FORMS[name], rows=FRESH[axis], cols=FRESH[axis], fly=True)
    for name, axis in (("winograd4", (4, 3)), ("winograd5", (5, 3)))
}
