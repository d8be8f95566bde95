"""RNN, GRU and LSTM: a primitive for each direction, since ONNX has the directions outside the batch."""

from __future__ import annotations

from ctypes import c_float

import numpy as np

from orpheus_core.geometry.strides import contiguous
from orpheus_core.plugin import Problem
from orpheus_onednn import dnnl
from orpheus_onednn.activation import SIMPLE
from orpheus_onednn.call import Call, Md, Operand, Refusal, operand, shape_of, type_of

#: Where ONNX has the gates that the library wants first, second, and so on.
GATES = {"RNN": [0], "GRU": [0, 1, 2], "LSTM": [0, 2, 3, 1]}
#: Activations, the usual one first where there is a choice.
_ACTIVATIONS = {"RNN": ["Tanh|Relu|Sigmoid"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
#: Arguments that W, R, B and P are.
_ARGS = {1: dnnl.WEIGHTS, 2: dnnl.WEIGHTS + 1, 3: dnnl.BIAS, 7: dnnl.WEIGHTS + 2}
#: Axes of X, Y and states by ``layout``: time, batch, direction, inputs, hidden.
_AXES = (("tni", "tdnh", "dnh"), ("nti", "ntdh", "ndh"))


def recurrent(problem: Problem, x: str, y: str) -> list[Call]:
    """Y and the last states, from zeros or given ones."""
    ways, late = shape_of(problem, 2)[0], problem.attributes.get("linear_before_reset")
    choices = _ACTIVATIONS[problem.op] * ways
    given = problem.attributes.get("activations") or [choice.split("|")[0] for choice in choices]
    names = [str(name).capitalize() for name in given[: len(choices)]]  # RNN's default is for two directions
    known = [name in choice.split("|") for name, choice in zip(names, choices)]
    if len(names) != len(choices) or not all(known):
        raise Refusal(f"needs activations {', '.join(choices)}, has {', '.join(names)}")
    cell = {"RNN": "vanilla_rnn", "GRU": "lbr_gru" if late else "gru", "LSTM": "lstm"}[problem.op]
    return [_direction(problem, cell, way, names[way]) for way in range(ways)]


def _direction(problem: Problem, cell: str, way: int, activation: str) -> Call:
    (ways, _, hidden), given = shape_of(problem, 2), problem.attributes
    inputs, results, state = _AXES[int(given.get("layout", 0))]
    sizes = {**dict(zip(inputs, shape_of(problem, 0))), "d": ways, "h": hidden}

    def part(arg: int, index: int, axes: str, seen: str) -> Operand:
        """What this direction has of a tensor with these axes, seen with those."""
        shape = tuple(sizes[axis] for axis in axes)
        if type_of(problem, index) is not None and shape_of(problem, index) != shape:
            raise Refusal(f"needs input {index} of shape {list(shape)}, has {list(shape_of(problem, index))}")
        steps = dict(zip(axes, contiguous(shape)))
        extent, strides = (tuple(of.get(axis, 1) for axis in seen) for of in (sizes, steps))
        md = Md(extent, operand(problem, dnnl.SRC, 0).md.dtype, strides=strides)
        return Operand(arg, md, index, offset=way * steps.get("d", 0))

    def states(arg: int, *indices: int) -> list[Operand | None]:
        """All or none; one that is left out beside another is zero, or nobody's."""
        found = any(type_of(problem, index) is not None for index in indices)
        return [part(arg + i, index, state, "..nh") if found else None for i, index in enumerate(indices)]

    count, backwards = 1 + (cell == "lstm"), way == 1 or given.get("direction") == "reverse"
    before, after = states(dnnl.SRC_1, *(5, 6)[:count]), states(dnnl.DST + 1, *(~1, ~2)[:count])
    x, y = part(dnnl.SRC, 0, inputs, "tni"), part(dnnl.DST, ~0, results, "tnh")
    alone = cell == "vanilla_rnn"  # which names its activation, and two numbers of others
    first, last = [SIMPLE[activation]] * alone, [c_float(0)] * 2 * alone
    layer = (2 if backwards else 1, x, *before, *_weights(problem, cell, way), y, *after, 0)
    return Call(f"{cell}_forward", (dnnl.FORWARD, *first, *layer, *last))


def _weights(problem: Problem, cell: str, way: int) -> list[Operand | None]:
    """W, R, an LSTM's peepholes and no projection, and biases, in the library's order of gates and axes.

    No biases are zeros: the library has no layer without.
    """
    order, hidden = GATES[problem.op], shape_of(problem, 2)[2]
    given = {i: c[way].reshape(-1, hidden, *c.shape[2:]) for i, c in problem.constants.items() if i in _ARGS}
    found = {i: given[i][order].transpose(2, 0, 1) for i in (1, 2)}
    both = given.get(3, np.zeros((2 * len(order), hidden))).astype(np.float32).reshape(2, -1, hidden)
    total = both.sum(axis=0)[order]
    found[3] = np.concatenate([total[:2], both[:, 2]]) if cell == "lbr_gru" else total
    if 7 in given:
        found[7] = given[7][[0, 2, 1]].astype(np.float32)  # of gates i, o, f
    made = {i: Operand(_ARGS[i], Md((1, 1, *v.shape), v.dtype.name), i, v) for i, v in found.items()}
    return [made[1], made[2], *([made.get(7), None] if cell == "lstm" else ()), made[3]]
