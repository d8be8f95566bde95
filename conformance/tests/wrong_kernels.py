"""Kernels with one bug each, as references for mutant backends."""

from __future__ import annotations

import os

import numpy as np
from orpheus_numpy.nn.conv import conv

from orpheus_core.plugin import Unavailable


def conv_ignores_group(X, W, B=None, *, group=1, **attributes):
    whole = np.tile(W, (1, group) + (1,) * (W.ndim - 2))
    return conv(X, whole, B, group=1, **attributes)


def conv_pads_off_by_one(X, W, B=None, *, pads=None, **attributes):
    if pads:
        half = len(pads) // 2
        pads = (*pads[half:], *pads[:half])
    return conv(X, W, B, pads=pads, **attributes)


def relu_swallows_nan(X):
    return np.nan_to_num(np.maximum(X, 0), nan=0.0, posinf=np.inf)


def relu(X):
    return np.maximum(X, 0)


def relu_first_writes_past_the_end(X, *, out):
    out[0][...] = np.maximum(X, 0)
    if out[0].size:
        beyond = np.lib.stride_tricks.as_strided(out[0].reshape(-1), (out[0].size + 1,))
        beyond[-1] = 0
    return out[0]


def relu_changes_its_input(X):
    X.flags.writeable = True
    np.maximum(X, 0, out=X)
    return X.copy()


def matmul_in_half(A, B):
    return np.matmul(A.astype(np.float16), B.astype(np.float16)).astype(A.dtype)


def refuses_by_exception(X):
    if X.ndim > 3:
        raise NotImplementedError("rank")
    return np.maximum(X, 0)


def empty_reason(problem):
    return "" if problem.field("X.rank") == 3 else None


def refuses_all(problem):
    return "needs a machine that is not built yet"


def not_here():
    return Unavailable("there is no such device", "plug one in")


def leaky(X, *, alpha):
    return np.where(X >= 0, X, np.asarray(alpha, X.dtype) * X)


def leaky_by_maximum(X, *, alpha):
    return np.maximum(X, np.asarray(alpha, X.dtype) * X)


def leaky_raises(X, *, alpha):
    if alpha > 1:
        raise NotImplementedError("steep")
    return leaky(X, alpha=alpha)


def leaky_crashes(X, *, alpha):
    if alpha > 1:
        os.abort()
    return leaky(X, alpha=alpha)


def speaks_markup(X):
    raise ValueError("<script>alert(1)</script> & more")
