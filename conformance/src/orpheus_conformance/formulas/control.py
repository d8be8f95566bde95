"""Control flow, with ``onnx.reference`` for the bodies. Sources: the pages of Loop and Scan in ONNX's Operators.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.bodies import callables
from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance
from orpheus_core.types import Array, TensorType


@formula(
    "Loop", why="it joins what is scanned instead of stacking it, and fails or stops where no call is made"
)
def loop(instance: Instance) -> tuple[Any, ...]:
    """Calls while the condition holds and the count is not reached, both optional; scanned values are stacked."""
    body = callables(instance.node.attributes)["body"]
    trips, going, *carried = instance.arrays
    holds = going is None or bool(going.reshape(-1)[0])
    rows: list[list[Any]] = []
    while holds and (trips is None or len(rows) < trips.reshape(-1)[0]):
        condition, *results = body(np.array(len(rows), np.int64), np.array(True), *carried)
        holds = bool(condition.reshape(-1)[0])
        carried = results[: len(carried)]
        rows.append(results[len(carried) :])
    return (*carried, *_columns(instance, rows, [0] * len(instance.node.outputs), len(carried)))


def _columns(instance: Instance, rows: list[list[Any]], axes: list[int], first: int) -> list[Any]:
    """What was scanned, stacked; nothing of the declared shape when there were no calls."""
    found = []
    for n, type_ in enumerate(instance.problem.outputs[first:]):
        if rows:
            found.append(np.stack([row[n] for row in rows], axes[n]))
        else:
            assert isinstance(type_, TensorType)
            shape = [d if isinstance(d, int) else 0 for d in type_.shape or (0,)]
            shape[axes[n]] = 0
            found.append(np.zeros(shape, type_.dtype.numpy))
    return found


@formula("Scan", why="it knows neither axes nor directions, nor the form of opset 8")
def scan(instance: Instance) -> tuple[Any, ...]:
    """One call for each position of the scanned inputs, which are taken forwards or backwards."""
    attributes: Any = instance.node.attributes
    count = attributes["num_scan_inputs"]
    if instance.node.version < 9:
        return _scan_8(instance, count)
    state, elements = list(instance.arrays[:-count]), instance.arrays[-count:]
    zeros = (0,) * len(instance.node.outputs)
    body = callables(attributes)["body"]
    axes = attributes.get("scan_input_axes", zeros)
    ways = attributes.get("scan_input_directions", zeros)
    rows: list[list[Any]] = []
    for step in range(elements[0].shape[axes[0]]):
        now = [x.take(-1 - step if way else step, axis) for x, axis, way in zip(elements, axes, ways)]
        results = list(body(*state, *now))
        state = results[: len(state)]
        rows.append(results[len(state) :])
    columns = _columns(instance, rows, list(attributes.get("scan_output_axes", zeros)), len(state))
    ways = attributes.get("scan_output_directions", zeros)
    axes = attributes.get("scan_output_axes", zeros)
    return (*state, *(np.flip(c, axis) if way else c for c, axis, way in zip(columns, axes, ways)))


def _scan_8(instance: Instance, count: int) -> tuple[Any, ...]:
    attributes: Any = instance.node.attributes
    body = callables(attributes)["body"]
    lengths, *operands = instance.arrays
    split = len(operands) - count
    batch, longest = operands[-1].shape[:2]
    ways = attributes.get("directions", (0,) * count)
    outputs: list[Array] = []
    for type_ in instance.problem.outputs:
        assert isinstance(type_, TensorType) and type_.static_shape is not None
        outputs.append(np.zeros(type_.static_shape, type_.dtype.numpy))
    for sample in range(batch):
        state = [x[sample] for x in operands[:split]]
        length = longest if lengths is None else int(lengths[sample])
        for step in range(length):
            now = [x[sample, length - 1 - step if way else step] for x, way in zip(operands[split:], ways)]
            results = list(body(*state, *now))
            state = results[:split]
            for output, value in zip(outputs[split:], results[split:]):
                output[sample, step] = value
        for output, value in zip(outputs, state):
            output[sample] = value
    return tuple(outputs)
