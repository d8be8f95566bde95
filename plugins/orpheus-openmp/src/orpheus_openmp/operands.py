"""What limits ask of a layer's operands."""

from __future__ import annotations

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_openmp.strided import MAX_RANK


def input_shape(problem: Problem, index: int = 0) -> tuple[int, ...]:
    """The shape of an input that is given."""
    return shape_of(problem.inputs[index])


def output_shape(problem: Problem, index: int = 0) -> tuple[int, ...]:
    """The shape of an output that is wanted."""
    return shape_of(problem.outputs[index])


def walkable(rank: int) -> str | None:
    """A box of no more dimensions than native/strided.hpp walks."""
    return None if rank <= MAX_RANK else f"walks {MAX_RANK} dimensions, these operands need {rank}"
