"""Strides, in elements: of contiguous, broadcast and sliced tensors, and axes merged where that changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from orpheus_core.geometry.slices import slice_of
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Of a row-major tensor."""
    steps, step = [], 1
    for size in reversed(shape):
        steps.append(step)
        step *= size
    return tuple(reversed(steps))


def strides_of(type_: TensorType) -> tuple[int, ...]:
    """Of a tensor's logical axes, in its layout: plain or a permutation."""
    shape = type_.static_shape
    assert shape is not None
    order = type_.layout.permutation or range(len(shape))
    steps = dict(zip(order, contiguous([shape[axis] for axis in order])))
    return tuple(steps[axis] for axis in range(len(shape)))


def broadcast(shape: Sequence[int], steps: Sequence[int], rank: int) -> tuple[int, ...]:
    """Strides of an operand along the axes of a result of this rank: 0 where it is repeated."""
    wide = (0,) * (rank - len(shape))
    return (*wide, *(0 if size == 1 else step for size, step in zip(shape, steps)))


def sliced(problem: Problem) -> tuple[int, tuple[int, ...]]:
    """Of a Slice of a row-major tensor whose bounds are constants: where its first element lies, and its strides."""
    x = problem.inputs[0]
    assert isinstance(x, TensorType) and x.static_shape is not None
    strides = list(contiguous(x.static_shape))
    starts, ends, axes, steps = (
        problem.constants[i].tolist() if i in problem.constants else None for i in (1, 2, 3, 4)
    )
    first = 0
    for n, (start, end) in enumerate(zip(starts or (), ends or ())):
        axis = (axes[n] if axes else n) % len(strides)
        size, step = x.static_shape[axis], steps[n] if steps else 1
        taken = range(size)[slice_of(start, end, step, size)]
        first += taken.start * strides[axis]
        strides[axis] *= step if len(taken) > 1 else 1  # a step beyond the axis may be any number
    return first, tuple(strides)


def merged(
    sizes: Sequence[int], strides: Sequence[Sequence[int]]
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Fewer axes that visit the same elements in the same order; at least one is left."""
    kept: list[tuple[int, tuple[int, ...]]] = []
    for axis, size in enumerate(sizes):
        steps = tuple(s[axis] for s in strides)
        if size == 1:
            continue
        if kept and all(outer == inner * size for outer, inner in zip(kept[-1][1], steps)):
            kept[-1] = (kept[-1][0] * size, steps)
        else:
            kept.append((size, steps))
    if not kept:
        kept = [(1, (0,) * len(strides))]
    return tuple(size for size, _ in kept), tuple(zip(*(steps for _, steps in kept)))
