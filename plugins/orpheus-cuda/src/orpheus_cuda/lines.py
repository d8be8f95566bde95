"""Reductions, softmax and normalisations: many lines, each by one or several threads."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any

import numpy as np

from orpheus_core.geometry.strides import merged, strides_of
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_cuda.elementwise import walk
from orpheus_cuda.expressions import TYPES
from orpheus_cuda.launch import Launch, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor

#: Where a sum starts, how an element and how another sum enter it, what is made of it in the end.
FORMS = {
    "ReduceSum": ("C(0)", "s + x", "s + x", "s"),
    "ReduceMean": ("C(0)", "s + x", "s + x", "s / n"),
    "ReduceMax": ("LEAST", "(x != x || x > s ? x : s)", "(x != x || x > s ? x : s)", "s"),
    "ReduceMin": ("MOST", "(x != x || x < s ? x : s)", "(x != x || x < s ? x : s)", "s"),
    "ReduceProd": ("C(1)", "s * x", "s * x", "s"),
    "ReduceL1": ("C(0)", "s + fabs(x)", "s + x", "s"),
    "ReduceL2": ("C(0)", "s + x * x", "s + x", "sqrt(s)"),
    "ReduceSumSquare": ("C(0)", "s + x * x", "s + x", "s"),
    "ReduceLogSum": ("C(0)", "s + x", "s + x", "log(s)"),
}
#: Pools over whole planes are reductions.
POOLS = {"GlobalAveragePool": "ReduceMean", "GlobalMaxPool": "ReduceMax"}


def axes_of(problem: Problem) -> tuple[int, ...]:
    """The reduced axes, from 0; those of an older opset are an attribute, those of a newer one an input."""
    rank = len(shape_of(problem.inputs[0]))
    if problem.op in POOLS:
        return tuple(range(2, rank))
    given = problem.constants[1].tolist() if 1 in problem.constants else problem.attributes.get("axes") or ()
    if not given:
        return () if problem.attributes.get("noop_with_empty_axes") else tuple(range(rank))
    return tuple(sorted({axis % rank for axis in given}))


def block(along: bool, length: int) -> tuple[int, int]:
    """Lines of a block, and threads of a line: neighbouring threads read what lies together."""
    if along:
        return 32, max(1, min(16, 1 << (length - 1).bit_length() if length else 1))
    return 1, max(32, min(512, 1 << (length - 1).bit_length() if length else 32))


class Reduce:
    """The operators of :data:`FORMS` and :data:`POOLS`."""

    def __init__(self, problem: Problem) -> None:
        source, target = problem.inputs[0], problem.outputs[0]
        assert isinstance(source, TensorType) and isinstance(target, TensorType)
        shape, steps, axes = shape_of(source), strides_of(source), axes_of(problem)
        kept = [a for a in target.layout.permutation or range(len(shape)) if a not in axes]
        outer, inner = (
            merged([shape[a] for a in some], [[steps[a] for a in some]]) for some in (kept, list(axes))
        )
        self.count, self.length = prod(outer[0]), prod(inner[0])
        bx, by = block(outer[1][0][-1] == 1 or (self.count > 1 and inner[1][0][-1] != 1), self.length)
        names = ("START", "STEP(s, x)", "JOIN(s, x)", "END(s, n)")
        form = FORMS[POOLS.get(problem.op, problem.op)]
        ends = limits(source.dtype)
        form = (form[0].replace("LEAST", ends[0]).replace("MOST", ends[1]), *form[1:])
        first, numbers = walk(outer[0], outer[1], ("x",))
        second, more = walk(inner[0], inner[1], ("x",), "m")
        kind = TYPES[source.dtype.value]
        self.source = define(
            "reduce.cu", T=kind, TO=TYPES[target.dtype.value], BX=bx, BY=by,
            COMPUTE=f"Compute<{kind}>::type", PARAMETERS=first["PARAMETERS"] + second["PARAMETERS"],
            OUTER=first["WALK"], INNER=second["WALK"], **{n: f"({v})" for n, v in zip(names, form)},
        )  # fmt: skip
        self.numbers, self.block = [*numbers, *more], (bx, by)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        y = outputs[0]
        assert y is not None
        arguments = (inputs[0], y, np.uint32(self.count), np.uint32(self.length), *self.numbers)
        return launch(y, self.source, "reduce", arguments, (ceil(self.count / self.block[0]),), self.block)


def limits(dtype: Any) -> tuple[str, str]:
    """The least and the greatest number of a type, as C++ writes them."""
    if dtype.is_float:
        return "-INFINITE", "INFINITE"
    info = np.iinfo(dtype.numpy)
    return (
        f"(C)({info.min + 1}LL - 1)" if info.min else "(C)0",
        f"(C){info.max}{'ULL' if info.max >> 63 else 'LL'}",
    )


class _Lines:
    """What operators of a line share: threads, types."""

    def settle(self, dtype: Any, count: int, length: int, *, along: bool, **words: Any) -> None:
        """``along``: whether neighbouring lines lie together, and not a line's own elements."""
        self.block = block(along, length)
        name = TYPES[dtype.value]
        self.source = define(
            "lines.cu", T=name, COMPUTE=f"Compute<{name}>::type", BX=self.block[0], BY=self.block[1], **words
        )
        self.count, self.length = count, length
        self.grid = (ceil(count / self.block[0]) if length else 0,)


class Softmax(_Lines):
    """Softmax and LogSoftmax: along one axis, or as before opset 13 along all from one on."""

    def __init__(self, problem: Problem) -> None:
        source: Any = problem.inputs[0]
        shape = shape_of(source)
        old = problem.version < 13
        axis = int(problem.attributes.get("axis", 1 if old else -1)) % max(len(shape), 1)
        length = prod(shape[axis:]) if old else (shape or (1,))[axis]
        self.inner = 1 if old else prod(shape[axis + 1 :])
        words = {"LOG": 1} if problem.op == "LogSoftmax" else {}
        self.settle(
            source.dtype, prod(shape) // length if length else 0, length, along=self.inner > 1, **words
        )

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        y = outputs[0]
        assert y is not None
        arguments = (inputs[0], y, np.uint32(self.count), self.length, np.uint32(self.inner))
        return launch(y, self.source, "softmax", arguments, self.grid, self.block)


class Normalize(_Lines):
    """LayerNormalization, RMSNormalization, InstanceNormalization, GroupNormalization (a scale a channel)."""

    def __init__(self, problem: Problem) -> None:
        source: Any = problem.inputs[0]
        shape, op = shape_of(source), problem.op
        if op in ("LayerNormalization", "RMSNormalization"):
            axis = int(problem.attributes.get("axis", -1)) % len(shape)
            length = prod(shape[axis:])
            self.groups, self.each, self.span = 1, length, 1
        else:
            channels = shape[1]
            self.groups = int(problem.attributes.get("num_groups", channels))
            self.each, self.span = channels // self.groups, prod(shape[2:])
            length = self.each * self.span
        self.epsilon = float(problem.attributes.get("epsilon", 1e-5))
        words = {"RMS": 1} if op == "RMSNormalization" else {}
        self.settle(source.dtype, prod(shape) // length if length else 0, length, along=False, **words)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, scale, bias = (*inputs, None)[:3]
        y = outputs[0]
        assert y is not None
        places = [np.uint32(v) for v in (self.groups, self.each, self.span)]
        arguments = (x, scale, bias, y, np.uint32(self.count), self.length, *places, self.epsilon)
        return launch(y, self.source, "normalize", arguments, self.grid, self.block)
