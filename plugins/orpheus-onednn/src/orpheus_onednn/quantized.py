"""QLinearConv and QLinearMatMul: the float layer's call on integers, scales and zero points being attributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_onednn import activation, dnnl
from orpheus_onednn.call import Call, Md, Operand, Refusal
from orpheus_onednn.convolution import convolution
from orpheus_onednn.library import library
from orpheus_onednn.products import matmul

_VNNI = 0x48  # in AVX2 or AVX-512
_SETTINGS = (("zero_points", dnnl.ZERO_POINTS, np.int32), ("scales", dnnl.SCALES, np.float32))


def quantized(problem: Problem, x: str, y: str) -> list[Call]:
    """X, its scale and zero point, W and its, those of Y, and for QLinearConv a bias; all constant but X."""
    given, conv = problem.constants, problem.op == "QLinearConv"
    if given[5].any() or not (conv or given[4].size == 1):
        raise Refusal("needs weights of zero point 0, and one scale for those of a product")
    if not library().isa & _VNNI:
        raise Refusal("needs a processor with VNNI, without which sums of two products saturate")
    inputs = (problem.inputs[0], problem.inputs[3])
    plain = replace(problem, op=problem.op[7:], inputs=inputs, constants={1: given[3]})
    (call,) = (convolution if conv else matmul)(plain, x, y)
    parameters = [replace(p, source=3) if getattr(p, "source", 0) == 1 else p for p in call.parameters]
    unit = (given[1] / given[6]).astype(np.float32)  # that of Y: the library would divide after the post-op
    if 8 in given:
        bias = (given[8] * (unit * given[4])).astype(np.float32)
        parameters[parameters.index(None)] = _constant(dnnl.BIAS, 8, bias)
    more, settings = [], []
    weight, zero = (dnnl.WEIGHTS, 4, given[4]), (dnnl.DST, 7, given[7])
    for arg, index, value in ((dnnl.SRC, 1, unit), (dnnl.SRC, 2, given[2]), weight, zero):
        if index in (1, 4) or value.any():  # scales differ along the first axes of W: group and filters
            name, kind, dtype = _SETTINGS[index in (1, 4)]
            axes = 1 if problem.attributes.get("group", 1) == 1 else 3
            settings.append((name, arg, axes if value.size > 1 else 0))
            more.append(_constant(kind | arg, index, value.reshape(-1).astype(dtype)))
    # The library rounds the sum with the zero point, an odd one of which moves ties.
    post = (("eltwise", activation.SIMPLE["Round"], 0, 0),) if (given[7] % 2).any() else ()
    return [Call(call.function, tuple(parameters), tuple(more), post, tuple(settings))]


def _constant(arg: int, index: int, value: Array) -> Operand:
    return Operand(arg, Md(value.shape, value.dtype.name), index, value)
