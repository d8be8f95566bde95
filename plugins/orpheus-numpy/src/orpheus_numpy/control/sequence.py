"""Sequences (Python lists, never changed in place) and optionals (the value, or None)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_numpy.control.branch import Body
from orpheus_numpy.tensor._axes import axis_of, numbers, scalar


def sequence_construct(*inputs: Array) -> list[Array]:
    """ONNX SequenceConstruct: a sequence of the tensors given."""
    return list(inputs)


def sequence_empty(*, dtype: int | None = None) -> list[Array]:
    """ONNX SequenceEmpty: a sequence without elements; the element type is known to the graph alone."""
    return []


def _place(position: Array, size: int, op: str) -> int:
    index = int(scalar(position, op, "position"))
    if not -size <= index < size:
        raise ValueError(f"{op}: position {index} is outside [-{size}, {size - 1}]")
    return index % size


def sequence_at(sequence: Sequence[Any], position: Array) -> Any:
    """ONNX SequenceAt: the element at ``position`` (negative from the end); ValueError outside the sequence."""
    return sequence[_place(position, len(sequence), "SequenceAt")]


def sequence_insert(sequence: Sequence[Any], tensor: Any, position: Array | None = None) -> list[Any]:
    """ONNX SequenceInsert: with ``tensor`` before ``position`` (at the end, if not given)."""
    size = len(sequence)
    index = size if position is None else int(scalar(position, "SequenceInsert", "position"))
    if not -size <= index <= size:
        raise ValueError(f"SequenceInsert: position {index} is outside [-{size}, {size}]")
    return [*sequence[:index], tensor, *sequence[index:]]


def sequence_erase(sequence: Sequence[Any], position: Array | None = None) -> list[Any]:
    """ONNX SequenceErase: without the element at ``position`` (the last, if not given)."""
    last = np.array(-1) if position is None else position
    index = _place(last, len(sequence), "SequenceErase")
    return [*sequence[:index], *sequence[index + 1 :]]


def sequence_length(sequence: Sequence[Any]) -> Array:
    """ONNX SequenceLength: the number of elements, int64, shape []."""
    return np.array(len(sequence), np.int64)


def sequence_map(
    sequence: Sequence[Any], *additional: Any, body: Body, problem: Problem
) -> tuple[list[Any], ...]:
    """ONNX SequenceMap: ``body`` of each element, and of the elements of other sequences at the same position.

    Additional tensors are passed to every call as they are. Raises ValueError for sequences of other lengths.
    """
    for other in additional:
        if isinstance(other, list) and len(other) != len(sequence):
            raise ValueError(f"SequenceMap: sequences of {len(sequence)} and {len(other)} elements")
    outputs: tuple[list[Any], ...] = tuple([] for _ in problem.outputs)
    for i, element in enumerate(sequence):
        rest = (other[i] if isinstance(other, list) else other for other in additional)
        for output, value in zip(outputs, body(element, *rest)):
            output.append(value)
    return outputs


def split_to_sequence(
    data: Array, split: Array | None = None, *, axis: int = 0, keepdims: int = 1
) -> list[Array]:
    """ONNX SplitToSequence: chunks along ``axis``, of size ``split`` (the last may be smaller) or of the given sizes.

    Without ``split`` each chunk has size 1, and ``keepdims=0`` drops the axis. Raises ValueError for sizes that do
    not add up.
    """
    axis = axis_of(axis, data.ndim, "SplitToSequence")
    length = data.shape[axis]
    before: tuple[Any, ...] = (slice(None),) * axis
    if split is None and not keepdims:
        return [data[(*before, i, ...)] for i in range(length)]
    if split is None or split.ndim == 0:
        size = 1 if split is None else int(split)
        if size <= 0:
            raise ValueError(f"SplitToSequence: split is {size}, must be positive")
        bounds = [*range(0, length, size), length]
    else:
        sizes = numbers(split)
        if sum(sizes) != length or min(sizes, default=0) < 0:
            raise ValueError(
                f"SplitToSequence: sizes {sizes} do not add up to {length}, the size of axis {axis}"
            )
        bounds = [0, *np.cumsum(sizes).tolist()]
    return [data[(*before, slice(a, b))] for a, b in pairwise(bounds)]


def concat_from_sequence(sequence: Sequence[Array], *, axis: int, new_axis: int = 0) -> Array:
    """ONNX ConcatFromSequence: the elements joined along ``axis``, or stacked along a new one."""
    if not sequence:
        raise ValueError("ConcatFromSequence: the sequence is empty")
    return np.stack(sequence, axis) if new_axis else np.concatenate(sequence, axis)


def optional(value: Any = None, *, type: Any = None) -> Any:
    """ONNX Optional: an optional that holds ``value``, or nothing."""
    return value


def optional_get_element(value: Any) -> Any:
    """ONNX OptionalGetElement: what the optional holds; ValueError when it is empty."""
    if value is None:
        raise ValueError("OptionalGetElement: the optional is empty")
    return value


def optional_has_element(value: Any = None) -> Array:
    """ONNX OptionalHasElement: whether the optional holds something, bool, shape []."""
    return np.array(value is not None)
