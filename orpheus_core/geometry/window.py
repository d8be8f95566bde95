"""The window of a convolution or pool: sizes, strides, borders and dilations, one-dimensional ones as rows of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType


def shape_of(type_: object) -> tuple[int, ...]:
    """The shape of a tensor type that is fixed."""
    assert isinstance(type_, TensorType) and type_.static_shape is not None
    return type_.static_shape


@dataclass(frozen=True)
class Window:
    """Two axes each: size of X, of the window, of Y; ``pads``: top, left, bottom, right."""

    x: tuple[int, int]
    size: tuple[int, int]
    y: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    pads: tuple[int, int, int, int]

    @property
    def padded(self) -> tuple[int, int]:
        """Rows and columns of X that windows touch, border included; at least those of X."""
        rows, columns = (
            max((y - 1) * s + (k - 1) * d + 1, x + before)
            for y, s, k, d, x, before in zip(
                self.y, self.strides, self.size, self.dilations, self.x, self.pads[:2]
            )
        )
        return rows, columns


def window(problem: Problem, size: tuple[int, ...]) -> Window:
    """The window of a layer whose X and Y have one or two axes in space."""
    x, y = shape_of(problem.inputs[0])[2:], shape_of(problem.outputs[0])[2:]
    axes = len(x)
    facts = problem.attributes
    strides = tuple(facts.get("strides") or (1,) * axes)
    dilations = tuple(facts.get("dilations") or (1,) * axes)
    automatic, given = facts.get("auto_pad", "NOTSET"), facts.get("pads") or ()
    pads = pads_of(automatic, given, x, y, size, strides, dilations)
    before, after = pads[:axes], pads[axes:]
    flat = [x, size, y, strides, dilations]
    if axes == 1:
        flat, before, after = [(1, *part) for part in flat], (0, *before), (0, *after)
    a, b, c, d, e = ((first, second) for first, second in flat)
    return Window(a, b, c, d, e, (before[0], before[1], after[0], after[1]))


def pads_of(
    automatic: str,
    given: Sequence[int],
    x: Sequence[int],
    y: Sequence[int],
    size: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[int, ...]:
    """Pads at the beginning of every axis, then at the end of every one: those ``given`` where auto_pad is NOTSET."""
    if automatic == "NOTSET":
        return tuple(given) or (0,) * (2 * len(x))
    if automatic == "VALID":
        return (0,) * (2 * len(x))
    totals = [
        max((q - 1) * s + (k - 1) * d + 1 - n, 0) for n, q, k, s, d in zip(x, y, size, strides, dilations)
    ]
    small, large = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (*small, *large) if automatic == "SAME_UPPER" else (*large, *small)
