"""What the recurrent kernels cannot do, in words: ``supports`` functions of manifest_tensors."""

from __future__ import annotations

from orpheus_core.plugin import Problem
from orpheus_openmp.operands import input_shape

_USUAL = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh")}


def recurrent(problem: Problem) -> str | None:
    """The usual activations; constant weights and sequences of one length are rules."""
    given = problem.attributes
    directions = 2 if given.get("direction") == "bidirectional" else 1
    names = tuple(str(name).lower() for name in given.get("activations") or ())
    usual = tuple(name.lower() for name in _USUAL[problem.op]) * directions
    if names and names != usual:
        return f"needs the activations {', '.join(_USUAL[problem.op])}; has {', '.join(names)}"
    return _shapes(problem, directions)


def _shapes(problem: Problem, directions: int) -> str | None:
    gates = 4 if problem.op == "LSTM" else 3
    _, batch, width = input_shape(problem, 0)
    hidden = input_shape(problem, 2)[2]
    wanted = {
        1: (directions, gates * hidden, width), 2: (directions, gates * hidden, hidden),
        3: (directions, 2 * gates * hidden), 5: (directions, batch, hidden), 6: (directions, batch, hidden),
        7: (directions, 3 * hidden),
    }  # fmt: skip
    for index, shape in wanted.items():
        if _has(problem, index) and input_shape(problem, index) != shape:
            return f"needs input {index} of shape {list(shape)}, has {list(input_shape(problem, index))}"
    return None


def _has(problem: Problem, index: int) -> bool:
    return index < len(problem.inputs) and problem.inputs[index] is not None
