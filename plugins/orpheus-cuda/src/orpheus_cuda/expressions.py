"""Elementwise operators as expressions of C++: of x, y, z, computed in type C, and parameters p0 and p1.

Comparisons are written so that a NaN stays one, as ONNX's activations have it.
"""

from __future__ import annotations

FLOATS = ("float32", "float16", "bfloat16", "float64")
INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
_SIGNED = (*FLOATS, *INTEGERS[:4])
NUMBERS = (*FLOATS, *INTEGERS)
EVERY = (*NUMBERS, "bool")
#: As C++ names them here.
TYPES = {
    "float32": "float", "float16": "half_t", "bfloat16": "bfloat_t", "float64": "double", "bool": "bool",
    "int8": "i8", "int16": "i16", "int32": "i32", "int64": "i64",
    "uint8": "u8", "uint16": "u16", "uint32": "u32", "uint64": "u64",
}  # fmt: skip
#: Words of so many bytes, for what only moves elements.
WORDS = {1: "u8", 2: "u16", 4: "u32", 8: "u64"}

_CLIP = "(x < p0 ? (p1 < p0 ? p1 : p0) : (x > p1 ? p1 : x))"
#: Of one operand x: the expression and the element types. Parameters are in the order of ops.activations.
UNARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "Relu": ("x < C(0) ? C(0) : x", _SIGNED),
    "Clip": (_CLIP, (*FLOATS, "int8", "int32", "uint8")),
    "LeakyRelu": ("x < C(0) ? x * p0 : x", FLOATS),
    "Sigmoid": ("C(1) / (C(1) + exp(-x))", FLOATS),
    "Tanh": ("tanh(x)", FLOATS),
    "HardSigmoid": ("unit(x * p0 + p1)", FLOATS),
    "HardSwish": ("x * unit(x * C(1.0 / 6.0) + C(0.5))", FLOATS),
    "Swish": ("x / (C(1) + exp(-x * p0))", FLOATS),
    "Elu": ("x < C(0) ? p0 * expm1(x) : x", FLOATS),
    "Celu": ("x < C(0) ? p0 * expm1(x / p0) : x", FLOATS),
    "Selu": ("p1 * (x > C(0) ? x : p0 * expm1(x))", FLOATS),
    "Gelu": (
        "C(0.5) * x * (C(1) + (p0 != C(0) ? tanh(C(0.7978845608028654) * (x + C(0.044715) * x * x * x))"
        " : erf(x * C(0.7071067811865476))))",
        FLOATS,
    ),
    "Mish": ("x * tanh(softplus(x))", FLOATS),
    "Softplus": ("softplus(x)", FLOATS),
    "Softsign": ("x / (C(1) + fabs(x))", FLOATS),
    "ThresholdedRelu": ("x > p0 ? x : x * C(0)", FLOATS),
    "Exp": ("exp(x)", FLOATS),
    "Log": ("log(x)", FLOATS),
    "Sqrt": ("sqrt(x)", FLOATS),
    "Reciprocal": ("C(1) / x", FLOATS),
    "Erf": ("erf(x)", FLOATS),
    "Sin": ("sin(x)", FLOATS),
    "Cos": ("cos(x)", FLOATS),
    "Floor": ("floor(x)", FLOATS),
    "Ceil": ("ceil(x)", FLOATS),
    "Round": ("rint(x)", FLOATS),
    "Abs": ("x < C(0) ? -x : x == C(0) ? C(0) : x", _SIGNED),
    "Neg": ("-x", _SIGNED),
    "Sign": ("x > C(0) ? C(1) : x < C(0) ? C(-1) : x * C(0)", _SIGNED),
    "Not": ("!x", ("bool",)),
    "IsNaN": ("x != x", FLOATS),
    "Identity": ("x", EVERY),
}
#: What gives the exact result.
EXACT = ("Relu", "Clip", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Not", "IsNaN", "Identity")

_DIVIDE = "(y == C(0) ? C(0) : y == C(-1) ? C(0) - x : x / y)"
#: Of two operands x and y.
BINARY: dict[str, tuple[str, tuple[str, ...]]] = {
    "Add": ("x + y", NUMBERS),
    "Sub": ("x - y", NUMBERS),
    "Mul": ("x * y", NUMBERS),
    "Div": ("x / y", NUMBERS),  # of integers: see divide
    "PRelu": ("x < C(0) ? x * y : x", FLOATS),
    "Min": ("x != x ? x : y < x || y != y ? y : x", NUMBERS),
    "Max": ("x != x ? x : y > x || y != y ? y : x", NUMBERS),
    "Sum": ("x + y", FLOATS),
    "Mean": ("(x + y) * C(0.5)", FLOATS),
    "Pow": ("pow(x, y)", FLOATS),
    "Equal": ("x == y", EVERY),
    "Greater": ("x > y", NUMBERS),
    "GreaterOrEqual": ("x >= y", NUMBERS),
    "Less": ("x < y", NUMBERS),
    "LessOrEqual": ("x <= y", NUMBERS),
    "And": ("x && y", ("bool",)),
    "Or": ("x || y", ("bool",)),
    "Xor": ("x != y", ("bool",)),
}
#: Their result is bool.
COMPARISONS = ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor")


def divide(op: str, dtype: str) -> str:
    """The expression of a binary operator; a machine's integers have no quotient for 0, nor the least one for -1."""
    return _DIVIDE if op == "Div" and dtype in INTEGERS else BINARY[op][0]


def act(name: str) -> str:
    """What ``apply`` computes for a fused operator: its activation, or x itself."""
    return f"({UNARY[name][0]})" if name else "x"
