"""Convolution, its transpose, and pooling."""

from __future__ import annotations

from collections.abc import Sequence

from orpheus_core.geometry.strides import contiguous
from orpheus_core.geometry.window import pads_of
from orpheus_core.plugin import Problem
from orpheus_onednn import dnnl
from orpheus_onednn.activation import along, as_call, fused, weights, with_operand
from orpheus_onednn.call import Call, Md, Operand, Refusal, dims, operand, shape_of, type_of

_MAX, _AVERAGE_PADDED, _AVERAGE = 511, 767, 1023


def convolution(problem: Problem, x: str, y: str) -> list[Call]:
    """Conv, FusedConv with bias, residual, scale, shift, activation and S in between, and ConvTranspose.

    The sizes of a transpose are those of the convolution from Y to X.
    """
    turned, dual = problem.op == "ConvTranspose", type_of(problem, ~1) is not None
    source, result = operand(problem, dnnl.SRC, 0, x), operand(problem, dnnl.DST, ~1 if dual else ~0, y)
    sides = (source.md.shape[2:], result.md.shape[2:])
    strides, dilations, before, after = _window(
        problem, shape_of(problem, 1)[2:], *(sides[::-1] if turned else sides)
    )
    numbers = (dims(strides), dims([d - 1 for d in dilations]), dims(before), dims(after))
    bias = None if type_of(problem, 2) is None else operand(problem, dnnl.BIAS, 2)
    vector = along(result, 1, y if dual else "plain")
    post = with_operand(problem, dnnl.BINARY_ADD, 3, y)
    last = with_operand(problem, dnnl.BINARY_MUL, 4, *vector)
    last += [*with_operand(problem, dnnl.BINARY_ADD, 5, *vector), *fused(problem)]
    operands = (source, _weights(problem), bias, result)
    function, algorithm = ("deconvolution_forward", 10) if turned else ("convolution_forward", 1)
    parameters = (dnnl.FORWARD, algorithm, *operands, *numbers)
    if not dual:
        return [Call(function, parameters, post=(*post, *last))]
    again = Operand(dnnl.SRC, result.md, ~1), operand(problem, dnnl.DST, ~0, y)
    return [Call(function, parameters, post=tuple(post)), as_call(*again, last)]


def pooling(problem: Problem, x: str, y: str) -> list[Call]:
    """MaxPool, AveragePool, and the global ones, whose window is the whole image."""
    if type_of(problem, ~1) is not None:
        raise Refusal("does not compute Indices")
    source, result = operand(problem, dnnl.SRC, 0, x), operand(problem, dnnl.DST, ~0, y)
    sides = (source.md.shape[2:], result.md.shape[2:])
    kernel = tuple(problem.attributes.get("kernel_shape", sides[0]))
    strides, dilations, before, after = _window(problem, kernel, *sides)
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
    return [Call("pooling_forward", (dnnl.FORWARD, algorithm, source, result, *numbers))]


def _weights(problem: Problem) -> Operand:
    """W as the library sees it: [(group,) filters, channels, taps]; ConvTranspose's has channels before filters."""
    group, shape = int(problem.attributes.get("group", 1)), shape_of(problem, 1)
    parts = [group, shape[0] // group, *shape[1:]]
    order = [0, 2, 1] if problem.op == "ConvTranspose" else [0, 1, 2]
    order = [*order, *range(3, len(parts))][group == 1 :]
    seen, steps = (tuple(values[i] for i in order) for values in (parts, contiguous(parts)))
    return weights(problem, Md(seen, operand(problem, dnnl.WEIGHTS, 1).md.dtype, strides=steps))


def _window(
    problem: Problem, kernel: Sequence[int], x: Sequence[int], y: Sequence[int]
) -> tuple[list[int], list[int], list[int], list[int]]:
    """Strides, dilations, pads before and after, of windows over ``x`` that give ``y``.

    The pads after the last window follow from the sizes, since the library wants them exact.
    """
    rank = len(kernel)
    if not 1 <= rank <= 3:
        raise Refusal(f"needs 1 to 3 spatial axes, has {rank}")
    strides = list(problem.attributes.get("strides") or (1,) * rank)
    dilations = list(problem.attributes.get("dilations") or (1,) * rank)
    auto = str(problem.attributes.get("auto_pad", "NOTSET"))
    if auto == "NOTSET" and problem.attributes.get("output_shape"):
        auto = "SAME_LOWER"  # whose pads a ConvTranspose of this shape has
    before = pads_of(auto, problem.attributes.get("pads") or (), x, y, kernel, strides, dilations)[:rank]
    sides = zip(x, y, kernel, strides, dilations, before)
    after = [(b - 1) * s + (k - 1) * d + 1 - a - p for a, b, k, s, d, p in sides]
    # A window that leaves the last values out: the library rounds down as well.
    return strides, dilations, list(before), [max(a, 0) if a > -s else a for a, s in zip(after, strides)]
