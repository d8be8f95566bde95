"""Winograd's transforms from their interpolation points, and what applies them to ``vec``, in OpenCL C or CUDA C++.

Y = A' [(G g) * (B' d)] computes m outputs of an r-tap filter with n = m + r - 1 multiplications (S. Winograd,
Arithmetic Complexity of Computations, 1980). With V_k the values of polynomials of k coefficients at n - 1 points and
infinity, products of polynomials are V_n^-1 ((V_m a) * (V_r b)); transposed, that is a correlation, with A' = V_m',
G = V_r and B' = V_n^-1'. Rows of B' are scaled so that they are the coefficients of products of (x - point), G by the
inverse. Points come in pairs of opposite sign, whose rows differ in the signs of every second coefficient only: half of
the work serves both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import numpy as np

from orpheus_core.types import Array


@dataclass(frozen=True)
class Transform:
    """F(out, taps) by ``points`` and infinity: a zero first, then pairs of opposite sign."""

    out: int
    taps: int
    points: tuple[float, ...]

    @property
    def size(self) -> int:
        """Inputs, and multiplications, of one tile along one axis."""
        return self.out + self.taps - 1

    def _values(self, count: int) -> Array:
        """[size, count]: what a polynomial of so many coefficients is at the points; at infinity it is the last one."""
        last = np.eye(1, count, count - 1)
        return np.vstack([np.vander(self.points, count, increasing=True), last]) if self.points else last

    @cached_property
    def _scale(self) -> Array:
        points = np.array(self.points)
        apart = points[:, None] - points + np.eye(len(points))
        return np.append(np.prod(apart, axis=1), 1.0)[:, None]

    @property
    def inputs(self) -> Array:
        """B' [size, size]."""
        found: Array = np.linalg.inv(self._values(self.size)).T * self._scale
        return found

    @property
    def weights(self) -> Array:
        """G [size, taps]."""
        found: Array = self._values(self.taps) / self._scale
        return found

    @property
    def outputs(self) -> Array:
        """A' [out, size]."""
        return self._values(self.out).T

    @property
    def _pairs(self) -> range:
        """The first of each pair of points."""
        return range(1, len(self.points), 2)

    def input_lines(self) -> list[str]:
        """Statements for o = B' d."""
        matrix, names = self.inputs, [f"d[{k}]" for k in range(self.size)]
        lines = [f"o[{i}] = {_sum(matrix[i], names)};" for i in sorted({0, self.size - 1})]
        for i in self._pairs:
            same, flipped = (matrix[i] + matrix[i + 1]) / 2, (matrix[i] - matrix[i + 1]) / 2
            lines.append(f"const vec s{i} = {_sum(same, names)}, t{i} = {_sum(flipped, names)};")
            lines.append(f"o[{i}] = s{i} + t{i};")
            lines.append(f"o[{i + 1}] = s{i} - t{i};")
        return lines

    def output_lines(self) -> list[str]:
        """Statements for o = A' d."""
        matrix, lines = self.outputs, []
        names, columns = [f"d[{k}]" for k in range(self.size)], list(matrix.T)
        for i in self._pairs:
            lines.append(f"const vec s{i} = d[{i}] + d[{i + 1}], t{i} = d[{i}] - d[{i + 1}];")
            names[i], names[i + 1] = f"s{i}", f"t{i}"
            columns[i], columns[i + 1] = (columns[i] + columns[i + 1]) / 2, (columns[i] - columns[i + 1]) / 2
        return lines + [f"o[{k}] = {_sum([c[k] for c in columns], names)};" for k in range(self.out)]


def _sum(coefficients: Sequence[float] | Array, names: Sequence[str]) -> str:
    """The expression of a weighted sum, unit coefficients without a multiplication."""
    # What should be zero or one may be off by the last bits of float64.
    terms = [(np.float32(c), name) for c, name in zip(coefficients, names) if abs(c) > 1e-9]
    first, text = min(terms, key=lambda term: term[0] != 1)
    terms.remove((first, text))
    text = text if first == 1 else f"{first!s}f * {text}"
    for c, name in terms:
        text = (
            f"{text} {'+' if c > 0 else '-'} {name}" if abs(c) == 1 else f"fma((vec)({c!s}f), {name}, {text})"
        )
    return text


_H, _R = sqrt(0.5), sqrt(2.0)


def _around(*points: float) -> tuple[float, ...]:
    return (0.0, *(sign * point for point in points for sign in (1.0, -1.0)))


#: Points by the number of products. They decide the error: these keep the coefficients near 1. F(1, 1) is the identity.
_POINTS = {1: (), 4: _around(1.0), 6: _around(_H, _R), 10: _around(0.5, 0.75, 1.25, 2.0)}


@dataclass(frozen=True)
class Form:
    """F(rows.out x cols.out, rows.taps x cols.taps); ``factor``: its error in that of a direct sum."""

    rows: Transform
    cols: Transform
    factor: float

    @property
    def kernel(self) -> tuple[int, int]:
        """The size of the filters."""
        return self.rows.taps, self.cols.taps

    @property
    def elements(self) -> int:
        """Elements, and products for each channel and filter, of a transformed tile."""
        return self.rows.size * self.cols.size

    def weights(self, filters: Array) -> Array:
        """[..., kh, kw] as [elements, ...]."""
        both = np.kron(self.rows.weights, self.cols.weights)
        flat = filters.reshape(-1, both.shape[1]).astype(np.float64)
        found: Array = (both @ flat.T).astype(np.float32).reshape(-1, *filters.shape[:-2])
        return found

    def source(self) -> str:
        """Definitions: sizes, and the transforms of each axis as functions of arrays of vectors."""
        parts = [f"#define OH {self.rows.out}", f"#define OW {self.cols.out}"]
        parts += [f"#define NH {self.rows.size}", f"#define NW {self.cols.size}"]
        for axis, found in (("rows", self.rows), ("columns", self.cols)):
            for way, lines in (("inputs", found.input_lines()), ("outputs", found.output_lines())):
                body = " ".join(lines)
                parts.append(f"#define {axis}_{way}(d, o) {{ {body} }}")
        return "\n".join(parts)


def _form(rows: tuple[int, int], cols: tuple[int, int], factor: float) -> Form:
    down, across = (Transform(out, taps, _POINTS[out + taps - 1]) for out, taps in (rows, cols))
    return Form(down, across, factor)


#: By the name of the kernel: outputs and taps of rows and of columns, and the factor.
FORMS = {
    name: _form(rows, cols, factor)
    for name, rows, cols, factor in (
        ("winograd2", (2, 3), (2, 3), 2),
        ("winograd4", (4, 3), (4, 3), 4),
        ("winograd4_1x3", (1, 1), (4, 3), 4),
        ("winograd4_3x1", (4, 3), (1, 1), 4),
        ("winograd2_5x5", (2, 5), (2, 5), 4),
        ("winograd4_1x7", (1, 1), (4, 7), 16),
        ("winograd4_7x1", (4, 7), (1, 1), 16),
    )
}
