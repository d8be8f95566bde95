"""Matrix products with fewer multiplications as data: Strassen's algorithm, its square, and the C++ that runs them.

A bilinear algorithm of side s multiplies s x s blocks, C = A B, with fewer than s**3 products: product r is the sum of
``left[r]`` over A's blocks times the sum of ``right[r]`` over B's (row-major, as C's). The one of side 2 is Winograd's
form of Strassen's algorithm: 7 products and 15 additions (V. Strassen, Gaussian elimination is not optimal, 1969;
N. Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 23.2). Two levels are its Kronecker square, 49
products of side 4.

Its common sums make a program for one register tile that holds the accumulators: the next product is added on top of
them, so that a block of C costs one store and not one for every product in which it takes part. ``program`` lists
(operation, argument): ``fresh`` clears the accumulators, ``product`` r adds a product to them, ``add`` and ``store``
move them from and to a slot, ``out`` q finishes block q of C. Run as a script, this writes the algorithms as C++ (at
build time; only the standard library is used here).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

Instruction = tuple[str, int]
_Row = tuple[int, ...]


@dataclass(frozen=True)
class Algorithm:
    """One bilinear algorithm: ``left`` and ``right`` [products, side * side], and the program of its outputs."""

    side: int
    left: tuple[_Row, ...]
    right: tuple[_Row, ...]
    program: tuple[Instruction, ...]

    @property
    def products(self) -> int:
        """Multiplications of blocks."""
        return len(self.left)

    @property
    def slots(self) -> int:
        """Places in which the program keeps accumulators."""
        return 1 + max((at for name, at in self.program if name in ("add", "store")), default=-1)

    @cached_property
    def moves(self) -> int:
        """How often the program moves accumulators from or to a slot."""
        return sum(name in ("add", "store") for name, _ in self.program)

    def least(self, block: int, vectors: int) -> tuple[int, int]:
        """The fewest channels and filters of which blocks are left for fewer products."""
        return (self.side - 1) * block + 1, (self.side * vectors - 1) * block + 1

    @cached_property
    def formed(self) -> tuple[int, ...]:
        """For each product the place of its left sum among those that are sums; -1 - k where it is block k itself."""
        found, count = [], 0
        for row in self.left:
            if sum(map(abs, row)) == 1 and max(row) == 1:
                found.append(-1 - row.index(1))
            else:
                found.append(count)
                count += 1
        return tuple(found)


#: The ordinary product, for what an algorithm's blocks leave over.
PLAIN = Algorithm(1, ((1,),), ((1,),), (("fresh", 0), ("product", 0), ("out", 0)))

# Products in the order of the program; blocks 11, 12, 21, 22.
_PRODUCTS: tuple[tuple[_Row, _Row], ...] = (
    ((1, 0, 0, 0), (1, 0, 0, 0)),
    ((0, 1, 0, 0), (0, 0, 1, 0)),
    ((-1, 0, 1, 1), (1, -1, 0, 1)),
    ((1, 0, -1, 0), (0, -1, 0, 1)),
    ((0, 0, 0, 1), (-1, 1, 1, -1)),
    ((0, 0, 1, 1), (-1, 1, 0, 0)),
    ((1, 1, -1, -1), (0, 0, 0, 1)),
)
_PROGRAM: tuple[Instruction, ...] = (
    ("fresh", 0), ("product", 0), ("store", 0),
    ("product", 1), ("out", 0),
    ("fresh", 0), ("product", 2), ("add", 0), ("store", 1),
    ("product", 3), ("store", 2),
    ("product", 4), ("out", 2),
    ("fresh", 0), ("product", 5), ("store", 0), ("add", 1), ("store", 1),
    ("product", 6), ("out", 1),
    ("fresh", 0), ("add", 0), ("add", 2), ("out", 3),
)  # fmt: skip


def square(base: Algorithm) -> Algorithm:
    """The algorithm of twice the levels: every product of blocks is computed by ``base`` again."""
    side = base.side

    def kronecker(rows: Sequence[_Row]) -> tuple[_Row, ...]:
        return tuple(
            tuple(
                a[i // side * side + j // side] * b[i % side * side + j % side]
                for i in range(side**2)
                for j in range(side**2)
            )
            for a in rows
            for b in rows
        )

    return Algorithm(side**2, kronecker(base.left), kronecker(base.right), tuple(_nested(base)))


def _nested(base: Algorithm) -> list[Instruction]:
    """``base``'s program on accumulators of side * side blocks each, whose products are ``base``'s program again.

    They do not fit into the registers: where the outer program goes on from what it has just stored, the inner one adds
    it from its slot. Base's program stores before it goes on, except after ``out``, where it starts afresh.
    """
    side, cells = base.side, base.side**2

    def block(outer: int, inner: int) -> int:
        row = outer // side * side + inner // side
        return row * cells + outer % side * side + inner % side

    found: list[Instruction] = []
    for start, product, actions in _stages(base.program):
        inner = [("out", q) for q in range(cells)] if product is None else list(base.program)
        for name, at in inner:
            if name == "product":
                found.append((name, product * base.products + at if product is not None else at))
            elif name != "out":
                found.append((name, at))
            else:
                if product is None:
                    found.append(("fresh", 0))
                for action, place in ([] if start is None else [("add", start)]) + actions:
                    slots = base.slots + place * cells + at
                    found.append((action, block(place, at) if action == "out" else slots))
    return found


def _stages(program: Sequence[Instruction]) -> list[tuple[int | None, int | None, list[Instruction]]]:
    """A program as (slot from which it goes on, product, what is done with the sum)."""
    stages: list[tuple[int | None, int | None, list[Instruction]]] = []
    last: Instruction = ("fresh", 0)
    for name, at in program:
        if name == "fresh":
            stages.append((None, None, []))
        elif name == "product":
            if last[0] == "fresh":
                stages[-1] = (None, at, [])
            elif last[0] == "store":
                stages.append((last[1], at, []))
            else:
                raise ValueError(f"the program goes on after {last[0]} without a store")
        else:
            stages[-1][2].append((name, at))
        last = (name, at)
    return stages


STRASSEN = Algorithm(2, tuple(a for a, _ in _PRODUCTS), tuple(b for _, b in _PRODUCTS), _PROGRAM)
STRASSEN2 = square(STRASSEN)
#: By the name of the kernel.
ALGORITHMS = {"strassen": STRASSEN, "strassen2": STRASSEN2}


def source(name: str, found: Algorithm) -> str:
    """A C++ struct with the algorithm's numbers, its program, and ``input``, which forms the left sums.

    A product that the program runs as number products + q is what blocks that are left over add to block q of C.
    """
    program = []
    for operation, at in found.program:
        if operation == "out":
            program.append(f"{{Op::product, {found.products + at}}}")
        program.append(f"{{Op::{operation}, {at}}}")
    formed = ", ".join(map(str, found.formed))
    return f"""struct {name} {{
    static constexpr int side = {found.side}, products = {found.products}, slots = {found.slots};
    static constexpr int sums = {1 + max(-1, *found.formed)};
    static constexpr int formed[products] = {{{formed}}};
    static constexpr Instruction program[] = {{
        {", ".join(program)}}};
    static ORPHEUS_INLINE void input([[maybe_unused]] const Vec* d, [[maybe_unused]] Vec* o) {{
{_sums(found)}
    }}
}};
"""


def _sums(found: Algorithm) -> str:
    """Statements that form every left sum, each from earlier ones where that takes fewer additions."""
    cells = range(found.side**2)
    known: list[tuple[_Row, str]] = [(tuple(int(i == k) for i in cells), f"d[{k}]") for k in cells]
    lines: list[str] = []
    for row, at in sorted(zip(found.left, found.formed), key=lambda entry: sum(map(abs, entry[0]))):
        if at >= 0:
            terms = min((_terms(row, first, known) for first in known), key=len)
            lines.append(f"        o[{at}] = {' '.join(terms)};")
            known.append((row, f"o[{at}]"))
    return "\n".join(lines)


def _terms(row: _Row, first: tuple[_Row, str], known: Sequence[tuple[_Row, str]]) -> list[str]:
    """``row`` as ``first`` and what is nearest to the rest among the known rows and their negatives, one by one."""
    terms = [first[1]]
    rest = tuple(a - b for a, b in zip(row, first[0]))
    while any(rest):
        choices = [
            (tuple(r - sign * k for r, k in zip(rest, other)), f"{'+' if sign > 0 else '-'} {name}")
            for other, name in known
            for sign in (1, -1)
        ]
        rest, term = min(choices, key=lambda choice: sum(map(abs, choice[0])))
        terms.append(term)
    return terms


def main(path: str) -> None:
    """Write every algorithm to ``path``."""
    names = {"Plain": PLAIN, "Strassen": STRASSEN, "Strassen2": STRASSEN2}
    text = "// Generated by bilinear.py; not to be edited.\n\n"
    with open(path, "w", encoding="utf-8") as file:
        file.write(text + "\n".join(source(name, found) for name, found in names.items()))


if __name__ == "__main__":
    main(sys.argv[1])
