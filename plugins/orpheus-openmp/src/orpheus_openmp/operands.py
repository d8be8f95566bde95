"""What limits ask of a layer's operands."""

from __future__ import annotations

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType
from orpheus_openmp.strided import MAX_RANK


def input_shape(problem: Problem, index: int = 0) -> tuple[int, ...]:
    """The shape of an input that is given."""
    return shape_of(problem.inputs[index])


def output_shape(problem: Problem, index: int = 0) -> tuple[int, ...]:
    """The shape of an output that is wanted."""
    return shape_of(problem.outputs[index])


def floats(problem: Problem, inputs: int | None = None) -> str | None:
    """float32 tensors: the outputs, and the first so many ``inputs``, all when None."""
    for type_ in (*problem.inputs[:inputs], *problem.outputs):
        if type_ is not None and not (isinstance(type_, TensorType) and type_.dtype is DType.FLOAT32):
            return f"needs float32 tensors, has {type_}"
    return None


def shapes(problem: Problem, inputs: int | None = None) -> str | None:
    """Tensors of known shape: the outputs, and the first so many ``inputs``, all when None."""
    for type_ in (*problem.inputs[:inputs], *problem.outputs):
        if type_ is not None and not (isinstance(type_, TensorType) and type_.static_shape is not None):
            return f"needs tensors of known shape, has {type_}"
    return None


def walkable(rank: int) -> str | None:
    """A box of no more dimensions than native/strided.hpp walks."""
    return None if rank <= MAX_RANK else f"walks {MAX_RANK} dimensions, these operands need {rank}"
