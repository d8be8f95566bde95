"""Reductions over axes, ArgMax, ArgMin, and running sums and products.

``axes`` is an int64 array; without it, or when it is empty, all axes are reduced, or none with
``noop_with_empty_axes``. Low-precision floats accumulate in float32; integers wrap. numpy's pairwise summation keeps
the error of a float sum over contiguous elements to O(log n) roundings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.math.elementwise import Out, divide
from orpheus_numpy.nn.precision import deliver, wide_dtype, widen


def _reduction(core: Callable[[Array, Any, Any], Any]) -> Callable[..., Array]:
    """A kernel from ``core(x, axes, keepdims)``, where axes is what numpy's reductions take."""

    def run(
        data: Array,
        axes: Array | None = None,
        *,
        keepdims: int = 1,
        noop_with_empty_axes: int = 0,
        out: Out = (None,),
    ) -> Array:
        chosen: tuple[int, ...] | None = tuple(axes.tolist()) if axes is not None and axes.size else None
        if chosen is None and noop_with_empty_axes:
            chosen = ()
        return deliver(core(data, chosen, bool(keepdims)), data.dtype, out[0])

    run.__doc__ = core.__doc__
    return run


def _sum(x: Array, axes: Any, keep: Any) -> Any:
    """Sum (ONNX ReduceSum)."""
    return np.add.reduce(x, axes, wide_dtype(x.dtype), keepdims=keep)


def _prod(x: Array, axes: Any, keep: Any) -> Any:
    """Product (ONNX ReduceProd)."""
    return np.multiply.reduce(x, axes, wide_dtype(x.dtype), keepdims=keep)


def _mean(x: Array, axes: Any, keep: Any) -> Any:
    """Mean; that of integers is rounded toward zero (ONNX ReduceMean)."""
    if x.dtype.kind not in "iu":
        return np.mean(x, axes, wide_dtype(x.dtype), keepdims=keep)
    wide = np.dtype(np.int64 if x.dtype.kind == "i" else np.uint64)
    total = np.asarray(np.add.reduce(x, axes, wide, keepdims=keep))
    return divide(total, np.asarray(x.size // max(total.size, 1), wide))


def _l1(x: Array, axes: Any, keep: Any) -> Any:
    """Sum of absolute values (ONNX ReduceL1)."""
    return _sum(np.abs(x), axes, keep)


def _sum_square(x: Array, axes: Any, keep: Any) -> Any:
    """Sum of squares (ONNX ReduceSumSquare)."""
    return _sum(np.square(widen(x)), axes, keep)


def _l2(x: Array, axes: Any, keep: Any) -> Any:
    """Square root of the sum of squares (ONNX ReduceL2)."""
    return np.sqrt(_sum_square(x.astype(np.float64) if x.dtype.kind in "iu" else x, axes, keep))


def _log_sum(x: Array, axes: Any, keep: Any) -> Any:
    """Logarithm of the sum (ONNX ReduceLogSum)."""
    return np.log(_sum(x, axes, keep))


def _log_sum_exp(x: Array, axes: Any, keep: Any) -> Any:
    """Logarithm of the sum of exponentials, without their overflow (ONNX ReduceLogSumExp)."""
    x = widen(x)
    top = np.asarray(np.maximum.reduce(x, axes, keepdims=True, initial=-np.inf))
    shift = np.where(np.isfinite(top), top, 0)  # an infinite maximum would turn into NaN
    result = shift + np.log(np.add.reduce(np.exp(x - shift), axes, keepdims=True))
    return result if keep else result.reshape(np.add.reduce(x, axes).shape)


def _lowest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "iu":
        return np.iinfo(dtype).min
    return False if dtype.kind == "b" else dtype.type(-np.inf)


def _highest(dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "iu":
        return np.iinfo(dtype).max
    return True if dtype.kind == "b" else dtype.type(np.inf)


def _max(x: Array, axes: Any, keep: Any) -> Any:
    """Maximum; of nothing, the type's lowest value (ONNX ReduceMax)."""
    return np.maximum.reduce(x, axes, keepdims=keep, initial=_lowest(x.dtype))


def _min(x: Array, axes: Any, keep: Any) -> Any:
    """Minimum; of nothing, the type's highest value (ONNX ReduceMin)."""
    return np.minimum.reduce(x, axes, keepdims=keep, initial=_highest(x.dtype))


reduce_sum = _reduction(_sum)
reduce_prod = _reduction(_prod)
reduce_mean = _reduction(_mean)
reduce_l1 = _reduction(_l1)
reduce_l2 = _reduction(_l2)
reduce_sum_square = _reduction(_sum_square)
reduce_log_sum = _reduction(_log_sum)
reduce_log_sum_exp = _reduction(_log_sum_exp)
reduce_max = _reduction(_max)
reduce_min = _reduction(_min)


def _extreme_index(find: Any, data: Array, axis: int, keepdims: int, last: int) -> Array:
    if not last:
        return np.asarray(find(data, axis, keepdims=bool(keepdims)), np.int64)
    index = find(np.flip(data, axis), axis, keepdims=bool(keepdims))
    return np.asarray(data.shape[axis] - 1 - index, np.int64)


def arg_max(data: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """int64 index of the (first or last) maximum along ``axis`` (ONNX ArgMax)."""
    return _extreme_index(np.argmax, data, axis, keepdims, select_last_index)


def arg_min(data: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """int64 index of the (first or last) minimum along ``axis`` (ONNX ArgMin)."""
    return _extreme_index(np.argmin, data, axis, keepdims, select_last_index)


def _running(ufunc: Any, x: Array, axis: Array, exclusive: int, reverse: int, out: Out) -> Array:
    along = int(axis.reshape(()))
    source = np.flip(x, along) if reverse else x
    if exclusive and x.shape[along]:
        first = np.full_like(np.take(source, [0], along), ufunc.identity)
        source = np.concatenate([first, np.take(source, range(x.shape[along] - 1), along)], along)
    y = ufunc.accumulate(source, along, wide_dtype(x.dtype))
    return deliver(np.flip(y, along) if reverse else y, x.dtype, out[0])


def cum_sum(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0, out: Out = (None,)) -> Array:
    """Running sum along ``axis`` (a scalar); exclusive leaves out the element itself (ONNX CumSum)."""
    return _running(np.add, x, axis, exclusive, reverse, out)


def cum_prod(x: Array, axis: Array, *, exclusive: int = 0, reverse: int = 0, out: Out = (None,)) -> Array:
    """Running product along ``axis`` (a scalar); exclusive leaves out the element itself (ONNX CumProd)."""
    return _running(np.multiply, x, axis, exclusive, reverse, out)
