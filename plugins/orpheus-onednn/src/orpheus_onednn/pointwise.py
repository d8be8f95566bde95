"""Eltwise, binary, normalisation, softmax, concatenation, reduction, resampling, and changes of layout."""

from __future__ import annotations

import math
from collections.abc import Sequence
from ctypes import c_float, c_int64, c_void_p
from dataclasses import replace
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_onednn import dnnl
from orpheus_onednn.activation import fused, of_node
from orpheus_onednn.call import Call, Md, Operand, Refusal, dtype_of, from_to, has, md_of, shape_of
from orpheus_onednn.convolution import eltwise_parameters

BINARIES = {"Add": 131056, "Mul": 131057, "Max": 131058, "Min": 131059, "Div": 131060, "Sub": 131061}
#: Algorithm and p.
REDUCTIONS = {
    "ReduceMax": (196594, 0), "ReduceMin": (196595, 0), "ReduceSum": (196596, 0), "ReduceProd": (196597, 0),
    "ReduceMean": (196598, 0), "ReduceL1": (196602, 1), "ReduceL2": (196600, 2), "ReduceSumSquare": (196602, 2),
}  # fmt: skip
_ROUNDING: dict[str, Any] = {
    "floor": np.floor, "ceil": np.ceil, "round_prefer_ceil": lambda v: np.floor(v + 0.5),
    "round_prefer_floor": lambda v: np.ceil(v - 0.5),
}  # fmt: skip
_NEAREST, _LINEAR = 196592, 196593
_SOFTMAX, _LOGSOFTMAX = 196608, 196609
_USE_GLOBAL, _USE_SCALE, _USE_SHIFT = 1, 2, 4
_LRN = 2815


def eltwise(problem: Problem, x: str, y: str) -> list[Call]:
    """A function of one tensor; what the library has in parts becomes post-ops."""
    md = md_of(problem, 0, x)
    (algorithm, *numbers), *rest = of_node(problem)
    post = [("eltwise", *step) for step in rest]
    return from_to("eltwise_forward", eltwise_parameters(md, algorithm, numbers), md, md, post=post)


def binary(problem: Problem, x: str, y: str) -> list[Call]:
    """Two tensors, the second with ones where it is broadcast."""
    if len(problem.inputs) != 2:
        raise Refusal(f"needs two inputs, has {len(problem.inputs)}")
    rank = len(shape_of(problem, ~0))
    shapes = [(1,) * (rank - len(shape_of(problem, i))) + shape_of(problem, i) for i in (0, 1)]
    order = [0, 1]
    if shapes[0] != shape_of(problem, ~0) and problem.op in ("Add", "Mul", "Max", "Min"):
        order = [1, 0]
    if shapes[order[0]] != shape_of(problem, ~0):
        raise Refusal(f"needs an input of the output's shape in first place, has {list(shapes[0])}")
    mds = [md_of(problem, i, x, shapes[i]) for i in order]
    result = md_of(problem, ~0, y)
    operands = (
        Operand(dnnl.SRC, mds[0], order[0]),
        Operand(dnnl.SRC_1, mds[1], order[1]),
        Operand(dnnl.DST, result, ~0),
    )
    return [Call("binary", (BINARIES[problem.op], *mds, result), operands)]


def scale_shift(problem: Problem, x: str, y: str) -> list[Call]:
    """ScaleShift: a product whose sum and activation are post-ops."""
    source, result = md_of(problem, 0, x), md_of(problem, ~0, y)
    axis = int(problem.attributes["axis"]) % len(source.shape)
    along = tuple(n if i == axis else 1 for i, n in enumerate(source.shape))
    scale, shift = (md_of(problem, i, shape=along) for i in (1, 2))
    factor = Operand(dnnl.SRC_1, scale, 1, problem.constants.get(1))
    post = (("binary", dnnl.BINARY_ADD, shift, 2), *fused(problem))
    return from_to(
        "binary", (dnnl.BINARY_MUL, source, factor.wanted, result), source, result, factor, post=post
    )


def batch_normalization(problem: Problem, x: str, y: str) -> list[Call]:
    """BatchNormalization in inference: given mean and variance."""
    if any(has(problem, ~i) for i in range(1, 5)) or problem.attributes.get("training_mode"):
        raise Refusal("does not train")
    source, result = md_of(problem, 0, x), md_of(problem, ~0, y)
    if len(source.shape) < 2 or {dtype_of(problem, i) for i in range(1, 5)} != {"float32"}:
        raise Refusal("needs two axes or more, and statistics of float32")
    flags = _USE_GLOBAL | _USE_SCALE | _USE_SHIFT
    numbers = (c_float(problem.attributes.get("epsilon", 1e-5)), flags)
    args = (dnnl.SCALE, dnnl.SHIFT, dnnl.MEAN, dnnl.VARIANCE)
    more = [Operand(arg, md_of(problem, i), i) for i, arg in enumerate(args, 1)]
    parameters = (dnnl.FORWARD, source, result, *numbers)
    return from_to("batch_normalization_forward", parameters, source, result, *more)


def layer_normalization(problem: Problem, x: str, y: str) -> list[Call]:
    """LayerNormalization over the last axis."""
    source, result = md_of(problem, 0, x), md_of(problem, ~0, y)
    rank = len(source.shape)
    if int(problem.attributes.get("axis", -1)) % rank != rank - 1 or rank < 2:
        raise Refusal("needs the last of two axes or more")
    if any(has(problem, ~i) for i in (1, 2)) or any(
        has(problem, i) and (dtype_of(problem, i) != "float32" or shape_of(problem, i) != source.shape[-1:])
        for i in (1, 2)
    ):
        raise Refusal("needs scale and shift of float32 with a value for each of the axis, and only Y")
    more = [
        Operand(arg, md_of(problem, i), i) for i, arg in ((1, dnnl.SCALE), (2, dnnl.SHIFT)) if has(problem, i)
    ]
    flags = _USE_SCALE | (_USE_SHIFT if has(problem, 2) else 0)
    numbers = (c_float(problem.attributes.get("epsilon", 1e-5)), flags)
    parameters = (dnnl.FORWARD, source, result, None, *numbers)
    return from_to("layer_normalization_forward", parameters, source, result, *more)


def lrn(problem: Problem, x: str, y: str) -> list[Call]:
    """LRN across channels, of an odd size."""
    source, result = md_of(problem, 0, x), md_of(problem, ~0, y)
    size = int(problem.attributes["size"])
    if size % 2 == 0 or len(source.shape) < 3:
        raise Refusal(f"needs an odd size and 3 axes or more, has {size} and {len(source.shape)}")
    numbers = [c_float(problem.attributes[n]) for n in ("alpha", "beta", "bias")]
    parameters = (dnnl.FORWARD, _LRN, source, result, c_int64(size), *numbers)
    return from_to("lrn_forward", parameters, source, result)


def softmax(problem: Problem, x: str, y: str) -> list[Call]:
    """Softmax and LogSoftmax along one axis."""
    source, result = md_of(problem, 0, x), md_of(problem, ~0, y)
    if not source.shape:
        raise Refusal("needs an axis")
    axis = int(problem.attributes.get("axis", -1)) % len(source.shape)
    algorithm = _SOFTMAX if problem.op == "Softmax" else _LOGSOFTMAX
    parameters = (dnnl.FORWARD, algorithm, source, result, axis)
    return from_to("softmax_forward", parameters, source, result)


def concat(problem: Problem, x: str, y: str) -> list[Call]:
    """Concat along any axis."""
    mds = [md_of(problem, i, x) for i in range(len(problem.inputs))]
    result = md_of(problem, ~0, y)
    if not result.shape:
        raise Refusal("needs an axis")
    axis = int(problem.attributes["axis"]) % len(result.shape)
    pointers = (c_void_p * len(mds))(*(md.handle._as_parameter_ for md in mds))
    operands = (
        *(Operand(dnnl.MULTIPLE_SRC + i, md, i) for i, md in enumerate(mds)),
        Operand(dnnl.DST, result, ~0),
    )
    return [Call("concat", (result, len(mds), axis, pointers), operands)]


def split(problem: Problem, x: str, y: str) -> list[Call]:
    """Split along any axis: a copy of each part."""
    source = md_of(problem, 0, x)
    axis = int(problem.attributes.get("axis", 0)) % len(source.shape)
    start, calls = 0, []
    for i in range(len(problem.outputs)):
        result = md_of(problem, ~i, y)
        offsets = [0] * len(source.shape)
        offsets[axis] = start
        start += result.shape[axis]
        calls += _copy(replace(source, shape=result.shape, within=(source, tuple(offsets))), result, ~i)
    return calls


def reduction(problem: Problem, x: str, y: str) -> list[Call]:
    """Reduce* over axes that are attributes or constants."""
    source = md_of(problem, 0, x)
    axes: Sequence[int] = problem.attributes.get("axes") or ()
    if has(problem, 1):
        if 1 not in problem.constants:
            raise Refusal("needs constant axes")
        axes = [int(a) for a in problem.constants[1].reshape(-1)]
    rank = len(source.shape)
    if not axes and problem.attributes.get("noop_with_empty_axes"):
        raise Refusal("needs an axis to reduce")
    reduced = {a % rank for a in axes} if axes else set(range(rank))
    result = md_of(problem, ~0, y, [1 if i in reduced else n for i, n in enumerate(source.shape)])
    if result.shape == source.shape:
        raise Refusal("needs an axis of more than one element to reduce")
    algorithm, p = REDUCTIONS[problem.op]
    return from_to("reduction", (algorithm, source, result, c_float(p), c_float(0)), source, result)


def resampling(problem: Problem, x: str, y: str) -> list[Call]:
    """Resize and Upsample by nearest or linear interpolation, where every sample lies where the library takes it."""
    source, result = md_of(problem, 0, x), md_of(problem, ~0, y)
    mode = str(problem.attributes.get("mode", "nearest"))
    if mode not in ("nearest", "linear") or problem.attributes.get("antialias"):
        raise Refusal(f"needs nearest or linear without antialiasing, has {mode}")
    if len(source.shape) not in (3, 4, 5) or source.shape[:2] != result.shape[:2]:
        raise Refusal("needs 1 to 3 spatial axes, and to leave batch and channels alone")
    for axis in range(2, len(source.shape)):
        theirs = (np.arange(result.shape[axis]) + 0.5) * source.shape[axis] / result.shape[axis] - 0.5
        ours = _positions(problem, axis, source.shape[axis], result.shape[axis])
        last = source.shape[axis] - 1
        if mode == "nearest":
            rounding = _ROUNDING[str(problem.attributes.get("nearest_mode", "floor"))]
            theirs, ours = np.floor(theirs + 0.5), rounding(ours)
        if np.abs(np.clip(theirs, 0, last) - np.clip(ours, 0, last)).max() > 1e-5:
            raise Refusal("needs positions of samples as of half_pixel, rounded to the nearest")
    algorithm = _NEAREST if mode == "nearest" else _LINEAR
    return from_to("resampling_forward", (dnnl.FORWARD, algorithm, None, source, result), source, result)


def _positions(problem: Problem, axis: int, size: int, out: int) -> Array:
    """Where ONNX takes the samples of an axis."""
    how = str(problem.attributes.get("coordinate_transformation_mode", "asymmetric"))
    index = 2 if problem.op == "Resize" and problem.version >= 11 else 1
    given = problem.constants.get(index)
    if has(problem, index) and given is None:
        raise Refusal("needs constant scales")
    if (
        problem.attributes.get("axes")
        or problem.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch"
    ):
        raise Refusal("needs a scale or size for every axis")
    scale = float(given[axis]) if given is not None and given.size else out / size
    at = np.arange(out)
    if how == "asymmetric":
        return at / scale
    if how == "half_pixel" or (how == "pytorch_half_pixel" and out > 1):
        return (at + 0.5) / scale - 0.5
    if how == "align_corners" and out > 1:
        return at * (size - 1) / (out - 1)
    raise Refusal(f"needs half_pixel, asymmetric or align_corners, has {how}")


def reorder(problem: Problem, x: str, y: str) -> list[Call]:
    """Reorder, whose layouts are attributes."""
    source, result = (str(problem.attributes[name]) for name in ("from_layout", "to_layout"))
    return _copy(md_of(problem, 0, source), md_of(problem, ~0, result))


def transpose(problem: Problem, x: str, y: str) -> list[Call]:
    """Transpose: the result's axes with the strides that they have in X."""
    shape, result = shape_of(problem, 0), md_of(problem, ~0, y)
    strides = [math.prod(shape[i + 1 :]) for i in range(len(shape))]
    order = problem.attributes.get("perm") or range(len(shape))[::-1]
    source = Md(result.shape, result.dtype, strides=tuple(strides[a] for a in order))
    return _copy(source, result)


def _copy(source: Md, result: Md, target: int = ~0) -> list[Call]:
    operands = (Operand(dnnl.SRC, source, 0), Operand(dnnl.DST, result, target))
    return [Call("reorder", (source, result), operands, engines=True)]
