"""Concat of blocked tensors along the channels; the native sides are native/kernels/reorder.cpp and move.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem, Step
from orpheus_openmp import isa as isas
from orpheus_openmp.layer import Layer, checked, raw, seal, static
from orpheus_openmp.movement import Concat
from orpheus_openmp.moves import fill
from orpheus_openmp.strided import Piece, View, blocked_pads, tables


def concat(problem: Problem, isa: str | None = None) -> Layer:
    """Whole blocks are copied in one piece; channels that begin inside of a block lane by lane."""
    block = isas.tile(isa or isas.current())[0]
    whole = all(start % block == 0 for start in starts(problem))
    return Concat(problem, isa) if whole else Splice(problem, isa)


def starts(problem: Problem) -> list[int]:
    """The channel of the output that each input begins with."""
    channels = [static(type_, "Concat")[1] for type_ in problem.inputs]
    return [0, *np.cumsum(channels[:-1]).tolist()]


class Splice(Layer):
    """Of each input at most two runs of lanes a block, since it may begin and end inside of blocks."""

    kernel = "move"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        y = self.output_shape()
        boxes = [spliced(self.input_shape(i), y, at, self.block) for i, at in enumerate(starts(problem))]
        pads = blocked_pads(y, self.block)
        if pads is not None:
            boxes[-1].append(fill(pads))
        self.tables = [(tables(pieces), len(pieces)) for pieces in boxes]
        self.zero = raw(np.zeros(1, np.float32))

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One native call that fills the output from each input."""
        target = raw(checked(outputs[0], self.problem.outputs[0], "Concat y", written=True))
        steps = []
        for array, type_, (table, count) in zip(inputs, self.problem.inputs, self.tables):
            bound = {"x": raw(checked(array, type_, "Concat x")), "y": target}
            steps.append(self.step(bound, pieces=count, width=4, table=table, value=self.zero))
        return seal(steps)


def spliced(x: Sequence[int], y: Sequence[int], start: int, block: int) -> list[Piece]:
    """The boxes that put channels ``x`` [N, C, ...] from channel ``start`` of ``y`` on, both in blocks."""
    lanes = len(x)
    source, target = (View.of((s[0], -(-s[1] // block), *s[2:], block)) for s in (x, y))
    first, shift = divmod(start, block)
    blocks, tail = divmod(x[1], block)
    found = []
    # Lanes [begin, end) of block i lie in block first + i + over, moved by the shift.
    for begin, end, over in ((0, block - shift, 0), (block - shift, block, 1)):
        for at, count, stop in ((0, blocks, end), (blocks, 1, min(end, tail))):
            if count == 0 or stop <= begin:
                continue
            moved = begin + shift - over * block
            found.append(
                Piece(
                    source.sliced(1, at, count).sliced(lanes, begin, stop - begin),
                    target.sliced(1, first + at + over, count).sliced(lanes, moved, stop - begin),
                )
            )
    return found
