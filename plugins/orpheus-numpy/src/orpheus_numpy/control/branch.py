"""If and Loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array, TensorType, ValueType
from orpheus_numpy.tensor._axes import scalar

#: A subgraph: takes its inputs, returns all its outputs, which stay valid when it is called again.
Body: TypeAlias = Callable[..., tuple[Any, ...]]


def if_(cond: Array, *, then_branch: Body, else_branch: Body) -> tuple[Any, ...]:
    """ONNX If: the outputs of one branch, chosen by the one boolean in ``cond``."""
    return (then_branch if scalar(cond, "If", "cond") else else_branch)()


def loop(
    trips: Array | None = None,
    condition: Array | None = None,
    *initial: Any,
    body: Body,
    problem: Problem,
) -> tuple[Any, ...]:
    """ONNX Loop: ``body(iteration, condition, *carried) -> condition, *carried, *scanned``, again and again.

    Stops after ``trips`` calls or when the condition is false; either may be absent. Returns the carried values
    (tensors, sequences, optionals) and, stacked along a new first axis, what each call scanned. Where no call was
    made the scanned outputs have length 0 and the element type that the node's outputs declare.
    """
    limit = None if trips is None else int(scalar(trips, "Loop", "M"))
    going = condition is None or bool(scalar(condition, "Loop", "cond"))
    count = len(initial)
    carried, done = initial, 0
    columns: list[list[Array]] | None = None
    while going and (limit is None or done < limit):
        results = body(np.array(done, np.int64), np.array(True), *carried)
        going = bool(scalar(results[0], "Loop", "the body's condition"))
        carried = tuple(results[1 : 1 + count])
        scanned = results[1 + count :]
        columns = [[] for _ in scanned] if columns is None else columns
        for column, element in zip(columns, scanned):
            column.append(element)
        done += 1
    scans: list[Array | None]
    if columns is None:
        scans = [empty_scan(type_, 0, "Loop") for type_ in problem.outputs[count:]]
    else:
        scans = [stack(column, 0, "Loop") for column in columns]
    return (*carried, *scans)[: len(problem.outputs)]


def stack(elements: Sequence[Array], axis: int, op: str) -> Array:
    """Elements of equal shape along a new axis; ValueError when their shapes differ."""
    shapes = {np.shape(e) for e in elements}
    if len(shapes) != 1:
        raise ValueError(f"{op}: a scan output changes its shape between iterations: {sorted(shapes)}")
    return np.stack(elements, axis)


def empty_scan(type_: ValueType | None, axis: int, op: str) -> Array | None:
    """The scan output of no iterations: length 0 on ``axis``, dimensions that are not known 0 too.

    None for an output that the node omits; ValueError when its element type is not known.
    """
    if type_ is None:
        return None
    if not isinstance(type_, TensorType):
        raise ValueError(f"{op}: made no iteration, and the type of a scan output is not known ({type_})")
    shape = [d if isinstance(d, int) else 0 for d in type_.shape or (0,)]
    shape[axis] = 0
    return np.empty(shape, type_.dtype.numpy)
