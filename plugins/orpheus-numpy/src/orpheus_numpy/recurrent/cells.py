"""RNN, GRU and LSTM. Each builds the cell of every direction; the loop over time is in ``sequence``.

Operands and attributes are those of the operator pages (https://onnx.ai/onnx/operators/onnx__LSTM.html and its
neighbours). Any float type; float16 and bfloat16 are computed in float32. Missing outputs may be ignored by the caller.
All three raise ModelError where shapes and attributes contradict each other, or for an unknown activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import widen
from orpheus_numpy.recurrent.activations import Activation, resolve_activations
from orpheus_numpy.recurrent.sequence import Cell, directions_of, run_directions, split_bias

Floats = Sequence[float]


def rnn(
    X: Array, W: Array, R: Array, B: Array | None = None, sequence_lens: Array | None = None,
    initial_h: Array | None = None, *,
    activation_alpha: Floats | None = None, activation_beta: Floats | None = None,
    activations: Sequence[str] | None = None, clip: float | None = None, direction: str = "forward",
    hidden_size: int | None = None, layout: int = 0,
) -> tuple[Array, Array]:  # fmt: skip
    """RNN: H' = f(W x + R H + biases). X [T, N, I] -> Y [T, D, N, H], Y_h [D, N, H]; layout 1 has N first."""
    backwards = directions_of(direction, W)
    hidden = _hidden(R, 1, hidden_size)
    functions = _functions(("Tanh",), activations, activation_alpha, activation_beta, clip, len(backwards))
    cells, biases = [], []
    for d, (f,) in enumerate(functions):
        input_bias, recurrent_bias = split_bias(B, d, hidden)
        cells.append(_rnn_cell(widen(R[d]).T, f))
        biases.append(input_bias + recurrent_bias)
    y, h = run_directions(X, W, cells, biases, backwards, [initial_h], sequence_lens, hidden, layout)
    return y, h


def _rnn_cell(R: Array, f: Activation) -> Cell:
    return lambda gates, state: (f(gates + state[0] @ R),)


def gru(
    X: Array, W: Array, R: Array, B: Array | None = None, sequence_lens: Array | None = None,
    initial_h: Array | None = None, *,
    activation_alpha: Floats | None = None, activation_beta: Floats | None = None,
    activations: Sequence[str] | None = None, clip: float | None = None, direction: str = "forward",
    hidden_size: int | None = None, layout: int = 0, linear_before_reset: int = 0,
) -> tuple[Array, Array]:  # fmt: skip
    """GRU with gates z, r, h: X [T, N, I] -> Y [T, D, N, H], Y_h [D, N, H]; layout 1 has N first."""
    backwards = directions_of(direction, W)
    hidden = _hidden(R, 3, hidden_size)
    defaults = ("Sigmoid", "Tanh")
    functions = _functions(defaults, activations, activation_alpha, activation_beta, clip, len(backwards))
    cells: list[Cell] = []
    biases: list[Any] = []
    for d, (f, g) in enumerate(functions):
        input_bias, recurrent_bias = (np.broadcast_to(b, 3 * hidden) for b in split_bias(B, d, 3 * hidden))
        # Recurrent biases join the input's, except h's where the reset gate multiplies it.
        kept = recurrent_bias.copy()
        kept[: 2 * hidden if linear_before_reset else None] = 0
        biases.append(input_bias + (recurrent_bias - kept))
        cells.append(_gru_cell(widen(R[d]).T, kept[2 * hidden :], hidden, f, g, bool(linear_before_reset)))
    y, h = run_directions(X, W, cells, biases, backwards, [initial_h], sequence_lens, hidden, layout)
    return y, h


def _gru_cell(
    R: Array, h_bias: Array, hidden: int, f: Activation, g: Activation, linear_before: bool
) -> Cell:
    split = 2 * hidden
    R_gates, R_h = np.ascontiguousarray(R[:, :split]), np.ascontiguousarray(R[:, split:])

    def cell(gates: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = state
        zr = f(gates[:, :split] + h @ R_gates)
        z, r = zr[:, :hidden], zr[:, hidden:]
        recurrent = r * (h @ R_h + h_bias) if linear_before else (r * h) @ R_h
        new = g(gates[:, split:] + recurrent)
        return ((1 - z) * new + z * h,)

    return cell


def lstm(
    X: Array, W: Array, R: Array, B: Array | None = None, sequence_lens: Array | None = None,
    initial_h: Array | None = None, initial_c: Array | None = None, P: Array | None = None, *,
    activation_alpha: Floats | None = None, activation_beta: Floats | None = None,
    activations: Sequence[str] | None = None, clip: float | None = None, direction: str = "forward",
    hidden_size: int | None = None, input_forget: int = 0, layout: int = 0,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """LSTM with gates i, o, f, c and peepholes P [D, 3 H] for i, o, f.

    X [T, N, I] -> Y [T, D, N, H], Y_h and Y_c [D, N, H]; layout 1 has N first.
    """
    backwards = directions_of(direction, W)
    hidden = _hidden(R, 4, hidden_size)
    defaults = ("Sigmoid", "Tanh", "Tanh")
    functions = _functions(defaults, activations, activation_alpha, activation_beta, clip, len(backwards))
    if P is not None and P.shape != (len(backwards), 3 * hidden):
        raise ModelError(f"LSTM: P must be {[len(backwards), 3 * hidden]}, is {list(P.shape)}")
    cells, biases = [], []
    for d, (f, g, h) in enumerate(functions):
        input_bias, recurrent_bias = split_bias(B, d, 4 * hidden)
        biases.append(input_bias + recurrent_bias)
        peepholes = None if P is None else widen(P[d]).reshape(3, hidden)
        cells.append(_lstm_cell(widen(R[d]).T, peepholes, hidden, f, g, h, bool(input_forget)))
    initial = [initial_h, initial_c]
    y, h_last, c_last = run_directions(X, W, cells, biases, backwards, initial, sequence_lens, hidden, layout)
    return y, h_last, c_last


def _lstm_cell(
    R: Array, peepholes: Array | None, hidden: int, f: Activation, g: Activation, h: Activation, coupled: bool
) -> Cell:
    def cell(gates: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        before, c = state
        total = gates + before @ R
        i, o, forget, new = (total[:, k * hidden : (k + 1) * hidden] for k in range(4))
        if peepholes is not None:
            i, forget = i + peepholes[0] * c, forget + peepholes[2] * c
        i = f(i)
        keep = 1 - i if coupled else f(forget)
        c = keep * c + i * g(new)
        if peepholes is not None:
            o = o + peepholes[1] * c
        return f(o) * h(c), c

    return cell


def _hidden(R: Array, gates: int, stated: int | None) -> int:
    hidden = int(R.shape[2])
    if R.shape[1] != gates * hidden or (stated is not None and stated != hidden):
        raise ModelError(f"R {list(R.shape)} does not fit {gates} gates of hidden size {stated or hidden}")
    return hidden


def _functions(
    defaults: Sequence[str], names: Sequence[str] | None, alphas: Floats | None, betas: Floats | None,
    clip: float | None, directions: int,
) -> list[list[Activation]]:  # fmt: skip
    """For each direction its activation functions."""
    count = len(defaults)
    chosen = list(names) if names else list(defaults) * directions
    if len(chosen) < count * directions:
        raise ModelError(f"activations must name {count * directions} functions, got {chosen}")
    functions = resolve_activations(chosen[: count * directions], alphas, betas, clip)
    return [functions[d * count : (d + 1) * count] for d in range(directions)]
