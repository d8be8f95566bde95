"""What the kernels that look elements up, convert or search them cannot do, in words: ``supports`` of manifest_more."""

from __future__ import annotations

from orpheus_core.plugin import Problem
from orpheus_core.types import DType, TensorType
from orpheus_openmp.moves import positive
from orpheus_openmp.operands import input_shape, walkable
from orpheus_openmp.pick import element_box
from orpheus_openmp.search import wanted


def gather(problem: Problem) -> str | None:
    """An axis that is there."""
    return _axis(problem, 0)


def gather_nd(problem: Problem) -> str | None:
    """Batches that agree, tuples of at least one index and of no more than the axes that are left."""
    shape, indices = input_shape(problem, 0), input_shape(problem, 1)
    batch = int(problem.attributes.get("batch_dims", 0))
    if not 0 <= batch < min(len(shape), len(indices)) or shape[:batch] != indices[:batch]:
        return f"needs {batch} batch axes that agree, has shapes {list(shape)} and {list(indices)}"
    if not 1 <= indices[-1] <= len(shape) - batch:
        return f"needs tuples of 1 to {len(shape) - batch} indices, has {indices[-1]}"
    return None


def gather_elements(problem: Problem) -> str | None:
    """Indices that lie within data beside the axis."""
    refusal = _axis(problem, 0)
    if refusal:
        return refusal
    shape, indices = input_shape(problem, 0), input_shape(problem, 1)
    axis = positive(int(problem.attributes.get("axis", 0)), len(shape))
    if len(indices) != len(shape) or any(i > n for d, (i, n) in enumerate(zip(indices, shape)) if d != axis):
        return f"needs indices within data, has shapes {list(indices)} and {list(shape)}"
    return walkable(len(element_box(shape, indices, axis)))


def cast(problem: Problem) -> str | None:
    """One rounding: what a float32 between would round twice is left to others."""
    source, target = _dtype(problem.inputs[0]), _dtype(problem.outputs[0])
    narrow = target.value in ("float16", "bfloat16")
    wide_float = source.value == "float64"
    wide_integer = target.value == "bfloat16" and not source.is_float and source.itemsize > 2
    if narrow and (wide_float or wide_integer):
        return f"rounds through float32, which holds not all of {source}"
    return None


def search(problem: Problem) -> str | None:
    """An axis that is there."""
    return _axis(problem, -1 if problem.op == "TopK" else 0)


def top_k(problem: Problem) -> str | None:
    """K, constant by rule, of one to all elements of the axis."""
    refusal = search(problem)
    if refusal:
        return refusal
    shape = input_shape(problem, 0)
    size = shape[positive(int(problem.attributes.get("axis", -1)), len(shape))]
    count = wanted(problem)
    return None if 1 <= count <= size else f"needs K of 1 to {size}, has {count}"


def batch_norm(problem: Problem) -> str | None:
    """Inference, one value a channel."""
    if problem.attributes.get("training_mode", 0) or len([t for t in problem.outputs if t is not None]) > 1:
        return "computes inference only"
    if not problem.attributes.get("spatial", 1):
        return "needs one value a channel, has spatial 0"
    if any(_dtype(t).value != "float32" for t in problem.inputs):
        return "needs float32 tensors"
    shape = input_shape(problem, 0)
    if len(shape) < 2:
        return f"needs a channel axis, has {list(shape)}"
    lengths = [input_shape(problem, i) for i in range(1, 5)]
    if all(length == (shape[1],) for length in lengths):
        return None
    return f"needs {shape[1]} values of scale, B, mean and variance, has {list(map(list, lengths))}"


def _axis(problem: Problem, default: int) -> str | None:
    shape, axis = input_shape(problem, 0), int(problem.attributes.get("axis", default))
    return None if -len(shape) <= axis < len(shape) else f"needs an axis of shape {list(shape)}, has {axis}"


def _dtype(type_: object) -> DType:
    assert isinstance(type_, TensorType)
    return type_.dtype
