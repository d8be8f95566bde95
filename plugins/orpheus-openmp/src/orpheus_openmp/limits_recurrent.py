"""What the recurrent kernels cannot do, in words: ``supports`` functions of manifest_tensors."""

from __future__ import annotations

from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType

_USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}


def recurrent(problem: Problem) -> str | None:
    """The usual activations; constant weights and sequences of one length are rules."""
    given = problem.attributes
    directions = 2 if given.get("direction") == "bidirectional" else 1
    names = tuple(str(name).lower() for name in given.get("activations") or ())
    usual = tuple(name.lower() for name in _USUAL[problem.op]) * directions
    if names and names != usual:
        return f"needs the activations {', '.join(_USUAL[problem.op])}; has {', '.join(names)}"
    for type_ in (*problem.inputs, *problem.outputs):
        if type_ is not None and (not isinstance(type_, TensorType) or type_.dtype.value != "float32"):
            return f"needs float32 tensors, has {type_}"
    return _shapes(problem, directions)


def _shapes(problem: Problem, directions: int) -> str | None:
    gates = 4 if problem.op == "LSTM" else 3
    _, batch, width = _shape(problem, 0)
    hidden = _shape(problem, 2)[2]
    wanted = {
        1: (directions, gates * hidden, width), 2: (directions, gates * hidden, hidden),
        3: (directions, 2 * gates * hidden), 5: (directions, batch, hidden), 6: (directions, batch, hidden),
        7: (directions, 3 * hidden),
    }  # fmt: skip
    for index, shape in wanted.items():
        if _has(problem, index) and _shape(problem, index) != shape:
            return f"needs input {index} of shape {list(shape)}, has {list(_shape(problem, index))}"
    return None


def _has(problem: Problem, index: int) -> bool:
    return index < len(problem.inputs) and problem.inputs[index] is not None


def _shape(problem: Problem, index: int) -> tuple[int, ...]:
    type_ = problem.inputs[index]
    assert isinstance(type_, TensorType) and type_.static_shape is not None
    return type_.static_shape
