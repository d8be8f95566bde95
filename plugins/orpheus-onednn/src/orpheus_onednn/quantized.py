"""QLinearConv and QLinearMatMul: the float layer's call on integers, scales and zero points being attributes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_onednn import dnnl
from orpheus_onednn.call import Call, Md, Operand, Refusal
from orpheus_onednn.convolution import convolution
from orpheus_onednn.library import library
from orpheus_onednn.products import matmul

_VNNI = 0x48  # in AVX2 or AVX-512
_SETTINGS = (("scales", dnnl.SCALES, np.float32), ("zero_points", dnnl.ZERO_POINTS, np.int32))


def quantized(problem: Problem, x: str, y: str) -> list[Call]:
    """X, its scale and zero point, W and its, those of Y, and for QLinearConv a bias; all constant but X."""
    given, conv = problem.constants, problem.op == "QLinearConv"
    if {*range(1, len(problem.inputs))} - {*given} or given[5].any() or not (conv or given[4].size == 1):
        raise Refusal("needs all but X constant, weights of zero point 0, and one scale for MatMul's")
    if not library().isa & _VNNI:
        raise Refusal("needs a processor with VNNI, without which sums of two products saturate")
    inputs = (problem.inputs[0], problem.inputs[3])
    plain = replace(problem, op=problem.op[7:], inputs=inputs, constants={1: given[3]})
    (call,) = (convolution if conv else matmul)(plain, x, y)
    parameters = [replace(p, source=3) if getattr(p, "source", 0) == 1 else p for p in call.parameters]
    if 8 in given:
        bias = (given[8] * (given[1] * given[4])).astype(np.float32)
        parameters[parameters.index(None)] = _constant(dnnl.BIAS, 8, bias)
    more, settings = [], []
    for arg, first in ((dnnl.SRC, 1), (dnnl.WEIGHTS, 4), (dnnl.DST, 6)):
        for index, (name, kind, dtype) in enumerate(_SETTINGS, first):
            value = given[index].reshape(-1).astype(dtype)
            if value.any() or name == "scales":  # which differ along the first axes of W: group and filters
                axes = 1 if problem.attributes.get("group", 1) == 1 else 3
                settings.append((name, arg, axes if value.size > 1 else 0))
                more.append(_constant(kind | arg, index, value))
    return [replace(call, parameters=tuple(parameters), more=tuple(more), settings=tuple(settings))]


def _constant(arg: int, index: int, value: Array) -> Operand:
    return Operand(arg, Md(value.shape, value.dtype.name), index, value)
