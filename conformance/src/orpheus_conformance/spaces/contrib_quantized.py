"""com.microsoft: quantized operators. Source: ContribOperators.md of ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Input, Operand
from orpheus_conformance.draw import FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import Evidence, Steps, Tolerance, Ulps
from orpheus_core.types import Array

MICROSOFT = "com.microsoft"
_STEP = Steps(1, "real values in float32 or wider, so that a tie may fall on either side")
_SCALES = (0.05, 0.1, 0.02, 0.5)


def _q(d: Draw, name: str, dtype: str, shape: Any, **more: Any) -> Operand:
    return d.tensor(name, dtype, shape, kind="full" if d.kind != "small" else "small", **more)


def _scale(d: Draw, name: str, dtype: str = "float32", shape: tuple[int, ...] = ()) -> Operand:
    values = tuple(d.choose(_SCALES) for _ in range(int(np.prod(shape))))
    return Operand(dtype, shape, "normal", values, d.constant(name, (True, False)))


def _zero(d: Draw, name: str, dtype: str, shape: tuple[int, ...] = ()) -> Operand:
    options = (0, 3, 128, 255) if dtype.startswith("u") else (0, 3, -7, 127)
    values = tuple(d.choose(options) for _ in range(int(np.prod(shape))))
    return Operand(dtype, shape, "normal", values, d.constant(name, (True, False)))


def _maybe_zero(d: Draw, name: str, dtype: str) -> Operand | None:
    return _zero(d, name, dtype) if d.present(name) else None


def _arithmetic(op: str) -> None:
    @space(op, _STEP, domain=MICROSOFT)
    def draw(d: Draw) -> Layer:
        dtype = d.dtype("T")
        shape = d.shape("A", (2, 1, 3, 0))
        other = d.choose((shape, d.broadcastable(shape)))
        inputs: list[Input] = []
        for name, own in (("A", shape), ("B", other)):
            inputs += [
                _q(d, name, dtype, own),
                _scale(d, f"{name}_scale"),
                _maybe_zero(d, f"{name}_zero_point", dtype),
            ]
        return Layer((*inputs, _scale(d, "C_scale"), _maybe_zero(d, "C_zero_point", dtype)))


def _unary(op: str, **attributes: tuple[Any, ...]) -> None:
    @space(op, _STEP, domain=MICROSOFT)
    def draw(d: Draw) -> Layer:
        dtype = d.dtype("T")
        data = _q(d, "X", dtype, d.shape("X", (2, 1, 3, 0)))
        first = [_scale(d, "X_scale"), _maybe_zero(d, "X_zero_point", dtype)]
        second = [_scale(d, "Y_scale"), _maybe_zero(d, "Y_zero_point", dtype)]
        return Layer((data, *first, *second), {k: d.attribute(k, v) for k, v in attributes.items()})


_arithmetic("QLinearAdd")
_arithmetic("QLinearMul")
_unary("QLinearSigmoid")
_unary("QLinearLeakyRelu", alpha=(OMIT, 0.25, 0.5))


@space("QLinearSoftmax", _STEP, domain=MICROSOFT)
def qlinear_softmax(d: Draw) -> Layer:
    """Along one axis, or before opset 13 over all axes from it on."""
    dtype = d.dtype("T")
    shape = d.shape("X", (2, 1, 3), FULL_DIMS)
    attributes = {"axis": d.maybe("axis", d.axis(len(shape)), -1), "opset": d.attribute("opset", (13, 12))}
    inputs = [_q(d, "X", dtype, shape), _scale(d, "X_scale"), _maybe_zero(d, "x_zero_point", dtype)]
    step = Operand("float32", (), "normal", (1 / 256,), True)
    return Layer((*inputs, step, _zero(d, "y_zero_point", dtype)), attributes)


@space("QLinearConcat", _STEP, domain=MICROSOFT)
def qlinear_concat(d: Draw) -> Layer:
    """Tensors with scales of their own."""
    dtype = d.dtype("T")
    shape = list(d.shape("inputs", (2, 1, 3)))
    axis = d.axis(len(shape))
    inputs: list[Input] = [_scale(d, "Y_scale"), _zero(d, "Y_zero_point", dtype)]
    for _ in range(d.choose((2, 1, 3))):
        shape[axis] = d.choose((2, 1, 3, 0))
        inputs += [_q(d, "inputs", dtype, tuple(shape)), _scale(d, "inputs"), _zero(d, "inputs", dtype)]
    return Layer(tuple(inputs), {"axis": axis})


@space("QLinearAveragePool", _STEP, domain=MICROSOFT)
def qlinear_average_pool(d: Draw) -> Layer:
    """Windows with strides and pads that count or not, channels first and last."""
    dtype = d.dtype("T")
    kernel = d.ints("kernel_shape", 2, (2, 1, 3))
    pads = tuple(min(p, k - 1) for p, k in zip(d.ints("pads", 4, (0, 1)), kernel * 2))
    last = d.attribute("channels_last", (0, OMIT, 1))
    spatial = [d.choose([n for n in (3, 5, 7, 4) if n >= k]) for k in kernel]
    batch, channels = d.choose((1, 2)), d.choose((2, 1, 3))
    shape = (batch, *spatial, channels) if last == 1 else (batch, channels, *spatial)
    attributes = {
        "kernel_shape": kernel, "pads": d.maybe("pads", pads, (0,) * 4), "channels_last": last,
        "strides": d.maybe("strides", d.ints("strides", 2, (1, 2)), (1, 1)),
        "count_include_pad": d.attribute("count_include_pad", (0, OMIT, 1)),
    }  # fmt: skip
    inputs = [_q(d, "X", dtype, shape), _scale(d, "x_scale"), _maybe_zero(d, "x_zero_point", dtype)]
    return Layer((*inputs, _scale(d, "y_scale"), _maybe_zero(d, "y_zero_point", dtype)), attributes)


@space("QLinearGlobalAveragePool", _STEP, domain=MICROSOFT)
def qlinear_global_average_pool(d: Draw) -> Layer:
    """Channels first and last."""
    dtype = d.dtype("T")
    shape = tuple(d.choose(FULL_DIMS[:4]) for _ in range(4))
    inputs = [_q(d, "X", dtype, shape), _scale(d, "x_scale"), _zero(d, "x_zero_point", dtype)]
    ends = [_scale(d, "y_scale"), _zero(d, "y_zero_point", dtype)]
    return Layer((*inputs, *ends), {"channels_last": d.attribute("channels_last", (0, OMIT, 1))})


_SCALED = Ulps(
    8.0, "an exact integer sum times a product of scales, plus a bias", half=4.0, magnitude=lambda e: 1.0
)


def _qgemm_tolerance(case: Case) -> Tolerance:
    return _STEP if len(case.inputs) > 8 else _SCALED


@space("QGemm", _qgemm_tolerance, domain=MICROSOFT)
def qgemm(d: Draw) -> Layer:
    """Quantized or float results, one scale of B or one for each column."""
    kind_a, kind_b = d.dtype("TA"), d.dtype("TB")
    turn_a, turn_b = d.attribute("transA", (0, OMIT, 1)), d.attribute("transB", (0, OMIT, 1))
    m, k, n = d.choose(FULL_DIMS), d.choose((*FULL_DIMS, 17)), d.choose(FULL_DIMS)
    columns = d.choose(((), (n,)))
    inputs: list[Input] = [
        _q(d, "A", kind_a, (k, m) if turn_a == 1 else (m, k)), _scale(d, "a_scale"), _zero(d, "a_zero_point", kind_a),
        _q(d, "B", kind_b, (n, k) if turn_b == 1 else (k, n)), _scale(d, "b_scale", shape=columns),
        _zero(d, "b_zero_point", kind_b, columns),
    ]  # fmt: skip
    inputs.append(d.tensor("C", "int32", d.broadcastable((m, n)), constant=None) if d.present("C") else None)
    if d.present("y_scale"):
        inputs += [
            Operand("float32", (), "normal", (d.choose((8.0, 20.0)),), True),
            _zero(d, "y_zero_point", d.dtype("TY", ("uint8", "int8"))),
        ]
    alpha = d.maybe("alpha", d.attribute("alpha", (1.0, 0.5)), 1.0)
    return Layer(tuple(inputs), {"transA": turn_a, "transB": turn_b, "alpha": alpha})


def _matrices(d: Draw) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    m, k, n = d.choose(FULL_DIMS), d.choose((*FULL_DIMS, 17)), d.choose(FULL_DIMS)
    stack = tuple(d.choose((2, 1)) for _ in range(d.choose((0, 1))))
    return (*stack, m, k), (k, n) if d.flag() else (*stack, k, n), n


@space("MatMulIntegerToFloat", _SCALED, domain=MICROSOFT, without={"special": "its inputs are integers"})
def matmul_integer_to_float(d: Draw) -> Layer:
    """Every pair of types, one scale or one for each column."""
    kind_a, kind_b, dtype = d.dtype("TA"), d.dtype("TB"), d.dtype("T")
    a, b, n = _matrices(d)
    columns = d.choose(((), (n,))) if len(b) == 2 else ()
    # Results stay below the greatest float16.
    small: dict[str, Any] = {"low": -8.0, "high": 8.0}
    inputs: list[Input] = [
        d.tensor("A", kind_a, a, kind="small", **small), d.tensor("B", kind_b, b, kind="small", **small),
        _scale(d, "a_scale", dtype), _scale(d, "b_scale", dtype, columns),
    ]  # fmt: skip
    inputs.append(_zero(d, "a_zero_point", kind_a) if d.present("a_zero_point") else None)
    inputs.append(_zero(d, "b_zero_point", kind_b, columns) if d.present("b_zero_point") else None)
    inputs.append(d.tensor("bias", dtype, (n,), special=False) if d.present("bias") else None)
    return Layer(tuple(inputs))


def _row_steps(e: Evidence) -> Array:
    """What one step of the quantized A makes: an element of A that is a tie may be off by one, in each product."""
    a, b = np.asarray(e.inputs[0], np.float64), np.asarray(e.inputs[1], np.float64)
    zero = e.inputs[3] if len(e.inputs) > 3 and e.inputs[3] is not None else 0
    step = (max(a.max(initial=0), 0) - min(a.min(initial=0), 0)) / 255
    largest = np.abs(b - np.asarray(zero, np.float64)).max(initial=0) * float(np.max(e.inputs[2]))
    return np.asarray(1.01 * step * largest / 2**-23)


@space(
    "DynamicQuantizeMatMul", Ulps(1.0, "one tie of the quantization of A; in units of float32", magnitude=_row_steps),
    domain=MICROSOFT, without={"special": "no quantization of NaN and infinities is defined"},
)  # fmt: skip
def dynamic_quantize_matmul(d: Draw) -> Layer:
    """A of either sign or of one, zero points and bias present or not."""
    kind = d.dtype("TB")
    a, b, n = _matrices(d)
    columns = d.choose(((), (n,))) if len(b) == 2 else ()
    inputs: list[Input] = [d.tensor("A", "float32", a, kind=d.choose(("normal", "positive")), special=False)]
    inputs += [_q(d, "B", kind, b), _scale(d, "b_scale", shape=columns)]
    inputs.append(_zero(d, "b_zero_point", kind, columns) if d.present("b_zero_point") else None)
    inputs.append(d.tensor("bias", "float32", (n,), special=False) if d.present("bias") else None)
    return Layer(tuple(inputs))


@space("QuantizeLinear", _STEP, domain=MICROSOFT, without={"special": "what NaN becomes is not said"})
def quantize_linear(d: Draw) -> Layer:
    """To every integer type, by one scale or one for each slice of an axis."""
    return _linear(d, "x", d.dtype("T"), d.dtype("QT"), d.shape("x", (2, 3, 1), FULL_DIMS))


@space("DequantizeLinear", Ulps(2.0, "a difference of integers and a product", half=2.0), domain=MICROSOFT)
def dequantize_linear(d: Draw) -> Layer:
    """From every integer type, by one scale or one for each slice of an axis."""
    kind = d.dtype("QT")
    return _linear(d, kind, d.dtype("T"), kind, d.shape("x", (2, 3, 1), FULL_DIMS))


def _linear(d: Draw, source: str, dtype: str, kind: str, shape: tuple[int, ...]) -> Layer:
    axis = d.axis(len(shape))
    slices = d.flag()
    inner = (shape[axis],) if slices else ()
    data = d.tensor("x", dtype if source == "x" else kind, shape, special=False)
    scale = _scale(d, "y_scale" if source == "x" else "x_scale", dtype, inner)
    name = "y_zero_point" if source == "x" else "x_zero_point"
    zero = None
    # Without a zero point the result is uint8.
    if kind == "int32":
        zero = Operand(kind, inner, "normal", (0,) * (inner[0] if inner else 1), True) if d.flag() else None
    elif (source == "x" and kind != "uint8") or d.present(name):
        low, high = (0, 3) if kind.startswith("u") else (-2, 1)
        values = tuple(d.integer(low, high) for _ in range(inner[0] if inner else 1))
        zero = Operand(kind, inner, "normal", values, True)
    return Layer((data, scale, zero), {"axis": axis if slices else OMIT})
