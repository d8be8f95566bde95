"""What reductions and normalisations cannot do, in words: ``supports`` functions of manifest_tensors."""

from __future__ import annotations

from orpheus_core.plugin import Problem
from orpheus_openmp.moves import positive
from orpheus_openmp.operands import input_shape, walkable
from orpheus_openmp.reduce import boxes, reduced_axes
from orpheus_openmp.strided import View


def reduce(problem: Problem) -> str | None:
    """Plain tensors, constant axes."""
    shape, axes = input_shape(problem, 0), reduced_axes(problem)
    if any(not 0 <= axis < len(shape) for axis in axes):
        return f"needs axes of rank {len(shape)}, has {axes}"
    if not axes:
        return "needs an axis"
    return walkable(max(map(len, boxes(View.of(shape), axes))))


def reduce_blocked(problem: Problem) -> str | None:
    """Rows and columns; that their axes are kept is a rule."""
    refusal = reduce(problem)
    if refusal:
        return refusal
    axes = reduced_axes(problem)
    return None if all(axis >= 2 for axis in axes) else f"reduces rows and columns, has axes {axes}"


def layer_norm(problem: Problem) -> str | None:
    """Scale and shift of the shape that is normalised."""
    if int(problem.attributes.get("stash_type", 1)) != 1:
        return f"computes in float32, is asked for stash_type {problem.attributes['stash_type']}"
    shape = input_shape(problem, 0)
    rows = positive(int(problem.attributes.get("axis", -1)), len(shape))
    for given in (
        input_shape(problem, i) for i in range(1, len(problem.inputs)) if problem.inputs[i] is not None
    ):
        # One that broadcasts may have as many elements and mean others.
        if (1,) * (len(shape) - len(given)) + given != (1,) * rows + shape[rows:]:
            return f"needs scale and shift of shape {list(shape[rows:])}, has {list(given)}"
    return None


def instance_norm(problem: Problem) -> str | None:
    """A scale and a shift a channel."""
    return _channels(problem)


def group_norm(problem: Problem) -> str | None:
    """Whole groups."""
    refusal = _channels(problem)
    if refusal:
        return refusal
    if int(problem.attributes.get("stash_type", 1)) != 1:
        return f"computes in float32, is asked for stash_type {problem.attributes['stash_type']}"
    groups, channels = int(problem.attributes["num_groups"]), input_shape(problem, 0)[1]
    if groups < 1 or channels % groups:
        return f"needs groups that divide {channels} channels, has {groups}"
    return None


def _channels(problem: Problem) -> str | None:
    shape = input_shape(problem, 0)
    if len(shape) < 3:
        return f"needs three axes or more, has {list(shape)}"
    for index in (1, 2):
        if input_shape(problem, index) != shape[1:2]:
            return (
                f"needs scale and shift of shape {list(shape[1:2])}, has {list(input_shape(problem, index))}"
            )
    return None
