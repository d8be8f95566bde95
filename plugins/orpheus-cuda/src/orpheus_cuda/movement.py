"""Operators that only move elements."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from math import prod
from typing import Any

import numpy as np

from orpheus_core.geometry.strides import broadcast, contiguous, merged, sliced, strides_of
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_cuda.elementwise import Elementwise
from orpheus_cuda.expressions import WORDS
from orpheus_cuda.launch import Launch, blocks, copy, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor, load


class Copy:
    """Y = X between strided places: ``sizes`` and strides of X in Y's order; Y lies together."""

    def __init__(self, itemsize: int, sizes: Sequence[int], steps: Sequence[int], first: int = 0) -> None:
        self.word = WORDS[itemsize]
        self.first = first
        few, (x,) = merged(sizes, (steps,))
        self.sizes, self.steps = few, x
        batch = (1, *few) if len(few) == 2 else few
        by = (prod(few), *x) if len(few) == 2 else x
        self.is_transposed = (
            len(batch) == 3 and by[1] == 1 and by[2] == batch[1] and by[0] == batch[1] * batch[2]
            and first == 0 and batch[0] <= 65535 and min(batch[1:]) > 2
        )  # fmt: skip
        self.batch = batch
        self.general = Elementwise("x", (self.word, self.word), few, (x, contiguous(few)), firsts=(first, 0))

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch, or a plain copy."""
        x, y = inputs[0], outputs[0]
        assert x is not None and y is not None
        if self.sizes == (y.size,) and self.steps == (1,) and self.first == 0:
            return copy(x, y)
        if self.is_transposed and y.size:
            many, s, r = self.batch
            source = define("transpose.cu", T=self.word)
            return launch(
                y, source, "transpose", (x, y, r, s), (blocks(r, 32) * blocks(s, 32), many), (32, 8)
            )
        return self.general.bind((x,), (y,), None)


def _order(type_: Any, rank: int) -> tuple[int, ...]:
    return type_.layout.permutation or tuple(range(rank))


def reorder(problem: Problem) -> Copy:
    """Between plain and NHWC."""
    source, target = problem.inputs[0], problem.outputs[0]
    assert isinstance(source, TensorType) and isinstance(target, TensorType)
    shape, steps = shape_of(source), strides_of(source)
    order = _order(target, len(shape))
    return Copy(source.dtype.itemsize, [shape[a] for a in order], [steps[a] for a in order])


def transpose(problem: Problem) -> Copy:
    """Any permutation, of X in any layout."""
    source: Any = problem.inputs[0]
    shape, steps = shape_of(source), strides_of(source)
    order = tuple(problem.attributes.get("perm") or reversed(range(len(shape))))
    return Copy(source.dtype.itemsize, [shape[a] for a in order], [steps[a] for a in order])


def expand(problem: Problem) -> Copy:
    """To the shape of Y, which is known whether the input that tells it is constant or not."""
    x, y = problem.inputs[0], shape_of(problem.outputs[0])
    assert isinstance(x, TensorType)
    return Copy(x.dtype.itemsize, y, broadcast(shape_of(x), contiguous(shape_of(x)), len(y)))


def tile(problem: Problem) -> Copy:
    """X repeated along each axis: every axis twice, the first of them not moving through X."""
    x: Any = problem.inputs[0]
    shape = shape_of(x)
    sizes, steps = [], []
    for size, whole, step in zip(shape, shape_of(problem.outputs[0]), contiguous(shape)):
        sizes += [whole // size if size else 0, size]
        steps += [0, step]
    return Copy(x.dtype.itemsize, sizes, steps)


def slice_(problem: Problem) -> Copy:
    """Starts, ends, axes and steps that are known; steps may be negative."""
    x: Any = problem.inputs[0]
    first, strides = sliced(problem)
    return Copy(x.dtype.itemsize, shape_of(problem.outputs[0]), strides, first)


def depth_to_space(problem: Problem) -> Copy:
    """Channels become blocks of pixels, in one of two orders."""
    x: Any = problem.inputs[0]
    n, c, h, w = shape_of(x)
    b = int(problem.attributes["blocksize"])
    depth = c // (b * b)
    sn, sc, sh, sw = contiguous((n, c, h, w))
    by, bx, d = (
        (b * sc, sc, b * b * sc) if problem.attributes["mode"] == "CRD" else (b * depth * sc, depth * sc, sc)
    )
    return Copy(x.dtype.itemsize, (n, depth, h, b, w, b), (sn, d, sh, by, sw, bx))


def space_to_depth(problem: Problem) -> Copy:
    """Blocks of pixels become channels."""
    x: Any = problem.inputs[0]
    n, c, h, w = shape_of(x)
    b = int(problem.attributes["blocksize"])
    sn, sc, sh, sw = contiguous((n, c, h, w))
    return Copy(x.dtype.itemsize, (n, b, b, c, h // b, w // b), (sn, sh, sw, sc, b * sh, b * sw))


class Pieces:
    """Concat and Split along any axis, plain or NHWC, in one launch."""

    def __init__(self, problem: Problem) -> None:
        self.joins = problem.op == "Concat"
        whole: Any = problem.outputs[0] if self.joins else problem.inputs[0]
        shape = shape_of(whole)
        order = _order(whole, len(shape))
        axis = order.index(int(problem.attributes.get("axis", 0)) % len(shape))

        def run(type_: Any) -> int:
            return prod([shape_of(type_)[a] for a in order][axis:])

        parts = problem.inputs if self.joins else problem.outputs
        self.rows = prod([shape[a] for a in order][:axis])
        self.runs = [0 if t is None else run(t) for t in parts]
        self.whole, self.itemsize = run(whole), whole.dtype.itemsize

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch; the widest words that every run and every address are multiples of."""
        parts = inputs if self.joins else outputs
        whole = (outputs if self.joins else inputs)[0]
        assert whole is not None
        size = self.itemsize
        lengths = [v * size for v in (*self.runs, self.whole)] + [
            t.pointer for t in (*parts, whole) if t is not None
        ]
        word = max(w for w in (1, 2, 4, 8, 16) if w >= 1 and all(v % w == 0 for v in lengths))
        table = []
        for part, length, first in zip(parts, self.runs, accumulate(self.runs, initial=0)):
            if part is None or not length * self.rows:
                continue
            ends = [(part.pointer, length), (whole.pointer + first * size, self.whole)]
            (a, x_step), (b, y_step) = ends if self.joins else ends[::-1]
            table.append(
                (a, b, self.rows, length * size // word, x_step * size // word, y_step * size // word)
            )
        if not table:
            return Launch(whole.library, whole.stream)
        rows = load(whole.library.index, np.array(table, np.int64))
        source = define("pieces.cu", T="Pack<u64, 2>" if word > 8 else WORDS[word])
        grid = (min(4096, blocks(max(t[2] * t[3] for t in table))), len(table))
        at = outputs[0] if self.joins else next(t for t in outputs if t is not None)
        assert at is not None
        return launch(at, source, "pieces", (rows,), grid).keeping(
            *(t for t in (*parts, whole) if t is not None)
        )


class Gather:
    """Gather along one axis, and GatherND without batches; indices may come at run time."""

    def __init__(self, problem: Problem) -> None:
        x: Any = problem.inputs[0]
        index: Any = problem.inputs[1]
        shape, indices = shape_of(x), shape_of(index)
        if problem.op == "Gather":
            axis = int(problem.attributes.get("axis", 0)) % len(shape)
            self.sizes, outer, self.inner = (
                shape[axis : axis + 1],
                prod(shape[:axis]),
                prod(shape[axis + 1 :]),
            )
            self.count = prod(indices)
        else:
            depth = indices[-1]
            self.sizes, outer, self.inner, self.count = (
                shape[:depth],
                1,
                prod(shape[depth:]),
                prod(indices[:-1]),
            )
        self.total = outer * self.count * self.inner
        names = [f"n{i}" for i in range(len(self.sizes))]
        self.source = define(
            "gather.cu", T=WORDS[x.dtype.itemsize], I="i32" if index.dtype.itemsize == 4 else "i64",
            DEPTH=len(names), SIZES=", ".join(names), PARAMETERS="".join(f", const int {n}" for n in names),
        )  # fmt: skip

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        y = outputs[0]
        assert y is not None
        numbers = [np.uint32(v) for v in (self.total, self.count, self.inner)]
        whole = np.int64(prod(self.sizes) * self.inner)
        arguments = (*inputs[:2], y, *numbers, whole, *self.sizes)
        return launch(y, self.source, "gather", arguments, (blocks(self.total),))
