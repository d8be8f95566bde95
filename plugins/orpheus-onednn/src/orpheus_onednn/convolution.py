"""Convolution, its transpose, and pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence
from ctypes import c_float
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_onednn import dnnl
from orpheus_onednn.activation import fused
from orpheus_onednn.call import Call, Md, Operand, Refusal, dims, dtype_of, from_to, has, md_of, shape_of

_DIRECT, _DECONVOLUTION = 1, 10
_MAX, _AVERAGE_PADDED, _AVERAGE = 511, 767, 1023


def convolution(problem: Problem, x: str, y: str) -> list[Call]:
    """Conv and FusedConv: bias, residual, scale and shift, activation; S, if asked for, in between."""
    data, result = shape_of(problem, 0), md_of(problem, ~0, y)
    strides, dilations, before, after = _window(problem, shape_of(problem, 1)[2:], data[2:], result.shape[2:])
    group = int(problem.attributes.get("group", 1))
    weights = _weights(problem, group, transposed=False)
    source = md_of(problem, 0, x)
    operands = [Operand(dnnl.SRC, source, 0), weights]
    bias = md_of(problem, 2) if has(problem, 2) else None
    if bias is not None:
        operands.append(Operand(dnnl.BIAS, bias, 2))
    post: list[tuple[Any, ...]] = []
    if has(problem, 3):
        post.append(("binary", dnnl.BINARY_ADD, md_of(problem, 3, y), 3))
    channels = (1, result.shape[1], *(1,) * (len(data) - 2))
    last = [
        ("binary", algorithm, md_of(problem, i, shape=channels), i)
        for i, algorithm in ((4, dnnl.BINARY_MUL), (5, dnnl.BINARY_ADD))
        if has(problem, i)
    ]
    last += fused(problem)
    dual = has(problem, ~1)
    target = ~1 if dual else ~0
    geometry = (dims(strides), dims([d - 1 for d in dilations]), dims(before), dims(after))
    first = Call(
        "convolution_forward",
        (dnnl.FORWARD, _DIRECT, source, weights.wanted, bias, result, *geometry),
        (*operands, Operand(dnnl.DST, result, target)),
        tuple(post if dual else post + last),
    )
    return [first, *([_second(problem, result, last)] if dual else [])]


def _second(problem: Problem, result: Md, last: list[tuple[Any, ...]]) -> Call:
    """Y of the sum: its first post-op becomes the primitive, the others stay what they are."""
    operands = (Operand(dnnl.SRC, result, ~1), Operand(dnnl.DST, result, ~0))
    if not last:
        return Call("reorder", (result, result), operands, engines=True)
    (kind, algorithm, *rest), *post = last
    if kind == "binary":
        other = Operand(dnnl.SRC_1, rest[0], rest[1], problem.constants.get(rest[1]))
        return Call("binary", (algorithm, result, other.wanted, result), (*operands, other), tuple(post))
    return Call("eltwise_forward", eltwise_parameters(result, algorithm, rest), operands, tuple(post))


def eltwise_parameters(md: Md, algorithm: int, numbers: Sequence[float]) -> tuple[Any, ...]:
    """What makes an eltwise primitive from one descriptor to the same."""
    return dnnl.FORWARD, algorithm, md, md, *map(c_float, numbers)


def deconvolution(problem: Problem, x: str, y: str) -> list[Call]:
    """ConvTranspose, whose sizes are those of the convolution from Y to X."""
    source, result = md_of(problem, 0, x), md_of(problem, ~0, y)
    kernel = shape_of(problem, 1)[2:]
    geometry = _window(problem, kernel, result.shape[2:], source.shape[2:], transposed=True)
    strides, dilations, before, after = geometry
    weights = _weights(problem, int(problem.attributes.get("group", 1)), transposed=True)
    bias = md_of(problem, 2) if has(problem, 2) else None
    operands = [Operand(dnnl.SRC, source, 0), weights, Operand(dnnl.DST, result, ~0)]
    if bias is not None:
        operands.append(Operand(dnnl.BIAS, bias, 2))
    numbers = (dims(strides), dims([d - 1 for d in dilations]), dims(before), dims(after))
    parameters = (dnnl.FORWARD, _DECONVOLUTION, source, weights.wanted, bias, result, *numbers)
    return [Call("deconvolution_forward", parameters, tuple(operands))]


def pooling(problem: Problem, x: str, y: str) -> list[Call]:
    """MaxPool, AveragePool, and the global ones, whose window is the whole image."""
    if has(problem, ~1):
        raise Refusal("does not compute Indices")
    source, result = md_of(problem, 0, x), md_of(problem, ~0, y)
    if len(source.shape) < 3:
        raise Refusal(f"needs 3 axes or more, has {len(source.shape)}")
    kernel = tuple(problem.attributes.get("kernel_shape", source.shape[2:]))
    strides, dilations, before, after = _window(problem, kernel, source.shape[2:], result.shape[2:])
    if any(p >= (k - 1) * d + 1 for p, k, d in zip((*before, *after), kernel * 2, dilations * 2)):
        raise Refusal(f"needs pads smaller than the window, has {before} and {after}")
    algorithm = _MAX
    if "Average" in problem.op:
        padded = bool(problem.attributes.get("count_include_pad", 0))
        algorithm = _AVERAGE_PADDED if padded else _AVERAGE
        given = tuple(problem.attributes.get("pads", ()))[len(kernel) :] or after
        if padded and tuple(after) != given:
            raise Refusal("needs windows that end within the pads where these are counted")
    numbers = (dims(strides), dims(kernel), dims([d - 1 for d in dilations]), dims(before), dims(after))
    return from_to("pooling_forward", (dnnl.FORWARD, algorithm, source, result, *numbers), source, result)


def _weights(problem: Problem, group: int, *, transposed: bool) -> Operand:
    """W as the library sees it: [(group,) filters, channels, taps]; ConvTranspose's has channels before filters."""
    shape = shape_of(problem, 1)
    parts = [group, shape[0] // group, *shape[1:]]
    strides = [math.prod(parts[i + 1 :]) for i in range(len(parts))]
    if transposed:
        parts[1], parts[2] = parts[2], parts[1]
        strides[1], strides[2] = strides[2], strides[1]
    if group == 1:
        parts, strides = parts[1:], strides[1:]
    md = Md(tuple(parts), dtype_of(problem, 1), strides=tuple(strides))
    constant = problem.constants.get(1)
    return Operand(dnnl.WEIGHTS, md, 1, None if constant is None else np.asarray(constant))


def _window(
    problem: Problem, kernel: Sequence[int], x: Sequence[int], y: Sequence[int], *, transposed: bool = False
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Strides, dilations, pads before and after, of windows over ``x`` that give ``y``.

    The pads after the last window follow from the sizes, since the library wants them exact.
    """
    rank = len(kernel)
    if not 1 <= rank <= 3:
        raise Refusal(f"needs 1 to 3 spatial axes, has {rank}")
    whole = problem.op.startswith("Global")
    strides = list(problem.attributes.get("strides") or (1,) * rank)
    dilations = list(problem.attributes.get("dilations") or (1,) * rank)
    pads = list(problem.attributes.get("pads") or (0,) * 2 * rank)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    total = [0 if whole else (b - 1) * s + r - a for a, b, s, r in zip(x, y, strides, reach)]
    auto = problem.attributes.get("auto_pad", "NOTSET")
    upper = auto == "SAME_UPPER"
    before = pads[:rank]
    if auto == "VALID":
        before = [0] * rank
    elif auto != "NOTSET" or (transposed and problem.attributes.get("output_shape")):
        # ConvTranspose gives the odd one of its pads to the other side than Conv.
        before = [max(0, t) // 2 if upper else (max(0, t) + 1) // 2 for t in total]
    after = [t - b for t, b in zip(total, before)]
    # A window that leaves the last values out: the library rounds down as well.
    return strides, dilations, before, [max(a, 0) if a > -s else a for a, s in zip(after, strides)]
