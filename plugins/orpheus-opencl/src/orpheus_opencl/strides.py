"""Strides, in elements: of contiguous tensors, of broadcast ones, and axes merged where that changes nothing."""

from __future__ import annotations

from collections.abc import Sequence


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Of a row-major tensor."""
    steps, step = [], 1
    for size in reversed(shape):
        steps.append(step)
        step *= size
    return tuple(reversed(steps))


def broadcast_strides(shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """Of a row-major tensor read as if it had shape ``target``: 0 along axes that are repeated."""
    wide = (1,) * (len(target) - len(shape)) + tuple(shape)
    return tuple(0 if size == 1 else step for size, step in zip(wide, contiguous(wide)))


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
