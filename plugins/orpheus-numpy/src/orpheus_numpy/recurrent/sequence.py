"""What RNN, GRU and LSTM share: layouts, directions, sequence lengths, and the loop over time.

Shapes here: T steps, N sequences, D directions, I inputs, H hidden; W is [D, gates * H, I], R [D, gates * H, H].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver, widen

#: One step: (W x_t + input biases [N, gates * H], state tuple) -> the next state, whose first member is H_t.
Cell = Callable[[Array, tuple[Array, ...]], tuple[Array, ...]]


def directions_of(direction: str, W: Array) -> list[bool]:
    """For each direction whether it runs backwards; ModelError when W has another number of them."""
    table = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    if direction not in table:
        raise ModelError(f"direction must be forward, reverse or bidirectional, got {direction!r}")
    if W.shape[0] != len(table[direction]):
        raise ModelError(
            f"direction {direction!r} needs {len(table[direction])} weight sets, W has {W.shape[0]}"
        )
    return table[direction]


def split_bias(B: Array | None, direction: int, width: int) -> tuple[Array | float, Array | float]:
    """The input bias and the recurrent bias [gates * H] of one direction; zeros when there is none."""
    if B is None:
        return 0.0, 0.0
    if B.shape[1] != 2 * width:
        raise ModelError(f"B must hold {2 * width} numbers a direction, has {B.shape[1]}")
    row = widen(B[direction])
    return row[:width], row[width:]


def run_directions(
    X: Array,
    W: Array,
    cells: Sequence[Cell],
    biases: Sequence[Array | float],
    backwards: Sequence[bool],
    initial: Sequence[Array | None],
    sequence_lens: Array | None,
    hidden: int,
    layout: int,
) -> tuple[Array, ...]:
    """Run every direction's cell over time; returns Y and the last value of each member of the state.

    ``initial`` holds [D, N, H] (layout 1: [N, D, H]) or None for each member of the state; results have the layout
    asked for and X's element type. Raises ModelError for shapes that do not fit.
    """
    x = widen(X.swapaxes(0, 1) if layout else X)
    steps, batch, width = x.shape
    if W.shape[2] != width:
        raise ModelError(f"W is for {W.shape[2]} inputs, X has {width}")
    lengths = np.full(batch, steps) if sequence_lens is None else sequence_lens.astype(np.int64)
    if lengths.shape != (batch,) or (batch and not 0 <= int(lengths.min()) <= int(lengths.max()) <= steps):
        raise ModelError(f"sequence_lens must be {batch} numbers of 0 to {steps}, got {lengths.tolist()}")
    y = np.zeros((steps, len(cells), batch, hidden), x.dtype)
    last = [np.zeros((len(cells), batch, hidden), x.dtype) for _ in initial]
    for d, (cell, bias, backward) in enumerate(zip(cells, biases, backwards)):
        # One product for all steps; a backward direction reads each sequence from its own end.
        order = _reversed_order(steps, lengths) if backward else None
        source = x if order is None else np.take_along_axis(x, order[:, :, None], axis=0)
        gates = np.matmul(source, widen(W[d]).T) + bias
        state = tuple(_initial(v, d, batch, hidden, layout, x.dtype) for v in initial)
        hiddens = y[:, d]
        ragged = sequence_lens is not None
        for t in range(steps):
            new = cell(gates[t], state)
            if ragged:
                # A sequence that has ended keeps its state, and its Y stays 0.
                going = (t < lengths)[:, None]
                new = tuple(np.where(going, n, s) for n, s in zip(new, state))
                hiddens[t] = np.where(going, new[0], 0)
            else:
                hiddens[t] = new[0]
            state = new
        if order is not None:
            y[:, d] = np.take_along_axis(hiddens, order[:, :, None], axis=0)
        for target, value in zip(last, state):
            target[d] = value
    if layout:
        return tuple(
            np.ascontiguousarray(deliver(v, X.dtype))
            for v in (y.transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in last))
        )
    return tuple(deliver(v, X.dtype) for v in (y, *last))


def _reversed_order(steps: int, lengths: Array) -> Array:
    """[T, N]: step t of a sequence of length n reads n - 1 - t; beyond its end nothing moves."""
    t = np.arange(steps)[:, None]
    order: Array = np.where(t < lengths, lengths - 1 - t, t)
    return order


def _initial(
    value: Array | None, direction: int, batch: int, hidden: int, layout: int, dtype: np.dtype[Any]
) -> Array:
    if value is None:
        return np.zeros((batch, hidden), dtype)
    rows = widen(value[:, direction] if layout else value[direction])
    if rows.shape != (batch, hidden):
        raise ModelError(f"an initial state must be {[batch, hidden]} a direction, is {list(rows.shape)}")
    return rows
