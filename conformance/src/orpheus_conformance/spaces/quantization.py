"""Quantization, and sums of products on quantized tensors.

Scales that are powers of two make every quotient exact, so that results must be equal; with other scales a quotient
next to a tie may round either way, which is one step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import DIMS, FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.convolution import shapes
from orpheus_conformance.tolerance import EXACT, ROUNDED, Evidence, Steps, Tolerance, eps
from orpheus_conformance.values import int_range
from orpheus_core.types import Array, DType

_DYADIC = (0.5, 0.25, 1.0, 2.0)
_ANY = (0.1, 0.03, 0.7)
#: Operands quantized symmetrically: the weights, as in almost every model, every one, or none.
_SYMMETRIC = {weights: (weights, f"{x}{weights}y", "") for x, weights in ("ab", "xw")}
_ONE_STEP = Steps(1, "a quotient next to a tie rounds either way")


def _scales(*indices: int) -> Any:
    """The tolerance of a case whose scales are the inputs ``indices``."""

    def tolerance(case: Case) -> Tolerance:
        for index in indices:
            scale = case.inputs[index]
            assert isinstance(scale, Operand)
            if scale.data is None or not all(math.frexp(s)[0] == 0.5 for s in scale.data):
                return _ONE_STEP
        return EXACT

    return tolerance


def _scale(d: Draw, name: str, dtype: str, shape: tuple[int, ...], dyadic: bool) -> Operand:
    values = tuple(d.choose(_DYADIC if dyadic else _ANY) for _ in range(math.prod(shape)))
    return Operand(dtype, shape, "normal", values, d.constant(name))


def _zero_point(
    d: Draw, name: str, dtype: str, shape: tuple[int, ...], *, symmetric: bool = False
) -> Operand:
    """Anywhere in the range of integers; zero for floats, and where quantization is ``symmetric``."""
    if symmetric or DType(dtype).is_float:
        return Operand(dtype, shape, "normal", (0.0,) * math.prod(shape), d.constant(name))
    low, high = int_range(dtype)
    near = (max(low, -3), min(high, 3))
    return Operand(
        dtype, shape, "normal", tuple(d.integer(*near) for _ in range(math.prod(shape))), d.constant(name)
    )


def _grain(
    d: Draw, name: str, since_blocks: int = 21
) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shape of x, shape of its scale, and the attributes: one scale, one per channel, one per block."""
    shape = d.shape(name, (2, 1, 3, 4), FULL_DIMS)
    axis = d.axis(len(shape))
    how = d.choose(("tensor", "axis", "block")[: 1 + (d.version >= 13) + (d.version >= since_blocks)])
    if how == "tensor":
        return shape, (), {}
    if how == "axis":
        return shape, (shape[axis],), {"axis": axis}
    block = d.choose((2, 1, 3))
    count = d.choose((2, 1, 3))
    whole = list(shape)
    if math.prod(whole[: axis % len(whole)] + whole[axis % len(whole) + 1 :]) == 1:
        count = max(count, 2)
    whole[axis] = block * count
    scales = list(whole)
    scales[axis] = count
    return tuple(whole), tuple(scales), {"axis": axis, "block_size": block}


@space("QuantizeLinear", _scales(1))
def quantize_linear(d: Draw) -> Layer:
    """X / scale rounded to nearest even, plus the zero point, saturated."""
    shape, scales, attributes = _grain(d, "x")
    constraints = d.spec.type_constraints
    source = d.dtype("T1", {"float32", "float16", "bfloat16"}) if "T1" in constraints else "float32"
    kept = (
        d.dtypes("T2") - {"int32", "float8_e8m0fnu"} if "T2" in constraints and d.version >= 23 else {source}
    )
    scale_type = source if source in kept else sorted(kept)[0]
    target = d.dtype("T3" if d.version >= 23 or "T3" in constraints else "T2")
    given = target == "uint8" and d.flag()
    dyadic = DType(target).is_float or d.flag()
    zero = None if given else _zero_point(d, "y_zero_point", target, scales)
    if DType(target).is_float and d.version >= 19:
        attributes["saturate"] = d.attribute("saturate", (OMIT, 1, 0))
    x = d.tensor("x", source, shape, special=False)
    return Layer((x, _scale(d, "y_scale", scale_type, scales, dyadic), zero), attributes)


@space("DequantizeLinear", ROUNDED)
def dequantize_linear(d: Draw) -> Layer:
    """(x - zero point) * scale."""
    shape, scales, attributes = _grain(d, "x")
    constraints = d.spec.type_constraints
    source = d.dtype("T1" if "T1" in constraints else "T")
    scale_type = d.dtype("T2", {"float32", "float16", "bfloat16"}) if "T2" in constraints else "float32"
    real = DType(source).is_float
    x = d.tensor("x", source, shape, kind=None if real else "full", special=False)
    if source == "int32":
        x = d.tensor("x", source, shape)
    plain = source == "int32" or d.flag()
    zero = None if plain else _zero_point(d, "x_zero_point", source, scales)
    return Layer((x, _scale(d, "x_scale", scale_type, scales, d.flag()), zero), attributes)


@dataclass(frozen=True)
class _Dynamic:
    """One step for what is rounded; two roundings for the scale."""

    native: bool = True
    exact_integers: bool = False
    signed_zero: bool = False

    def bound(self, evidence: Evidence) -> Array | None:
        """By output: y, its scale, its zero point."""
        expected = np.asarray(evidence.expected[evidence.output], np.float64)
        return np.abs(expected) * 2 * eps("float32") if evidence.output == 1 else np.ones(expected.shape)


@space(
    "DynamicQuantizeLinear", _Dynamic(), without={"special": "the range of NaN and infinities is undefined"}
)
def dynamic_quantize_linear(d: Draw) -> Layer:
    """The range of x and zero becomes 0 to 255."""
    return Layer((d.tensor("x", "float32", d.shape("x", (2, 1, 3, 4), FULL_DIMS)),), {}, (True, True, True))


def _stacks(d: Draw, a: str, b: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    m, k, n = (d.choose(DIMS) for _ in range(3))
    stack = tuple(d.choose((2, 1, 3)) for _ in range(d.choose((0, 1, 2))))
    left = (*stack, m, k) if d.flag() else (m, k)
    return left, ((*stack, k, n) if d.flag() else (k, n))


@space("MatMulInteger", EXACT)
def matmul_integer(d: Draw) -> Layer:
    """Zero points are scalars, or one per row of A and per column of B."""
    a, b = _stacks(d, "A", "B")
    left, right = d.dtype("T1"), d.dtype("T2")
    first = second = None
    if d.present("a_zero_point"):
        first = _zero_point(d, "a_zero_point", left, (a[-2],) if len(a) == 2 and d.flag() else ())
    if d.present("b_zero_point"):
        second = _zero_point(d, "b_zero_point", right, (b[-1],) if len(b) == 2 and d.flag() else ())
    operands = (d.tensor("A", left, a, kind="full"), d.tensor("B", right, b, kind="full", constant=None))
    return Layer((*operands, first, second))


@space("QLinearMatMul", _scales(1, 4, 6))
def qlinear_matmul(d: Draw) -> Layer:
    """Sums of integers, scaled once."""
    a, b = _stacks(d, "a", "b")
    integers = {"int8", "uint8"}
    types = [d.dtype(f"T{n}", integers) for n in (1, 2, 3)]
    scale_type = d.dtype("TS") if d.version >= 21 else "float32"
    dyadic = scale_type != "float32" or d.flag()
    symmetric = d.choose(_SYMMETRIC["b"])
    inputs: list[Operand] = []
    for name, dtype, shape in (("a", types[0], a), ("b", types[1], b)):
        inputs.append(d.tensor(name, dtype, shape))
        inputs.append(_scale(d, f"{name}_scale", scale_type, (), dyadic))
        inputs.append(_zero_point(d, f"{name}_zero_point", dtype, (), symmetric=name in symmetric))
    inputs.append(_scale(d, "y_scale", scale_type, (), dyadic))
    inputs.append(_zero_point(d, "y_zero_point", types[2], (), symmetric="y" in symmetric))
    return Layer(tuple(inputs))


def _quantized_conv(d: Draw) -> tuple[Operand, Operand, dict[str, Any]]:
    image, weights, attributes = shapes(d, "x", "w", (1, 2))
    attributes["group"] = d.maybe("group", attributes["group"], 1)
    x = d.tensor("x", d.dtype("T1"), image, kind="full")
    w = d.tensor("w", d.dtype("T2"), weights, kind="full", constant=None)
    return x, w, attributes


@space("ConvInteger", EXACT)
def conv_integer(d: Draw) -> Layer:
    """Pads hold the zero point of x, so that they add nothing."""
    x, w, attributes = _quantized_conv(d)
    first = _zero_point(d, "x_zero_point", x.dtype, ()) if d.present("x_zero_point") else None
    second = None
    if d.present("w_zero_point"):
        second = _zero_point(d, "w_zero_point", w.dtype, (w.shape[0],) if d.flag() else ())
    return Layer((x, w, first, second), attributes)


@space("QLinearConv", _scales(1, 4, 6))
def qlinear_conv(d: Draw) -> Layer:
    """Weights have one scale, or one per filter; the bias is in units of x_scale * w_scale."""
    x, w, attributes = _quantized_conv(d)
    x, w = (Operand(o.dtype, o.shape, d.kind, constant=o.constant) for o in (x, w))
    dyadic, symmetric = d.flag(), d.choose(_SYMMETRIC["w"])
    per_filter = (w.shape[0],) if d.flag() else ()
    target = d.dtype("T3")
    inputs = (
        x,
        _scale(d, "x_scale", "float32", (), dyadic),
        _zero_point(d, "x_zero_point", x.dtype, (), symmetric="x" in symmetric),
        w,
        _scale(d, "w_scale", "float32", per_filter, dyadic),
        _zero_point(d, "w_zero_point", w.dtype, per_filter, symmetric="w" in symmetric),
        _scale(d, "y_scale", "float32", (), dyadic),
        _zero_point(d, "y_zero_point", target, (), symmetric="y" in symmetric),
        d.tensor("B", "int32", (w.shape[0],), constant=None) if d.present("B") else None,
    )
    return Layer(inputs, attributes)
