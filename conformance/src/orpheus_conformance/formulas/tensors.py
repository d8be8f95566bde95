"""Data movement, element by element. Sources: the operators' pages in ONNX's Operators.md."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance


def _strings(case: Case) -> bool:
    return isinstance(case.inputs[0], Operand) and case.inputs[0].dtype == "string"


@formula("Reorder", domain="ai.orpheus", why="a layout is no part of an ONNX model")
def reorder(instance: Instance) -> tuple[Any, ...]:
    """The same tensor: its layout is what the judge converts before and after."""
    return (instance.arrays[0],)


@formula("OneHot", why="it computes off + hot * (on - off), which rounds, and fails for a depth of shape [1]")
def one_hot(instance: Instance) -> tuple[Any, ...]:
    """``values[1]`` where the index on the new axis is the one asked for, ``values[0]`` elsewhere."""
    indices, depth, values = instance.arrays
    count = int(depth.reshape(-1)[0])
    axis = instance.node.attributes["axis"] % (indices.ndim + 1)
    result = np.empty((*indices.shape[:axis], count, *indices.shape[axis:]), values.dtype)
    for place in np.ndindex(result.shape):
        index = int(indices[place[:axis] + place[axis + 1 :]])
        result[place] = values[int(place[axis] == (index + count if index < 0 else index))]
    return (result,)


@formula("Trilu", when=_strings, why="it makes the number 0 of a string")
def trilu(instance: Instance) -> tuple[Any, ...]:
    """What is on the wrong side of the diagonal becomes zero; of strings, the empty one."""
    data, *rest = instance.arrays
    k = int(rest[0].reshape(-1)[0]) if rest and rest[0] is not None else 0
    result = data.copy()
    for place in np.ndindex(data.shape):
        above = place[-1] - place[-2] - k
        if above < 0 if instance.node.attributes["upper"] else above > 0:
            result[place] = "" if data.dtype == object else 0
    return (result,)


@formula(
    "Shape", why="it adds the rank to negative bounds again where they are below -rank, instead of clamping"
)
def shape(instance: Instance) -> tuple[Any, ...]:
    """Negative bounds have the rank added; then both are clamped to [0, rank]."""
    data = instance.arrays[0]
    rank = int(data.ndim)

    def bound(name: str, default: int) -> int:
        given = int(instance.node.attributes.get(name, default))  # type: ignore[arg-type]
        return min(max(given + rank if given < 0 else given, 0), rank)

    start, end = bound("start", 0), bound("end", rank)
    return (np.array([data.shape[i] for i in range(start, end)], np.int64),)


@formula("Scatter", why="it has no implementation of this deprecated operator")
def scatter(instance: Instance) -> tuple[Any, ...]:
    """Each update replaces the element at its own place, except that its index stands for the place on the axis."""
    data, indices, updates = instance.arrays
    axis = instance.node.attributes["axis"] % data.ndim
    result = data.copy()
    for place in np.ndindex(indices.shape):
        result[(*place[:axis], indices[place], *place[axis + 1 :])] = updates[place]
    return (result,)


def _complex(case: Case) -> bool:
    return isinstance(case.inputs[0], Operand) and case.inputs[0].dtype.startswith("complex")


@formula("Expand", when=_complex, why="it multiplies by ones, which makes NaN of an infinite complex number")
def expand(instance: Instance) -> tuple[Any, ...]:
    """The element at each place, where axes of size one have but one place."""
    data, shape = instance.arrays
    result = np.empty(np.broadcast_shapes(data.shape, tuple(shape.tolist())), data.dtype)
    for place in np.ndindex(result.shape):
        own = place[len(place) - data.ndim :]
        result[place] = data[tuple(min(p, n - 1) for p, n in zip(own, data.shape))]
    return (result,)


def _removes(case: Case) -> bool:
    pads = case.inputs[1]
    return _strings(case) or (isinstance(pads, Operand) and any(n < 0 for n in pads.data or ()))


@formula(
    "Pad",
    when=_removes,
    why="it passes negative pads to numpy, which has none, and pads strings with the number 0",
)
def pad(instance: Instance) -> tuple[Any, ...]:
    """What negative pads remove is gone before the others look at the tensor."""
    data, pads, value, axes = (*instance.arrays, None, None)[:4]
    mode = instance.node.attributes["mode"]
    chosen = range(data.ndim) if axes is None else [int(a) % data.ndim for a in axes]
    amounts = [[0, 0] for _ in data.shape]
    for i, axis in enumerate(chosen):
        amounts[axis] = [int(pads[i]), int(pads[i + len(pads) // 2])]
    for axis, (before, after) in enumerate(amounts):
        stop = data.shape[axis] + min(after, 0)
        data = data.take(np.arange(max(-before, 0), stop), axis)
    starts = [max(before, 0) for before, _ in amounts]
    shape = [n + start + max(after, 0) for n, start, (_, after) in zip(data.shape, starts, amounts)]
    fill: Any = "" if data.dtype == object else 0
    result = np.full(shape, fill if value is None else value.reshape(())[()], data.dtype)
    for place in np.ndindex(result.shape):
        source = []
        for p, start, n in zip(place, starts, data.shape):
            at = p - start
            if mode == "edge":
                at = min(max(at, 0), n - 1)
            elif mode == "wrap":
                at %= n
            elif mode == "reflect":
                at = abs(at) if at < n else 2 * (n - 1) - at
            source.append(at)
        if all(0 <= at < n for at, n in zip(source, data.shape)):
            result[place] = data[tuple(source)]
    return (result,)


@formula("CenterCropPad", when=_strings, why="it pads strings with the number 0")
def center_crop_pad(instance: Instance) -> tuple[Any, ...]:
    """Centred on either tensor, the smaller part first."""
    data, shape = instance.arrays
    given = instance.node.attributes.get("axes")
    axes = [a % data.ndim for a in (range(data.ndim) if given is None else given)]  # type: ignore[union-attr]
    for axis, wanted in zip(axes, shape.tolist()):
        size = data.shape[axis]
        first = (size - wanted) // 2 if size > wanted else -((wanted - size) // 2)
        result = np.full([wanted if a == axis else n for a, n in enumerate(data.shape)], "", object)
        for place in np.ndindex(result.shape):
            at = place[axis] + first
            if 0 <= at < size:
                result[place] = data[(*place[:axis], at, *place[axis + 1 :])]
        data = result
    return (data,)


def _backward(case: Case) -> bool:
    steps = case.inputs[4] if len(case.inputs) > 4 else None
    return isinstance(steps, Operand) and any(n < 0 for n in steps.data or ())


@formula("Slice", when=_backward, why="it leaves a start below the axis to Python, which then takes nothing")
def slice_(instance: Instance) -> tuple[Any, ...]:
    """Backwards, a start is clamped to [0, size - 1] and an end to [-1, size - 1]."""
    data, starts, ends, axes, steps = instance.arrays
    chosen = range(len(starts)) if axes is None else axes.tolist()
    for axis, start, end, step in zip(chosen, starts.tolist(), ends.tolist(), steps.tolist()):
        size = data.shape[axis]
        low, high = (0, size) if step > 0 else (-1, size - 1)
        first = min(max(start + size if start < 0 else start, low, 0), high)
        last = min(max(end + size if end < 0 else end, low), high)
        data = data.take(list(range(first, last, step)) if size else np.zeros(0, int), axis)
    return (data,)
