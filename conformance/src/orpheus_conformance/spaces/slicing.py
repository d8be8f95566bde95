"""Operators that cut, pad and turn tensors along axes: equal bits."""

from __future__ import annotations

from typing import Any

from orpheus_conformance.case import Operand
from orpheus_conformance.draw import DIMS, FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import MOVEMENT

_FAR = 2**63 - 1
#: Element types without a zero to pad with.
_NO_ZERO = {"float8_e8m0fnu"}


@space("Split", MOVEMENT, since=18)
def split(d: Draw) -> Layer:
    """Parts of given lengths, or a number of equal parts of which the last may be shorter."""
    shape = list(d.shape("input", (2, 1, 3, 4)))
    axis = d.axis(len(shape))
    dtype = d.dtype("T")
    count = d.choose((2, 1, 3, 4))
    attributes: dict[str, Any] = {"axis": d.maybe("axis", axis, 0)}
    if d.flag():
        sizes = d.sizes("input", (*DIMS[:4], 0))
        sizes = d.widths(sizes) if axis in (1, 1 - len(shape)) else sizes
        parts = [d.choose(sizes) for _ in range(count)]
        shape[axis] = sum(parts)
        return Layer(
            (d.tensor("input", dtype, shape), d.data("split", "int64", parts)), attributes, (True,) * count
        )
    # Equal parts are as large as they can be with none left empty.
    whole = d.sizes("input", (*DIMS, 11))
    shape[axis] = d.choose([n for n in whole if n == 0 or -(-n // -(-n // count)) == count] or [count])
    attributes["num_outputs"] = count
    return Layer((d.tensor("input", dtype, shape),), attributes, (True,) * count)


@space("Slice", MOVEMENT, since=10)
def slice_(d: Draw) -> Layer:
    """Bounds inside, outside and far outside the axis, from either end; steps either way."""
    shape = d.shape("data", (2, 1, 3, 4))
    rank = len(shape)
    leading = d.flag()
    axes = tuple(range(d.integer(1, rank))) if leading else d.axes(rank, 1)
    kind = d.dtype("Tind")
    far = _FAR if kind == "int64" else 2**31 - 1
    starts, ends, steps = [], [], []
    for axis in axes:
        size = shape[axis]
        places = (0, 1, size - 1, size, size + 3, -1, -size, -size - 4, far, -far)
        step = d.choose((1, -1, 2, -1, 3, -2, far, -far))
        steps.append(step)
        if d.choose(
            (True, True, False)
        ):  # bounds that go with the step: drawn freely they mostly leave nothing
            starts.append(d.choose((0, -size, 1) if step > 0 else (size - 1, -1, far)))
            ends.append(d.choose((size, far) if step > 0 else (-size - 1, -far - 1)))
        else:
            starts.append(d.choose(places))
            ends.append(d.choose((size, *places, -far - 1)))
    inputs: list[Operand | None] = [d.tensor("data", d.dtype("T"), shape)]
    inputs += [d.data("starts", kind, starts), d.data("ends", kind, ends)]
    inputs.append(None if leading and d.flag() else d.data("axes", kind, axes))
    if d.choose((False, False, True)):
        inputs[1:3] = [d.data("starts", kind, starts), d.data("ends", kind, ends)]
        return Layer(tuple(inputs))
    return Layer((*inputs, d.data("steps", kind, steps)))


@space("Pad", MOVEMENT, since=18)
def pad(d: Draw) -> Layer:
    """Elements added and removed at either end of some axes, in every mode."""
    mode = d.attribute("mode", ("constant", OMIT, "edge", "reflect", "wrap"))
    fills = mode in ("constant", OMIT)
    shape = d.shape("data", (2, 1, 3, 4), DIMS if fills else FULL_DIMS)
    rank = len(shape)
    chosen = d.choose((None, d.axes(rank, 1)))
    axes = tuple(range(rank)) if chosen is None else chosen
    before, after = [], []
    for axis in axes:
        size = shape[axis]
        # Reflection that turns back more than once is for others to define.
        most = size - 1 if mode == "reflect" else 3
        amounts = [n for n in (0, 1, 2, 3) if n <= most]
        if d.block > 1 and axis < 2 and d.choose((True, True, False)):
            amounts = [0]  # in blocks rows and columns are padded
        before.append(d.choose(amounts))
        after.append(d.choose(amounts))
        if size > 2 and len(amounts) > 1 and d.flag():
            before[-1], after[-1] = d.choose(((-1, 0), (0, -1), (-1, -1), (-2, 1 if fills else 0)))
    dtype = d.dtype("T")
    inputs: list[Operand | None] = [d.tensor("data", dtype, shape), d.data("pads", "int64", before + after)]
    fill = fills and (dtype in _NO_ZERO or d.flag())
    inputs.append(d.tensor("constant_value", dtype, (), constant=None) if fill else None)
    if chosen is not None:
        kind = d.dtype("Tind", None if d.may("axes.runtime", True) else ("int64",))
        # ONNX's inference reads no constant axes of int32.
        inputs.append(d.data("axes", kind, axes, constant=False if kind == "int32" else None))
    return Layer(tuple(inputs), {"mode": mode})


@space("CenterCropPad", MOVEMENT)
def center_crop_pad(d: Draw) -> Layer:
    """Each chosen axis cropped, padded or left as it is; odd and even differences."""
    shape = d.shape("input_data", (2, 1, 3, 4))
    options: tuple[Any, ...] = (OMIT, d.axes(len(shape), 1))
    axes = d.choose(options)
    chosen = range(len(shape)) if axes is OMIT else axes
    wanted = [d.choose((*DIMS, 4, 10)) for _ in chosen]
    data = d.tensor("input_data", d.dtype("T", d.dtypes("T") - _NO_ZERO), shape)
    return Layer((data, d.data("shape", d.dtype("Tind"), wanted)), {"axes": axes})


@space("ReverseSequence", MOVEMENT)
def reverse_sequence(d: Draw) -> Layer:
    """Lengths from none to all; batch and time in either order."""
    shape = d.shape("input", (2, 3, 4))
    batch = d.attribute("batch_axis", (1, 0))
    lengths = [d.integer(0, shape[1 - batch]) for _ in range(shape[batch])]
    attributes = {
        "batch_axis": d.maybe("batch_axis", batch, 1),
        "time_axis": d.maybe("time_axis", 1 - batch, 0),
    }
    return Layer(
        (d.tensor("input", d.dtype("T"), shape), d.data("sequence_lens", "int64", lengths)), attributes
    )


@space("Trilu", MOVEMENT)
def trilu(d: Draw) -> Layer:
    """Matrices and stacks of them; the diagonal inside, outside and far outside."""
    shape = d.shape("input", (2, 3, 4))
    upper = d.attribute("upper", (1, 0, OMIT))
    data = d.tensor("input", d.dtype("T"), shape)
    if d.flag():
        return Layer((data,), {"upper": upper})
    return Layer((data, d.data("k", "int64", d.choose((0, 1, -1, 2, -3, 10, -10)))), {"upper": upper})
