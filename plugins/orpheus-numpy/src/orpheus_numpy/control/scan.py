"""Scan: the form since opset 9, and the batched form of opset 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_numpy.control.branch import Body, empty_scan, stack
from orpheus_numpy.tensor._axes import axis_of, numbers


def scan(
    *initial_and_inputs: Any,
    body: Body,
    num_scan_inputs: int,
    problem: Problem,
    scan_input_axes: Sequence[int] | None = None,
    scan_input_directions: Sequence[int] | None = None,
    scan_output_axes: Sequence[int] | None = None,
    scan_output_directions: Sequence[int] | None = None,
) -> tuple[Any, ...]:
    """ONNX Scan: ``body(*state, *elements) -> *state, *scanned`` for each position of the scan inputs.

    The scan inputs are sliced along their axes, forward or (direction 1) backward; the results are stacked along
    the output axes, appended or (direction 1) prepended. Raises ValueError when the inputs differ in length.
    """
    count = len(initial_and_inputs) - num_scan_inputs
    state, inputs = initial_and_inputs[:count], initial_and_inputs[count:]
    axes = [axis_of(a, x.ndim, "Scan") for a, x in zip(scan_input_axes or (0,) * len(inputs), inputs)]
    backward = scan_input_directions or (0,) * len(inputs)
    sources = [np.moveaxis(x, axis, 0)[:: -1 if back else 1] for x, axis, back in zip(inputs, axes, backward)]
    state, columns = _iterate(body, state, sources)
    declared = problem.outputs[count:]
    wanted = len(declared) if columns is None else len(columns)
    out_axes = scan_output_axes or (0,) * wanted
    if columns is None:
        empty = (empty_scan(type_, axis, "Scan") for type_, axis in zip(declared, out_axes))
        return (*state, *empty)[: len(problem.outputs)]
    prepend = scan_output_directions or (0,) * wanted
    stacked = (
        stack(c[::-1] if back else c, axis, "Scan") for c, axis, back in zip(columns, out_axes, prepend)
    )
    return (*state, *stacked)[: len(problem.outputs)]


def _iterate(
    body: Body, state: tuple[Any, ...], sources: Sequence[Array]
) -> tuple[tuple[Any, ...], list[list[Array]] | None]:
    """Final state, and for each scan output the list of its elements (None when there was no iteration)."""
    lengths = {len(s) for s in sources}
    if len(lengths) != 1:
        raise ValueError(f"Scan: the scan inputs have lengths {sorted(lengths)}, which must be one")
    columns: list[list[Array]] | None = None
    for step in range(lengths.pop()):
        results = body(*state, *(s[step, ...] for s in sources))
        count = len(state)
        state = tuple(results[:count])
        columns = [[] for _ in results[count:]] if columns is None else columns
        for column, element in zip(columns, results[count:]):
            column.append(element)
    return state, columns


def scan_8(
    sequence_lens: Array | None,
    *initial_and_inputs: Array,
    body: Body,
    num_scan_inputs: int,
    problem: Problem,
    directions: Sequence[int] | None = None,
) -> tuple[Any, ...]:
    """ONNX Scan of opset 8: every operand has the batch on axis 0, and the scan inputs their sequence on axis 1.

    Sample b runs for ``sequence_lens[b]`` positions (all, if not given); its outputs are padded with zeros.
    """
    count = len(initial_and_inputs) - num_scan_inputs
    initial, inputs = initial_and_inputs[:count], initial_and_inputs[count:]
    batch, longest = inputs[0].shape[:2]
    lengths = [longest] * batch if sequence_lens is None else numbers(sequence_lens)
    if len(lengths) != batch or any(not 0 <= n <= longest for n in lengths):
        raise ValueError(f"Scan: needs {batch} sequence lengths of 0 to {longest}, has {lengths}")
    backward = directions or (0,) * len(inputs)
    states: list[tuple[Any, ...]] = []
    rows: list[list[Array] | None] = []
    for sample, length in enumerate(lengths):
        sources = [x[sample, :length][:: -1 if back else 1] for x, back in zip(inputs, backward)]
        state, columns = _iterate(body, tuple(x[sample, ...] for x in initial), sources)
        states.append(state)
        rows.append(None if columns is None else [stack(c, 0, "Scan") for c in columns])
    finals = tuple(np.stack(column) for column in zip(*states)) if states else tuple(initial)
    pattern = next((row for row in rows if row is not None), None)
    if pattern is None:
        empty = (empty_scan(type_, 1, "Scan") for type_ in problem.outputs[count:])
        padding = (None if e is None else np.zeros((batch, longest, *e.shape[2:]), e.dtype) for e in empty)
        return (*finals, *padding)[: len(problem.outputs)]
    outputs = tuple(np.zeros((batch, longest, *p.shape[1:]), p.dtype) for p in pattern)
    for sample, row in enumerate(rows):
        for output, part in zip(outputs, row or ()):
            output[sample, : len(part)] = part
    return (*finals, *outputs)[: len(problem.outputs)]
