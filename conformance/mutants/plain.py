"""Right kernels, short and plain: what the mutants change one line of."""

from __future__ import annotations

import math

import numpy as np

FLOATS = ("float32", "float64")


# Windows.


def settings(X, kernel, strides, dilations, pads, auto_pad):
    """The attributes of a window operator, filled in: (strides, dilations, pads)."""
    n = X.ndim - 2
    strides, dilations = strides or (1,) * n, dilations or (1,) * n
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    if auto_pad.startswith("SAME"):
        total = [max(0, (-(-s // t) - 1) * t + e - s) for s, t, e in zip(X.shape[2:], strides, spans)]
        less, more = [p // 2 for p in total], [p - p // 2 for p in total]
        pads = (*less, *more) if auto_pad == "SAME_UPPER" else (*more, *less)
    return strides, dilations, tuple(pads or (0,) * 2 * n) if auto_pad != "VALID" else (0,) * 2 * n


def windows(X, kernel, strides, dilations, pads, value=0):
    """A view of every window: [N, C, positions, taps]."""
    n = X.ndim - 2
    padded = np.pad(X, [(0, 0), (0, 0), *zip(pads[:n], pads[n:])], constant_values=value)
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    view = np.lib.stride_tricks.sliding_window_view(padded, spans, tuple(range(2, 2 + n)))
    return view[(..., *(slice(None, None, s) for s in strides), *(slice(None, None, d) for d in dilations))]


def conv(
    X, W, B=None, *, group=1, pads=None, strides=None, dilations=None, auto_pad="NOTSET", kernel_shape=None
):
    """Conv of any rank and group."""
    n = X.ndim - 2
    kernel = W.shape[2:]
    strides, dilations, pads = settings(X, kernel, strides, dilations, pads, auto_pad)
    view = windows(X, kernel, strides, dilations, pads)
    c, m = W.shape[1], W.shape[0] // group
    sums = ([1, *range(2 + n, 2 + 2 * n)], range(1, 2 + n))
    parts = [np.tensordot(view[:, g * c : g * c + c], W[g * m : g * m + m], sums) for g in range(group)]
    Y = np.moveaxis(np.concatenate(parts, -1), -1, 1)
    return Y if B is None else Y + channels(B, X.ndim)


def channels(v, rank):
    """A vector of channels, to broadcast along axis 1."""
    return v.reshape(-1, *(1,) * (rank - 2))


def conv_transpose(
    X, W, B=None, *, group=1, pads=None, strides=None, dilations=None, output_padding=None, auto_pad="NOTSET",
    kernel_shape=None, output_shape=None,
):  # fmt: skip
    """ConvTranspose with explicit pads: every tap adds its share to the output."""
    n = X.ndim - 2
    kernel, c, m = W.shape[2:], X.shape[1] // group, W.shape[1]
    strides, dilations, pads = strides or (1,) * n, dilations or (1,) * n, pads or (0,) * 2 * n
    extra = output_padding or (0,) * n
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilations)]
    full = [(s - 1) * t + e + x for s, t, e, x in zip(X.shape[2:], strides, spans, extra)]
    Y = np.zeros((X.shape[0], group * m, *full), X.dtype)
    for tap in np.ndindex(*kernel):
        place = tuple(
            slice(i * d, i * d + (s - 1) * t + 1, t)
            for i, d, s, t in zip(tap, dilations, X.shape[2:], strides)
        )
        for g in range(group):
            part = np.tensordot(
                X[:, g * c : g * c + c], W[(slice(g * c, g * c + c), slice(None), *tap)], ([1], [0])
            )
            Y[(slice(None), slice(g * m, g * m + m), *place)] += np.moveaxis(part, -1, 1)
    Y = Y[(..., *(slice(p, f - q) for p, q, f in zip(pads[:n], pads[n:], full)))]
    return Y if B is None else Y + channels(B, X.ndim)


def pool_settings(X, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode):
    """As ``settings``, with pads at the end that let the last, partial window of ceil_mode (explicit pads) in."""
    n = X.ndim - 2
    ceil_mode = ceil_mode and auto_pad == "NOTSET"
    strides, dilations, pads = settings(X, kernel_shape, strides, dilations, pads, auto_pad)
    reach = list(pads)
    for i, (size, k, t, d) in enumerate(zip(X.shape[2:], kernel_shape, strides, dilations)):
        span, padded = (k - 1) * d + 1, size + pads[i] + pads[i + n]
        count = -(-(padded - span) // t) + 1
        if ceil_mode and (count - 1) * t < size + pads[i]:
            reach[i + n] += max(0, (count - 1) * t + span - padded)
    return strides, dilations, pads, tuple(reach)


def max_pool(
    X,
    *,
    kernel_shape,
    pads=None,
    strides=None,
    dilations=None,
    auto_pad="NOTSET",
    ceil_mode=0,
    storage_order=0,
):
    """MaxPool without indices."""
    strides, dilations, _, reach = pool_settings(
        X, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode
    )
    view = windows(X, kernel_shape, strides, dilations, reach, -np.inf)
    return view.max(tuple(range(X.ndim, view.ndim)))


def average_pool(
    X,
    *,
    kernel_shape,
    pads=None,
    strides=None,
    dilations=None,
    auto_pad="NOTSET",
    ceil_mode=0,
    count_include_pad=0,
):
    """AveragePool; what is beyond the declared pads never counts."""
    n = X.ndim - 2
    strides, dilations, pads, reach = pool_settings(
        X, kernel_shape, strides, dilations, pads, auto_pad, ceil_mode
    )
    inside = np.ones((1, 1, *X.shape[2:]), X.dtype)
    widths = [(0, 0), (0, 0), *zip(pads[:n], pads[n:])]
    inside = np.pad(inside, widths, constant_values=1 if count_include_pad else 0)
    rest = (0,) * n + tuple(r - p for r, p in zip(reach[n:], pads[n:]))
    taken = tuple(range(X.ndim, 2 * X.ndim - 2))
    count = windows(inside, kernel_shape, strides, dilations, rest).sum(taken)
    return windows(X, kernel_shape, strides, dilations, reach).sum(taken) / np.maximum(count, 1)


# Epilogues.


def activate(x, name, params):
    """The activations that need no library."""
    if name == "Relu":
        return np.maximum(x, x.dtype.type(0))
    if name == "Clip":
        return np.clip(x, *(x.dtype.type(p) for p in params))
    if name == "LeakyRelu":
        return np.where(x < 0, x * x.dtype.type(params[0]), x)
    return x


def fused_conv(
    X, W, B=None, R=None, scale=None, shift=None, *, activation="", activation_params=(), **attributes
):
    """FusedConv: (Y, S)."""
    S = conv(X, W, B, **attributes)
    S = S if R is None else S + R
    Y = S if scale is None else S * channels(scale, S.ndim) + channels(shift, S.ndim)
    return activate(Y, activation, activation_params), S


# Products.


def matmul(A, B):
    """MatMul."""
    return np.matmul(A, B)


def gemm(A, B, C=None, *, alpha=1.0, beta=1.0, transA=0, transB=0):
    """Gemm."""
    Y = A.dtype.type(alpha) * np.matmul(A.T if transA else A, B.T if transB else B)
    return Y if C is None else Y + A.dtype.type(beta) * C


# Element by element.


def relu(X):
    """Relu."""
    return np.maximum(X, X.dtype.type(0))


def leaky_relu(X, *, alpha=0.01):
    """LeakyRelu."""
    return np.where(X < 0, X * X.dtype.type(alpha), X)


def clip(input, low=None, high=None):
    """Clip; the upper bound wins where they cross."""
    X = input if low is None else np.maximum(input, low)
    return X if high is None else np.minimum(X, high)


def add(A, B):
    """Add."""
    return A + B


def identity(X):
    """Identity."""
    return X.copy()


def divide(A, B):
    """Div; integers are cut towards zero."""
    if A.dtype.kind not in "iu":
        return A / B
    quotient = A // B
    return quotient + ((quotient * B != A) & ((A < 0) != (B < 0))).astype(A.dtype)


def round_even(X):
    """Round, ties to even."""
    return np.rint(X)


def where(condition, X, Y):
    """Where."""
    return np.where(condition, X, Y)


# Reductions and norms.


def axes_of(data, axes, noop_with_empty_axes):
    """The axes to reduce: all when none is given, unless that means none."""
    if axes is None or axes.size == 0:
        return () if noop_with_empty_axes else tuple(range(data.ndim))
    return tuple(int(a) % data.ndim for a in axes)


def reduce_sum(data, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    """ReduceSum."""
    return np.sum(
        data, axis=axes_of(data, axes, noop_with_empty_axes), keepdims=bool(keepdims), dtype=data.dtype
    )


def reduce_mean(data, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    """ReduceMean, summed in float64."""
    axes = axes_of(data, axes, noop_with_empty_axes)
    return np.mean(data, axis=axes, keepdims=bool(keepdims), dtype=np.float64).astype(data.dtype)


def reduce_max(data, axes=None, *, keepdims=1, noop_with_empty_axes=0):
    """ReduceMax."""
    axes = axes_of(data, axes, noop_with_empty_axes)
    return data.copy() if axes == () else np.max(data, axis=axes, keepdims=bool(keepdims), initial=-np.inf)


def softmax(input, *, axis=-1):
    """Softmax; the maximum is taken away so that no exponential overflows."""
    e = np.exp(input - input.max(axis, keepdims=True)) if input.size else input
    return e / e.sum(axis, keepdims=True)


def layer_norm(X, Scale, B=None, *, axis=-1, epsilon=1e-5, stash_type=1):
    """LayerNormalization: Y only."""
    axes = tuple(range(axis % X.ndim, X.ndim))
    centred = X - X.mean(axes, keepdims=True, dtype=np.float64)
    Y = centred / np.sqrt((centred**2).mean(axes, keepdims=True) + epsilon) * Scale
    return (Y if B is None else Y + B).astype(X.dtype)


def batch_norm(X, scale, B, mean, var, *, epsilon=1e-5, momentum=0.9, training_mode=0):
    """BatchNormalization in inference."""
    s, b, m, v = (channels(p.astype(np.float64), max(2, X.ndim)) for p in (scale, B, mean, var))
    return ((X - m) / np.sqrt(v + epsilon) * s + b).astype(X.dtype)


# Movement.


def transpose(data, *, perm=None):
    """Transpose."""
    return np.transpose(data, perm)


def concat(*inputs, axis):
    """Concat."""
    return np.concatenate(inputs, axis)


def gather(data, indices, *, axis=0):
    """Gather."""
    return np.take(data, indices, axis)


def slice_(data, starts, ends, axes=None, steps=None):
    """Slice."""
    axes = range(len(starts)) if axes is None else axes
    steps = np.ones(len(starts), np.int64) if steps is None else steps
    taken = [slice(None)] * data.ndim
    for first, last, axis, step in zip(starts.tolist(), ends.tolist(), axes, steps.tolist()):
        size = data.shape[axis]
        low, high = (0, size) if step > 0 else (-1, size - 1)
        first = min(max(first + size if first < 0 else first, 0), high)
        last = min(max(last + size if last < 0 else last, low), high + (step < 0))
        taken[axis] = slice(first, None if last < 0 else last, step)
    return data[tuple(taken)].copy()


def quantize(x, y_scale, y_zero_point=None, *, axis=1, block_size=0, output_dtype=0, precision=0, saturate=1):
    """QuantizeLinear: round to even, then saturate; scale and zero point of the tensor or along an axis."""
    zero = np.uint8(0) if y_zero_point is None else y_zero_point
    return saturated(np.rint(x / along(y_scale, x, axis)) + along(zero, x, axis), zero.dtype)


def along(v, x, axis):
    """A vector to broadcast along an axis, a scalar as it is."""
    return v.reshape([-1 if a == axis % x.ndim else 1 for a in range(x.ndim)]) if np.ndim(v) else v


def saturated(values, dtype):
    """Into an integer type's range."""
    info = np.iinfo(dtype)
    return np.clip(values, info.min, info.max).astype(dtype)


def size(shape):
    """The number of elements."""
    return math.prod(shape)
