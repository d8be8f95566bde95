"""Binary, normalisation, softmax, concatenation, reduction, resampling, and changes of layout."""

from __future__ import annotations

from ctypes import c_float, c_void_p
from dataclasses import replace
from typing import Any

from orpheus_core.plugin import Problem
from orpheus_onednn import dnnl
from orpheus_onednn.activation import along, as_call, fused, with_operand
from orpheus_onednn.call import Call, Operand, Refusal, operand, shape_of, type_of

BINARIES = {"Add": 131056, "Mul": 131057, "Max": 131058, "Min": 131059, "Div": 131060, "Sub": 131061}
#: Of norms the library has nothing but its reference.
REDUCTIONS = {f"Reduce{n}": 196594 + i for i, n in enumerate(("Max", "Min", "Sum", "Prod", "Mean"))}
_SOFTMAX = {"Softmax": 196608, "LogSoftmax": 196609}
_NEAREST, _LINEAR = 196592, 196593
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
    order = zip((dnnl.SRC, dnnl.SRC_1), (first, 1 - first))
    sources = [operand(problem, arg, i, x, shapes[i]) for arg, i in order]
    return [Call("binary", (BINARIES[problem.op], *sources, operand(problem, dnnl.DST, ~0, y)))]


def scale_shift(problem: Problem, x: str, y: str) -> list[Call]:
    """ScaleShift: a product whose sum and activation are post-ops."""
    source, result = _ends(problem, x, y)
    axis = int(problem.attributes["axis"]) % len(source.md.shape)
    vector = along(source, axis, x)
    post = with_operand(problem, dnnl.BINARY_MUL, 1, *vector)
    return [
        as_call(source, result, [*post, *with_operand(problem, dnnl.BINARY_ADD, 2, *vector), *fused(problem)])
    ]


def normalization(problem: Problem, x: str, y: str) -> list[Call]:
    """BatchNormalization with given mean and variance; LayerNormalization over the last axis."""
    source, result = _ends(problem, x, y)
    batch, rank = problem.op[0] == "B", len(source.md.shape)
    args = (dnnl.SCALE, dnnl.SHIFT, *((dnnl.MEAN, dnnl.VARIANCE) if batch else ()))
    more = tuple(operand(problem, arg, i) for i, arg in enumerate(args, 1) if type_of(problem, i) is not None)
    axis = 1 if batch else int(problem.attributes.get("axis", -1)) % rank
    if rank < 2 or axis != (1 if batch else rank - 1) or problem.attributes.get("training_mode"):
        raise Refusal("needs two axes or more, the last of them for LayerNormalization, and no training")
    if any(type_of(problem, ~i) is not None for i in range(1, 5)):
        raise Refusal("computes Y only")
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
    start, calls = 0, []
    for i in range(len(problem.outputs)):
        result = operand(problem, dnnl.DST, ~i, y)
        offsets = tuple(start if a == axis else 0 for a in range(len(source.md.shape)))
        start += result.md.shape[axis]
        part = replace(source.md, shape=result.md.shape, within=(source.md, offsets))
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
    before, after = source.md.shape, result.md.shape
    mode, how = (str(problem.attributes[n]) for n in ("mode", "coordinate_transformation_mode"))
    if len(before) not in (3, 4, 5) or before[:2] != after[:2]:
        raise Refusal("needs 1 to 3 spatial axes, and to leave batch and channels alone")
    if problem.attributes.get("antialias") or problem.attributes.get("axes"):
        raise Refusal("needs no antialiasing, and a scale or size for every axis")
    nearest = mode == "nearest" and (how, problem.attributes["nearest_mode"]) in (
        ("asymmetric", "floor"), ("half_pixel", "round_prefer_floor"), ("half_pixel", "round_prefer_ceil"),
    )  # fmt: skip
    if not (nearest or (mode, how) == ("linear", "half_pixel")):
        raise Refusal(f"needs linear or nearest of half_pixel, or nearest rounded down, has {mode}, {how}")
    if nearest and any(b % a for a, b in zip(before, after)):
        raise Refusal("needs a multiple of every size for nearest")
    if type_of(problem, 2) is not None:
        scales = problem.constants.get(2)
        if scales is None or (scales.size and any(s * a != b for s, a, b in zip(scales, before, after))):
            raise Refusal("needs constant scales that give whole sizes")
    algorithm = _NEAREST if nearest else _LINEAR
    return [Call("resampling_forward", (dnnl.FORWARD, algorithm, None, source, result))]


def reorder(problem: Problem, x: str, y: str) -> list[Call]:
    """Reorder, whose layouts are attributes."""
    source, result = (str(problem.attributes[name]) for name in ("from_layout", "to_layout"))
    return [Call("reorder", _ends(problem, source, result))]


def _ends(problem: Problem, x: str, y: str) -> tuple[Operand, Operand]:
    return operand(problem, dnnl.SRC, 0, x), operand(problem, dnnl.DST, ~0, y)
