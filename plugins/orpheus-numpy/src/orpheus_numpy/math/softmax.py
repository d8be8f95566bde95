"""Softmax, LogSoftmax and Hardmax along one axis, and the flattening forms that they had before opset 13."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.math.activation import activation
from orpheus_numpy.math.elementwise import Out
from orpheus_numpy.nn.precision import deliver


@activation
def softmax(y: Array, x: Array, axis: int = -1) -> None:
    """exp(x) over its sum along ``axis`` (ONNX Softmax)."""
    if not x.size:
        return
    np.subtract(x, np.maximum.reduce(x, axis, keepdims=True), y)
    np.exp(y, y)
    np.divide(y, np.add.reduce(y, axis, keepdims=True), y)


@activation
def log_softmax(y: Array, x: Array, axis: int = -1) -> None:
    """Logarithm of :func:`softmax`, without its underflow (ONNX LogSoftmax)."""
    if not x.size:
        return
    np.subtract(x, np.maximum.reduce(x, axis, keepdims=True), y)
    np.subtract(y, np.log(np.add.reduce(np.exp(y), axis, keepdims=True)), y)


def hardmax(x: Array, *, axis: int = -1, out: Out = (None,)) -> Array:
    """1 at the first maximum along ``axis``, 0 elsewhere (ONNX Hardmax)."""
    y = np.zeros(x.shape, x.dtype)
    if x.size:
        np.put_along_axis(y, np.argmax(x, axis, keepdims=True), 1, axis)
    return deliver(y, x.dtype, out[0])


def _flattening(kernel: Callable[..., Array]) -> Callable[..., Array]:
    def run(x: Array, *, axis: int = 1, out: Out = (None,)) -> Array:
        axis = axis + x.ndim if axis < 0 else axis
        y = kernel(x.reshape(math.prod(x.shape[:axis]), -1) if x.size else x, axis=-1)
        return deliver(y.reshape(x.shape), x.dtype, out[0])

    run.__doc__ = f"{kernel.__name__} over all axes from ``axis`` on as one, the meaning before opset 13."
    return run


softmax_flat = _flattening(softmax)
log_softmax_flat = _flattening(log_softmax)
hardmax_flat = _flattening(hardmax)
