"""Mutants of element-wise operators: values, types, broadcasting."""

from __future__ import annotations

import numpy as np

from mutants import plain
from mutants.mutant import mutant
from orpheus_core.plugin import Rule


@mutant("Relu")
def relu_turns_nan_to_zero(X):
    """``x > 0 ? x : 0``: the comparison with NaN is false."""
    return np.where(X > 0, X, X.dtype.type(0))


@mutant("Relu")
def relu_keeps_small_negatives(X):
    """A leak that was meant for another operator."""
    return plain.leaky_relu(X)


@mutant("Identity", dtypes={"V": plain.FLOATS})
def identity_loses_signed_zero(input):
    """Copies by adding zero."""
    return input + input.dtype.type(0)


@mutant("LeakyRelu")
def leaky_relu_has_its_own_default(X, *, alpha=0.01):
    """An alpha of the default value is taken for one that is absent."""
    return plain.leaky_relu(X, alpha=0.1 if abs(alpha - 0.01) < 1e-6 else alpha)


@mutant("Clip")
def clip_takes_a_missing_bound_as_zero(input, low=None, high=None):
    """The default of a float."""
    return plain.clip(input, input.dtype.type(0) if low is None else low, high)


@mutant("Equal", dtypes={"T": plain.FLOATS})
def equal_returns_integers(A, B):
    """0 and 1 as int32."""
    return np.equal(A, B).astype(np.int32)


@mutant("Not", dtypes={"T": ("bool",)})
def not_returns_all_ones(X):
    """A byte-wise complement: true is 255."""
    return (~(X.view(np.uint8) * np.uint8(255))).view(np.bool_)


@mutant("Add")
def add_broadcasts_from_the_left(A, B):
    """The shorter shape is filled up at its end where it fits there."""
    if A.ndim > B.ndim and B.ndim and B.shape == A.shape[: B.ndim]:
        B = B.reshape(B.shape + (1,) * (A.ndim - B.ndim))
    return A + B


@mutant("Add")
def add_broadcasts_the_second_only(A, B):
    """The loop runs over the first operand's elements."""
    shape = np.broadcast_shapes(A.shape, B.shape)
    Y = np.zeros(shape, A.dtype)
    flat = np.resize(A.ravel(), plain.size(shape)) if A.size else np.zeros(plain.size(shape), A.dtype)
    Y[...] = flat.reshape(shape) + B
    return Y


@mutant("Add", dtypes={"T": ("float32", "int64")})
def add_converts_integers_to_float(A, B):
    """One code path for all types, in float32."""
    return (A.astype(np.float32) + B.astype(np.float32)).astype(A.dtype)


@mutant("Div", dtypes={"T": ("int32", "int64", "float32")})
def div_floors_integers(A, B):
    """Python's division, not C's."""
    return A // B if A.dtype.kind == "i" else A / B


@mutant("Round")
def round_takes_halves_away(X):
    """Rounds half away from zero."""
    return (np.sign(X) * np.floor(np.abs(X) + 0.5)).astype(X.dtype)


@mutant("Where", dtypes={"T": plain.FLOATS})
def where_broadcasts_condition_from_the_left(condition, X, Y):
    """A short condition is filled up at its end where it fits there."""
    shape = np.broadcast_shapes(condition.shape, X.shape, Y.shape)
    if condition.ndim and condition.shape == shape[: condition.ndim]:
        condition = condition.reshape(condition.shape + (1,) * (len(shape) - condition.ndim))
    return np.where(condition, X, Y)


QUANTIZE = {
    "dtypes": {"T1": ("float32",), "T2": ("float32",), "T3": ("uint8", "int8")},
    "where": (Rule("block_size", "==", 0), Rule("output_dtype", "==", 0), Rule("precision", "==", 0)),
}


@mutant("QuantizeLinear", **QUANTIZE)
def quantize_wraps(x, y_scale, y_zero_point=None, *, axis=1, **attributes):
    """The cast wraps where it must saturate."""
    zero = np.uint8(0) if y_zero_point is None else y_zero_point
    scaled = np.rint(x / plain.along(y_scale, x, axis)) + plain.along(zero, x, axis)
    return np.clip(scaled, -(2**31), 2**31 - 1).astype(np.int64).astype(zero.dtype)


@mutant("QuantizeLinear", **QUANTIZE)
def quantize_rounds_halves_up(x, y_scale, y_zero_point=None, *, axis=1, **attributes):
    """floor(x + 1/2)."""
    zero = np.uint8(0) if y_zero_point is None else y_zero_point
    scaled = np.floor(x / plain.along(y_scale, x, axis) + np.float32(0.5)) + plain.along(zero, x, axis)
    return plain.saturated(scaled, zero.dtype)


@mutant("MatMul")
def matmul_accumulates_in_half(A, B):
    """float16 inside, undeclared."""
    return np.matmul(A.astype(np.float16), B.astype(np.float16)).astype(A.dtype)


@mutant("MatMul")
def matmul_squeezes_ones(A, B):
    """Axes of size one are lost."""
    return np.squeeze(np.matmul(A, B))


@mutant("MatMul")
def matmul_ignores_stacks_of_the_second(A, B):
    """Uses the first matrix of the second operand's stack for all."""
    true = np.matmul(A, B)
    if B.ndim < 3 or not true.size:
        return true
    first = B[(slice(0, 1),) * (B.ndim - 2)]
    return np.broadcast_to(np.matmul(A, first), true.shape).copy()


@mutant("Gemm")
def gemm_ignores_beta(A, B, C=None, *, beta=1.0, **attributes):
    """C is added as it is."""
    return plain.gemm(A, B, C, **attributes)


@mutant("Gemm")
def gemm_takes_c_as_a_row(A, B, C=None, **attributes):
    """A column is read as a row where the sizes allow it."""
    if (
        C is not None
        and C.ndim == 2
        and C.shape[1] == 1
        and C.shape[0] == (B.shape[0 if attributes["transB"] else 1])
    ):
        C = C.T
    return plain.gemm(A, B, C, **attributes)
