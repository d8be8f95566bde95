"""RNN, GRU and LSTM: directions, layouts, clips, activations, lengths, initial states, peepholes."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space

_GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
_CHOICES: dict[str, tuple[tuple[str, ...], ...]] = {
    "RNN": (("Tanh",), ("Relu",), ("Sigmoid",), ("Softsign",)),
    "GRU": (("Sigmoid", "Tanh"), ("HardSigmoid", "Softsign")),
    "LSTM": (("Sigmoid", "Tanh", "Tanh"), ("HardSigmoid", "Softsign", "Tanh"), ("Sigmoid", "Relu", "Tanh")),
}
_STATES = {"special": "a NaN runs through every later step, so little else would be seen"}


def _length(case: Case) -> int:
    x, w, r = case.inputs[:3]
    assert isinstance(x, Operand) and isinstance(w, Operand) and isinstance(r, Operand)
    steps = max(x.shape[0], x.shape[1])
    return (w.shape[2] + r.shape[2] + 2) * steps * steps


def _recurrent(op: str) -> None:
    gates = _GATES[op]

    @space(op, Conditioned(_length, "sums of products, exponentials and products, step after step",
                           ulps=32.0, magnitude=lambda e: 1.0), since=7, without=_STATES)  # fmt: skip
    def draw(d: Draw) -> Layer:
        dtype = d.dtype("T")
        direction = d.attribute("direction", (OMIT, "forward", "reverse", "bidirectional"))
        ways = 2 if direction == "bidirectional" else 1
        steps, batch = d.choose((3, 1, 2, 5)), d.choose((2, 1, 3))
        size, hidden = d.choose((2, 1, 3, 5)), d.choose((3, 1, 2))
        layout = d.attribute("layout", (OMIT, 0, 1)) if d.version >= 14 else OMIT

        def ordered(first: tuple[int, ...], swapped: tuple[int, ...]) -> tuple[int, ...]:
            return swapped if layout == 1 else first

        state = ordered((ways, batch, hidden), (batch, ways, hidden))
        lengths = None
        if d.present("sequence_lens"):
            lengths = d.data("sequence_lens", "int32", [d.integer(1, steps) for _ in range(batch)])
        inputs: list[Any] = [
            d.tensor("X", dtype, ordered((steps, batch, size), (batch, steps, size))),
            d.tensor("W", dtype, (ways, gates * hidden, size), constant=None),
            d.tensor("R", dtype, (ways, gates * hidden, hidden), constant=None),
            d.tensor("B", dtype, (ways, 2 * gates * hidden), constant=None) if d.present("B") else None,
            lengths,
            d.tensor("initial_h", dtype, state) if d.present("initial_h") else None,
        ]
        attributes: dict[str, Any] = {
            "direction": direction,
            "layout": layout,
            "hidden_size": d.choose((hidden, OMIT)),
        }
        attributes["clip"] = d.attribute("clip", (OMIT, 0.5))
        names: Any = d.choose((OMIT, *_CHOICES[op]))
        attributes["activations"] = OMIT if names is OMIT else names * ways
        if op == "GRU":
            attributes["linear_before_reset"] = d.attribute("linear_before_reset", (OMIT, 0, 1))
        outputs: tuple[bool, ...] = d.choose(((True, True), (True, False), (False, True)))
        if op == "LSTM":
            attributes["input_forget"] = d.attribute("input_forget", (OMIT, 0, 1))
            inputs.append(d.tensor("initial_c", dtype, state) if d.present("initial_c") else None)
            inputs.append(d.tensor("P", dtype, (ways, 3 * hidden), constant=None) if d.present("P") else None)
            outputs = (*outputs, d.flag())
        while not outputs[-1]:
            outputs = outputs[:-1]
        return Layer(tuple(inputs), attributes, outputs)


for _op in _GATES:
    _recurrent(_op)
