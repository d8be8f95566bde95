"""Binary, normalisation, softmax, concatenation, reduction, resampling, and changes of layout."""

from __future__ import annotations

from ctypes import c_float, c_void_p
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from orpheus_core.geometry.sampling import resized, untabled
from orpheus_core.plugin import Problem
from orpheus_onednn import dnnl
from orpheus_onednn.activation import along, as_call, fused, with_operand
from orpheus_onednn.call import Call, Operand, Refusal, operand, shape_of, type_of

BINARIES = {"Add": 131056, "Mul": 131057, "Max": 131058, "Min": 131059, "Div": 131060, "Sub": 131061}
#: Of norms the library has nothing but its reference.
REDUCTIONS = {f"Reduce{n}": 196594 + i for i, n in enumerate(("Max", "Min", "Sum", "Prod", "Mean"))}
_SOFTMAX = {"Softmax": 196608, "LogSoftmax": 196609}
_MODES = {"nearest": 196592, "linear": 196593}
_USE_GLOBAL, _USE_SCALE, _USE_SHIFT = 1, 2, 4


def binary(problem: Problem, x: str, y: str) -> list[Call]:
    """Two tensors, the second with ones where it is broadcast."""
    if len(problem.inputs) != 2:
        raise Refusal(f"needs two inputs, has {len(problem.inputs)}")
    whole = shape_of(problem, ~0)
    shapes = [(1,) * (len(whole) - len(shape_of(problem, i))) + shape_of(problem, i) for i in (0, 1)]
    first = int(shapes[0] != whole and problem.op not in ("Sub", "Div"))
    if shapes[first] != whole:
        raise Refusal(f"needs an input of the output's shape in first place, has {list(shapes[0])}")
    source = operand(problem, dnnl.SRC, first, x, shapes[first])
    other = operand(problem, dnnl.SRC_1, 1 - first, x, shapes[1 - first])
    return [Call("binary", (BINARIES[problem.op], source, other, operand(problem, dnnl.DST, ~0, y)))]


def scale_shift(problem: Problem, x: str, y: str) -> list[Call]:
    """ScaleShift: a product whose sum and activation are post-ops."""
    source, result = _ends(problem, x, y)
    vector = along(source, int(problem.attributes["axis"]) % len(source.md.shape), x)
    post = with_operand(problem, dnnl.BINARY_MUL, 1, *vector)
    post += [*with_operand(problem, dnnl.BINARY_ADD, 2, *vector), *fused(problem)]
    return [as_call(source, result, post)]


def normalization(problem: Problem, x: str, y: str) -> list[Call]:
    """BatchNormalization with given mean and variance; LayerNormalization over the last axis."""
    source, result = _ends(problem, x, y)
    batch, rank = problem.op[0] == "B", len(source.md.shape)
    args = (dnnl.SCALE, dnnl.SHIFT, *((dnnl.MEAN, dnnl.VARIANCE) if batch else ()))
    more = tuple(operand(problem, arg, i) for i, arg in enumerate(args, 1) if type_of(problem, i) is not None)
    axis = 1 if batch else int(problem.attributes.get("axis", -1)) % rank
    if rank < 2 or axis != (1 if batch else rank - 1):
        raise Refusal("needs two axes or more, the last of them for LayerNormalization")
    if problem.attributes.get("training_mode") or any(type_of(problem, ~i) for i in range(1, 5)):
        raise Refusal("computes Y only, and does not train")
    if {(o.md.dtype, o.md.shape) for o in more} != {("float32", source.md.shape[axis : axis + 1])}:
        raise Refusal("needs scale, shift and statistics of float32 with a value for each of the axis")
    flags = (_USE_GLOBAL * batch) | _USE_SCALE | (_USE_SHIFT if len(more) > 1 else 0)
    numbers = (c_float(problem.attributes.get("epsilon", 1e-5)), flags)
    name, statistics = ("batch", ()) if batch else ("layer", (None,))
    parameters = (dnnl.FORWARD, source, result, *statistics, *numbers)
    return [Call(f"{name}_normalization_forward", parameters, more)]


def softmax(problem: Problem, x: str, y: str) -> list[Call]:
    """Softmax and LogSoftmax along one axis."""
    source, result = _ends(problem, x, y)
    axis = int(problem.attributes.get("axis", -1)) % max(len(source.md.shape), 1)
    return [Call("softmax_forward", (dnnl.FORWARD, _SOFTMAX[problem.op], source, result, axis))]


def concat(problem: Problem, x: str, y: str) -> list[Call]:
    """Concat along any axis."""
    result = operand(problem, dnnl.DST, ~0, y)
    axis = int(problem.attributes["axis"]) % len(result.md.shape)
    parts = tuple(operand(problem, dnnl.MULTIPLE_SRC + i, i, x) for i in range(len(problem.inputs)))
    pointers = (c_void_p * len(parts))(*(part.handle._as_parameter_ for part in parts))
    return [Call("concat", (result, len(parts), axis, pointers), parts)]


def split(problem: Problem, x: str, y: str) -> list[Call]:
    """Split along any axis: a copy of each part."""
    source = operand(problem, dnnl.SRC, 0, x)
    axis = int(problem.attributes.get("axis", 0)) % len(source.md.shape)
    offsets, calls = [0] * len(source.md.shape), []
    for i in range(len(problem.outputs)):
        result = operand(problem, dnnl.DST, ~i, y)
        part = replace(source.md, shape=result.md.shape, within=(source.md, tuple(offsets)))
        offsets[axis] += result.md.shape[axis]
        calls.append(Call("reorder", (replace(source, md=part), result)))
    return calls


def reduction(problem: Problem, x: str, y: str) -> list[Call]:
    """Reduce* over axes that are attributes or constants."""
    source = operand(problem, dnnl.SRC, 0, x)
    given: Any = problem.constants.get(1, problem.attributes.get("axes"))
    axes = [int(a) % len(source.md.shape) for a in (() if given is None else given)]
    if not axes and not problem.attributes.get("noop_with_empty_axes"):
        axes = list(range(len(source.md.shape)))
    shape = [1 if i in axes else n for i, n in enumerate(source.md.shape)]
    result = operand(problem, dnnl.DST, ~0, y, shape)
    if result.md.shape == source.md.shape:
        raise Refusal("needs an axis of more than one element to reduce")
    return [Call("reduction", (REDUCTIONS[problem.op], source, result, c_float(0), c_float(0)))]


def resampling(problem: Problem, x: str, y: str) -> list[Call]:
    """Resize by linear interpolation, or to a multiple by nearest, whose rounding then makes no difference."""
    source, result = _ends(problem, x, y)
    before, after, mode = source.md.shape, result.md.shape, str(problem.attributes["mode"])
    if len(before) not in (3, 4, 5) or before[:2] != after[:2]:
        raise Refusal("needs 1 to 3 spatial axes, and to leave batch and channels alone")
    own = replace(problem, attributes={"mode": mode}, constants={})  # half_pixel, by the ratio of the sizes
    tables: Any = () if untabled(problem) else (chain(*resized(problem)), chain(*resized(own)))
    if mode not in _MODES or not tables or not all(map(np.array_equal, *tables)):
        raise Refusal("needs nearest or linear of the elements that half_pixel takes, without antialiasing")
    if mode == "nearest" and any(b % a for a, b in zip(before, after)):
        raise Refusal("needs a multiple of every size for nearest")
    return [Call("resampling_forward", (dnnl.FORWARD, _MODES[mode], None, source, result))]


def reorder(problem: Problem, x: str, y: str) -> list[Call]:
    """Reorder, whose layouts are attributes."""
    source, result = (str(problem.attributes[name]) for name in ("from_layout", "to_layout"))
    return [Call("reorder", _ends(problem, source, result))]


def _ends(problem: Problem, x: str, y: str) -> tuple[Operand, Operand]:
    return operand(problem, dnnl.SRC, 0, x), operand(problem, dnnl.DST, ~0, y)
