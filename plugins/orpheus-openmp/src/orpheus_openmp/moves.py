"""Operators that only move elements, as boxes from one view of memory to another; native/kernels/move.cpp.

Each function of the table below gives, for every output of a node, the boxes that fill it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from orpheus_core.geometry.sampling import resampled
from orpheus_core.geometry.slices import slice_of
from orpheus_core.plugin import Problem, Step
from orpheus_core.types import Array, TensorType
from orpheus_openmp.layer import Layer, checked, raw, seal, static
from orpheus_openmp.strided import Piece, View, blocked_pads, plain_to_blocked, tables

Pieces = list[Piece]


class Move(Layer):
    """One native step for each output."""

    kernel = "move"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.tables = [(tables(pieces), len(pieces)) for pieces in pieces_of(problem)]
        self.packed = tuple(sorted(problem.constants)) if 0 not in problem.constants else ()
        self.value = raw(np.ascontiguousarray(fill_value(problem)))

    def bind(self, inputs: Sequence[Any], outputs: Sequence[Any], workspace: Any | None) -> Step:
        """One call that fills every output from the first input."""
        problem = self.problem
        source = raw(checked(inputs[0], problem.inputs[0], f"{problem.op} x"))
        value = self.value
        if problem.op == "Pad" and self.has(2) and 2 not in problem.constants:
            value = raw(checked(inputs[2], problem.inputs[2], "Pad constant_value"))
        steps = []
        for array, type_, (table, count) in zip(outputs, problem.outputs, self.tables):
            target = checked(array, type_, f"{problem.op} y", written=True)
            values = {"pieces": count, "width": target.itemsize, "table": table, "value": value}
            steps.append(self.step({"x": source, "y": raw(target)}, **values))
        return seal(steps)


def pieces_of(problem: Problem) -> list[Pieces]:
    """The boxes of every output."""
    return _PIECES[problem.op](problem)


def fill_value(problem: Problem) -> Array:
    """What Pad writes beside its input, one element; zero for everything else."""
    dtype = _type(problem.inputs[0]).dtype.numpy
    given = problem.constants.get(2) if problem.op == "Pad" else None
    return np.zeros(1, dtype) if given is None or not given.size else np.asarray(given).reshape(1)


def numbers(problem: Problem, index: int) -> list[int]:
    """The integers of constant input ``index``; none where it is left out."""
    given = problem.constants.get(index)
    return [] if given is None else [int(v) for v in np.asarray(given).reshape(-1)]


def positive(axis: int, rank: int) -> int:
    """An axis counted from the front."""
    return axis + rank if axis < 0 else axis


def _type(type_: Any) -> TensorType:
    assert isinstance(type_, TensorType)
    return type_


def _input(problem: Problem) -> tuple[tuple[int, ...], View]:
    """The logical shape of input 0, and its memory: N, blocks, rows, columns, lanes where it is blocked."""
    type_ = _type(problem.inputs[0])
    shape = static(type_, problem.op)
    return shape, View.of(type_.layout.physical_shape(shape))


def _output(problem: Problem, index: int = 0) -> tuple[tuple[int, ...], View]:
    type_ = _type(problem.outputs[index])
    shape = static(type_, problem.op)
    return shape, View.of(type_.layout.physical_shape(shape))


def _transpose(problem: Problem) -> list[Pieces]:
    shape, x = _input(problem)
    target, y = _output(problem)
    order = [int(a) for a in problem.attributes.get("perm") or range(len(shape))[::-1]]
    block_in, block_out = (_type(t).layout.block for t in (problem.inputs[0], problem.outputs[0]))
    if block_in > 1:
        inverse = [order.index(d) for d in range(len(order))]
        pairs = plain_to_blocked(y.permuted(inverse), shape, block_in)
        return [[Piece(blocked, plain) for plain, blocked in pairs]]
    if block_out > 1:
        pairs = plain_to_blocked(x.permuted(order), target, block_out)
        found = [Piece(plain, blocked) for plain, blocked in pairs]
        pads = blocked_pads(target, block_out)
        return [found if pads is None else [*found, fill(pads)]]
    return [[Piece(x.permuted(order), y)]]


def fill(y: View) -> Piece:
    """The constant, everywhere in a view."""
    return Piece(View.of((1,)).broadcast(y.sizes), y, constant=True)


def slices(problem: Problem) -> list[tuple[int, int, int, int]]:
    """Slice's (axis, start, count, step), as ONNX clamps them; starts and ends have to be constant."""
    shape, _ = _input(problem)
    starts, ends = numbers(problem, 1), numbers(problem, 2)
    axes = numbers(problem, 3) or list(range(len(starts)))
    steps = numbers(problem, 4) or [1] * len(starts)
    found = []
    for start, end, axis, step in zip(starts, ends, axes, steps):
        axis = positive(axis, len(shape))
        taken = range(shape[axis])[slice_of(start, end, step, shape[axis])]
        found.append((axis, taken.start, len(taken), taken.step))
    return found


def _slice(problem: Problem) -> list[Pieces]:
    _, x = _input(problem)
    _, y = _output(problem)
    block = _type(problem.inputs[0]).layout.block
    for axis, start, count, step in slices(problem):
        if axis == 1 and block > 1:
            start, count = start // block, -(-count // block)
        x = x.sliced(axis, start, count, step)
    return [[Piece(x, y)]]


def _split(problem: Problem) -> list[Pieces]:
    shape, x = _input(problem)
    axis = positive(int(problem.attributes.get("axis", 0)), len(shape))
    start, found = 0, []
    for index in range(len(problem.outputs)):
        _, y = _output(problem, index)
        found.append([Piece(x.sliced(axis, start, y.sizes[axis]), y)])
        start += y.sizes[axis]
    return found


def pad_amounts(problem: Problem) -> tuple[list[int], list[int]]:
    """Elements before and after every axis, negative where they are removed; they have to be constant."""
    rank = len(_input(problem)[0])
    amounts = numbers(problem, 1)
    axes = numbers(problem, 3) or list(range(rank))
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[positive(axis, rank)], after[positive(axis, rank)] = amounts[i], amounts[i + len(axes)]
    return before, after


def _pad(problem: Problem) -> list[Pieces]:
    shape, x = _input(problem)
    _, y = _output(problem)
    before, after = pad_amounts(problem)
    mode = str(problem.attributes.get("mode", "constant"))
    for axis, (size, b, a) in enumerate(zip(shape, before, after)):
        if (b, a) == (0, 0):
            continue
        x = x.sliced(axis, max(-b, 0), size + min(b, 0) + min(a, 0))
        if mode != "constant":
            x = x.taken(axis, _reflected(mode, x.sizes[axis], max(b, 0), max(a, 0)))
    if mode != "constant":
        return [[Piece(x, y)]]
    found, rest = [], y
    for axis, (b, a) in enumerate(zip(before, after)):
        b, a = max(b, 0), max(a, 0)
        size = rest.sizes[axis]
        found += [fill(rest.sliced(axis, at, count)) for at, count in ((0, b), (size - a, a)) if count]
        rest = rest.sliced(axis, b, size - a - b) if a or b else rest
    return [[*found, Piece(x, rest)]]


def _reflected(mode: str, size: int, before: int, after: int) -> list[int]:
    positions = range(-before, size + after)
    if mode == "edge":
        return [min(max(p, 0), size - 1) for p in positions]
    if mode == "wrap":
        return [p % size for p in positions]
    period = max(2 * size - 2, 1)
    return [min(p % period, period - p % period) if size > 1 else 0 for p in positions]


def _gather(problem: Problem) -> list[Pieces]:
    shape, x = _input(problem)
    axis = positive(int(problem.attributes.get("axis", 0)), len(shape))
    positions = [positive(int(i), shape[axis]) for i in np.asarray(problem.constants[1]).reshape(-1)]
    x = x.taken(axis, positions)
    return [[Piece(x, View.of(x.sizes))]]


def _expand(problem: Problem) -> list[Pieces]:
    _, x = _input(problem)
    target, y = _output(problem)
    return [[Piece(x.broadcast(target), y)]]


def _tile(problem: Problem) -> list[Pieces]:
    shape, x = _input(problem)
    _, y = _output(problem)
    repeated: list[int] = []
    for axis, size in reversed(list(enumerate(shape))):
        y = y.split(axis, size)
        repeated = [y.sizes[axis], size, *repeated]
        x = x.split(axis, size)
    return [[Piece(x.broadcast(repeated), y)]]


def _depth_to_space(problem: Problem) -> list[Pieces]:
    (_, c, _, _), x = _input(problem)
    _, y = _output(problem)
    b = int(problem.attributes["blocksize"])
    if problem.attributes.get("mode", "DCR") == "DCR":
        x = x.split(1, b, c // b // b).permuted((0, 3, 4, 1, 5, 2))
    else:
        x = x.split(1, b, b).permuted((0, 1, 4, 2, 5, 3))
    return [[Piece(x, y.split(3, b).split(2, b))]]


def _space_to_depth(problem: Problem) -> list[Pieces]:
    (_, c, _, _), x = _input(problem)
    _, y = _output(problem)
    b = int(problem.attributes["blocksize"])
    x = x.split(3, b).split(2, b)  # n, c, h, rows, w, columns
    if problem.attributes.get("mode", "DCR") == "DCR":
        return [[Piece(x.permuted((0, 3, 5, 1, 2, 4)), y.split(1, b, c))]]
    return [[Piece(x.permuted((0, 1, 3, 5, 2, 4)), y.split(1, b, b))]]


def _resize(problem: Problem) -> list[Pieces]:
    _, x = _input(problem)
    _, y = _output(problem)
    for axis, (places, _) in resampled(problem).items():
        x = x.taken(axis, places[:, 0].tolist())
    return [[Piece(x, y)]]


_PIECES: dict[str, Callable[[Problem], list[Pieces]]] = {
    "Transpose": _transpose, "Slice": _slice, "Split": _split, "Pad": _pad, "Gather": _gather, "Expand": _expand,
    "Tile": _tile, "DepthToSpace": _depth_to_space, "SpaceToDepth": _space_to_depth, "Resize": _resize,
}  # fmt: skip
