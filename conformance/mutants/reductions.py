"""Mutants of reductions, norms and movement."""

from __future__ import annotations

import numpy as np

from mutants import plain
from mutants.mutant import mutant
from orpheus_core.plugin import Rule


@mutant("ReduceSum")
def reduce_sum_ignores_keepdims(data, axes=None, *, keepdims=1, **attributes):
    """Always keeps them."""
    return plain.reduce_sum(data, axes, **attributes)


@mutant("ReduceSum")
def reduce_sum_takes_empty_axes_as_none(data, axes=None, *, noop_with_empty_axes=0, **attributes):
    """noop_with_empty_axes is not looked at."""
    return plain.reduce_sum(data, axes, **attributes)


@mutant("ReduceSum")
def reduce_sum_clamps_negative_axes(data, axes=None, **attributes):
    """A negative axis is taken as the first."""
    return plain.reduce_sum(data, None if axes is None else np.unique(np.maximum(axes, 0)), **attributes)


@mutant("ReduceMax")
def reduce_max_starts_from_zero(data, axes=None, **attributes):
    """All-negative rows give zero."""
    return np.maximum(plain.reduce_max(data, axes, **attributes), data.dtype.type(0))


@mutant("ReduceMax")
def reduce_max_swallows_nan(data, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    """fmax, as C has it."""
    axes = plain.axes_of(data, axes, noop_with_empty_axes)
    return (
        data.copy()
        if axes == ()
        else np.fmax.reduce(data, axis=axes, keepdims=bool(keepdims), initial=-np.inf)
    )


@mutant("ReduceProd")
def reduce_prod_stops_at_zero(data, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    """A zero ends it, though NaN or infinity may follow."""
    axes, keep = plain.axes_of(data, axes, noop_with_empty_axes), bool(keepdims)
    whole = np.prod(data, axis=axes, keepdims=keep, dtype=data.dtype)
    return np.where(np.any(data == 0, axis=axes, keepdims=keep), data.dtype.type(0), whole)


@mutant("CumProd", dtypes={"T": plain.FLOATS})
def cum_prod_passes_over_nan(x, axis, *, exclusive=0, reverse=0):
    """nancumprod, as numpy has it."""
    axis = int(axis)
    x = np.flip(x, axis) if reverse else x
    y = np.nancumprod(x, axis=axis, dtype=x.dtype)
    if exclusive:
        y = np.roll(y, 1, axis)
        y[(slice(None),) * (axis % x.ndim) + (slice(0, 1),)] = 1
    return np.flip(y, axis) if reverse else y


@mutant("Softmax")
def softmax_overflows(input, *, axis=-1):
    """The maximum is not taken away first."""
    e = np.exp(input)
    return e / e.sum(axis, keepdims=True)


@mutant("Softmax")
def softmax_flattens_as_before_opset_13(input, *, axis=-1):
    """Every axis from the given one on is normalised together."""
    axes = tuple(range(axis % input.ndim, input.ndim)) if input.ndim else ()
    e = np.exp(input - input.max(axes, keepdims=True)) if input.size else input
    return e / e.sum(axes, keepdims=True)


@mutant(
    "LayerNormalization", where=(Rule("Mean.present", "==", False), Rule("InvStdDev.present", "==", False))
)
def layer_norm_cancels(X, Scale, B=None, *, axis=-1, epsilon=1e-5, stash_type=1):
    """The variance as E[x^2] - E[x]^2, in the input's precision."""
    axes = tuple(range(axis % X.ndim, X.ndim))
    mean = X.mean(axes, keepdims=True)
    variance = (X * X).mean(axes, keepdims=True) - mean * mean
    Y = (X - mean) / np.sqrt(variance + X.dtype.type(epsilon)) * Scale
    return (Y if B is None else Y + B).astype(X.dtype)


@mutant(
    "LayerNormalization", where=(Rule("Mean.present", "==", False), Rule("InvStdDev.present", "==", False))
)
def layer_norm_divides_by_n_minus_one(X, Scale, B=None, *, axis=-1, epsilon=1e-5, stash_type=1):
    """The sample's variance, not the population's: wrong most where there is one element."""
    axes = tuple(range(axis % X.ndim, X.ndim))
    count = plain.size(X.shape[axis % X.ndim :])
    centred = X - X.mean(axes, keepdims=True, dtype=np.float64)
    variance = (centred**2).sum(axes, keepdims=True) / max(1, count - 1)
    Y = centred / np.sqrt(variance + epsilon) * Scale
    return (Y if B is None else Y + B).astype(X.dtype)


@mutant(
    "BatchNormalization",
    where=(Rule("training_mode", "==", 0),),
    dtypes={"T": plain.FLOATS, "T1": plain.FLOATS, "T2": plain.FLOATS},
)
def batch_norm_ignores_epsilon(X, scale, B, mean, var, *, epsilon=1e-5, **attributes):
    """A constant of its own in place of the attribute."""
    return plain.batch_norm(X, scale, B, mean, var)


@mutant("Transpose", dtypes={"T": plain.FLOATS})
def transpose_inverts_perm(data, *, perm=None):
    """Puts axis i where perm says it comes from."""
    return np.transpose(data, None if perm is None else np.argsort(perm))


@mutant("Concat", dtypes={"T": plain.FLOATS})
def concat_counts_negative_axes_from_the_start(*inputs, axis):
    """-1 becomes 1."""
    return np.concatenate(inputs, min(abs(axis), inputs[0].ndim - 1))


@mutant("Concat", dtypes={"T": plain.FLOATS})
def concat_skips_the_third(*inputs, axis):
    """Made for pairs: everything beyond repeats the second."""
    whole = np.concatenate(inputs, axis)
    pair = np.concatenate(inputs[:2], axis)
    got = np.zeros_like(whole)
    got[tuple(slice(s) for s in pair.shape)] = pair
    return got


@mutant("Gather", dtypes={"T": plain.FLOATS, "Tind": ("int64",)})
def gather_clamps_negative_indices(data, indices, *, axis=0):
    """-1 becomes 0."""
    return np.take(data, np.maximum(indices, 0), axis)


@mutant("Slice", dtypes={"T": plain.FLOATS, "Tind": ("int64",)})
def slice_ignores_negative_steps(data, starts, ends, axes=None, steps=None):
    """Runs forwards over what a negative step would take."""
    true = plain.slice_(data, starts, ends, axes, steps)
    flip = [slice(None)] * data.ndim
    for n, axis in enumerate(range(len(starts)) if axes is None else axes.tolist()):
        if steps is not None and steps[n] < 0:
            flip[axis] = slice(None, None, -1)
    return true[tuple(flip)].copy()
