"""Element-wise operators, activations, reductions, casts and random numbers."""

from __future__ import annotations

from typing import Any

from orpheus_core.plugin import Kernel
from orpheus_numpy.manifest._row import reference

_UNARY = ((0, 0),)
_BINARY = ((0, 0), (0, 1))
_FLAT = (1, 12)
_AXIS = (13, None)


def _ufunc(op: str, name: str, inplace: tuple[tuple[int, int], ...] = ()) -> Kernel:
    """Numpy's own function is the kernel: it takes ``out=`` as the contract asks."""
    return Kernel(op=op, name="reference", run=f"numpy:{name}", writes_out=True, inplace=inplace)


def _writes(op: str, ref: str, inplace: tuple[tuple[int, int], ...] = (), **more: Any) -> Kernel:
    return reference(op, f"math.{ref}", writes_out=True, inplace=inplace, **more)


def _flat(op: str, ref: str) -> Kernel:
    """The form of opset 12 and older, over all axes from one on."""
    return Kernel(op=op, name="reference-flat", run=f"orpheus_numpy.math.{ref}", opset=_FLAT, writes_out=True)


# Operator -> ufunc, where the result has the type of the inputs.
_UNARY_UFUNCS = {
    "Abs": "absolute",
    "Acos": "arccos",
    "Acosh": "arccosh",
    "Asin": "arcsin",
    "Asinh": "arcsinh",
    "Atan": "arctan",
    "Atanh": "arctanh",
    "BitwiseNot": "bitwise_not",
    "Ceil": "ceil",
    "Cos": "cos",
    "Cosh": "cosh",
    "Exp": "exp",
    "Floor": "floor",
    "Log": "log",
    "Neg": "negative",
    "Not": "logical_not",
    "Reciprocal": "reciprocal",
    "Round": "rint",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Sqrt": "sqrt",
    "Tan": "tan",
    "Tanh": "tanh",
}
_BINARY_UFUNCS = {
    "Add": "add",
    "And": "logical_and",
    "BitwiseAnd": "bitwise_and",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "Mul": "multiply",
    "Or": "logical_or",
    "Sub": "subtract",
    "Xor": "logical_xor",
}
_PREDICATES = {
    "Equal": "equal",
    "Greater": "greater",
    "GreaterOrEqual": "greater_equal",
    "IsNaN": "isnan",
    "Less": "less",
    "LessOrEqual": "less_equal",
}

KERNELS: tuple[Kernel, ...] = (
    *(_ufunc(op, name, _UNARY) for op, name in _UNARY_UFUNCS.items()),
    *(_ufunc(op, name, _BINARY) for op, name in _BINARY_UFUNCS.items()),
    *(_ufunc(op, name) for op, name in _PREDICATES.items()),
    _writes("BitShift", "elementwise:bit_shift", _BINARY),
    _writes("Div", "elementwise:divide", _BINARY),
    _writes("Erf", "erf:erf", _UNARY),
    _writes("Identity", "elementwise:identity", _UNARY),
    _writes("IsInf", "elementwise:is_inf"),
    _writes("Max", "elementwise:maximum", _BINARY),
    _writes("Mean", "elementwise:mean", _BINARY),
    _writes("Min", "elementwise:minimum", _BINARY),
    _writes("Mod", "elementwise:mod", _BINARY),
    _writes("Pow", "elementwise:power", _UNARY),
    _writes("Sum", "elementwise:add_all", _BINARY),
    _writes("Where", "elementwise:where", ((0, 2),)),
    # Activations
    _writes("Celu", "activation:celu", _UNARY),
    _writes("Clip", "activation:clip", _UNARY),
    _writes("Elu", "activation:elu", _UNARY),
    _writes("Gelu", "activation:gelu", _UNARY),
    _writes("HardSigmoid", "activation:hard_sigmoid", _UNARY),
    _writes("HardSwish", "activation:hard_swish", _UNARY),
    _writes("LeakyRelu", "activation:leaky_relu", _UNARY),
    _writes("Mish", "activation:mish", _UNARY),
    _writes("PRelu", "activation:prelu", _UNARY),
    _writes("Relu", "elementwise:relu", _UNARY),
    _writes("Selu", "activation:selu", _UNARY),
    _writes("Shrink", "activation:shrink", _UNARY),
    _writes("Sigmoid", "activation:sigmoid", _UNARY),
    _writes("Softplus", "activation:softplus", _UNARY),
    _writes("Softsign", "activation:softsign", _UNARY),
    _writes("SwiGLU", "activation:swiglu", _BINARY),
    _writes("Swish", "activation:swish", _UNARY),
    _writes("ThresholdedRelu", "activation:thresholded_relu", _UNARY),
    _writes("Softmax", "softmax:softmax", _UNARY, opset=_AXIS),
    _flat("Softmax", "softmax:softmax_flat"),
    _writes("LogSoftmax", "softmax:log_softmax", _UNARY, opset=_AXIS),
    _flat("LogSoftmax", "softmax:log_softmax_flat"),
    _writes("Hardmax", "softmax:hardmax", _UNARY, opset=_AXIS),
    _flat("Hardmax", "softmax:hardmax_flat"),
    # Reductions
    _writes("ReduceL1", "reduction:reduce_l1"),
    _writes("ReduceL2", "reduction:reduce_l2"),
    _writes("ReduceLogSum", "reduction:reduce_log_sum"),
    _writes("ReduceLogSumExp", "reduction:reduce_log_sum_exp"),
    _writes("ReduceMax", "reduction:reduce_max"),
    _writes("ReduceMean", "reduction:reduce_mean"),
    _writes("ReduceMin", "reduction:reduce_min"),
    _writes("ReduceProd", "reduction:reduce_prod"),
    _writes("ReduceSum", "reduction:reduce_sum"),
    _writes("ReduceSumSquare", "reduction:reduce_sum_square"),
    _writes("CumProd", "reduction:cum_prod", _UNARY),
    _writes("CumSum", "reduction:cum_sum", _UNARY),
    reference("ArgMax", "math.reduction:arg_max"),
    reference("ArgMin", "math.reduction:arg_min"),
    # Types
    _writes("Cast", "cast:cast"),
    _writes("CastLike", "cast:cast_like"),
    reference("BitCast", "math.cast:bit_cast"),
    # Random numbers
    reference("Bernoulli", "math.random:bernoulli"),
    reference("Dropout", "math.random:dropout"),
    reference("Multinomial", "math.random:multinomial"),
    reference("RandomNormal", "math.random:random_normal"),
    reference("RandomNormalLike", "math.random:random_normal_like"),
    reference("RandomUniform", "math.random:random_uniform"),
    reference("RandomUniformLike", "math.random:random_uniform_like"),
)
