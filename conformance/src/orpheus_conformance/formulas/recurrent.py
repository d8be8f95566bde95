"""RNN, GRU and LSTM, step by step. Source: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance
from orpheus_core.types import Array

_WHY = "it knows no clip, no input_forget, few activations, and not every direction and layout"
_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_USUAL = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh")}
_FUNCTIONS: dict[str, Any] = {
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "HardSigmoid": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "Softsign": lambda x: x / (1 + np.abs(x)),
}


@formula("RNN", "GRU", "LSTM", why=_WHY)
def recurrent(instance: Instance) -> tuple[Any, ...]:
    """Y [T, D, N, H], Y_h and Y_c [D, N, H]; with layout 1 the batch comes first."""
    op = instance.case.op
    at: Any = instance.node.attributes
    x, w, r, b, lengths, h0, c0, p = (*instance.arrays, *(None,) * 8)[:8]
    swapped = at.get("layout") == 1
    if swapped:
        x = x.swapaxes(0, 1)
        h0, c0 = (None if s is None else s.swapaxes(0, 1) for s in (h0, c0))
    steps, batch = x.shape[:2]
    ways, hidden = r.shape[0], r.shape[2]
    names: Any = at.get("activations")
    count = len(_USUAL[op])
    y = np.zeros((steps, ways, batch, hidden))
    last, cell = np.zeros((ways, batch, hidden)), np.zeros((ways, batch, hidden))
    for way in range(ways):
        chosen = names[way * count : (way + 1) * count] if names else _USUAL[op]
        bias = np.zeros(2 * _GATES[op] * hidden) if b is None else b[way]
        peep = np.zeros(3 * hidden) if p is None else p[way]
        backward = at["direction"] == "reverse" or way == 1
        for n in range(batch):
            length = steps if lengths is None else int(lengths[n])
            h = np.zeros(hidden) if h0 is None else h0[way, n]
            c = np.zeros(hidden) if c0 is None else c0[way, n]
            for t in range(length)[::-1] if backward else range(length):
                step = _Step(op, at, [_FUNCTIONS[name] for name in chosen])
                h, c = step(x[t, n], h, c, w[way], r[way], np.split(bias, 2), peep)
                y[t, way, n] = h
            last[way, n], cell[way, n] = h, c
    if swapped:
        return y.transpose(2, 0, 1, 3), last.swapaxes(0, 1), cell.swapaxes(0, 1)
    return y, last, cell


class _Step:
    """One step of one sequence; vectors of the hidden size."""

    def __init__(self, op: str, attributes: Any, functions: list[Any]) -> None:
        self.op, self.at, self.functions = op, attributes, functions

    def __call__(
        self, x: Array, h: Array, c: Array, w: Array, r: Array, bias: list[Array], peep: Array
    ) -> tuple[Array, Array]:
        gates = _GATES[self.op]
        wx = np.split(w @ x + bias[0], gates)
        rh = np.split(r @ h + bias[1], gates)
        f = self.functions
        if self.op == "RNN":
            return f[0](self._clip(wx[0] + rh[0])), c
        if self.op == "GRU":
            z, s = (f[0](self._clip(wx[i] + rh[i])) for i in (0, 1))
            if self.at.get("linear_before_reset"):
                inner = s * rh[2]
            else:
                hidden = len(h)
                inner = r[2 * hidden :] @ (s * h) + bias[1][2 * hidden :]
            return (1 - z) * f[1](self._clip(wx[2] + inner)) + z * h, c
        pi, po, pf = np.split(peep, 3)
        i = f[0](self._clip(wx[0] + rh[0] + pi * c))
        forget = 1 - i if self.at.get("input_forget") else f[0](self._clip(wx[2] + rh[2] + pf * c))
        new = forget * c + i * f[1](self._clip(wx[3] + rh[3]))
        o = f[0](self._clip(wx[1] + rh[1] + po * new))
        return o * f[2](self._clip(new)), new

    def _clip(self, x: Array) -> Array:
        limit = self.at.get("clip")
        return x if limit is None else np.clip(x, -limit, limit)
