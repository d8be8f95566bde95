"""Mutants of window operators: Conv, ConvTranspose, pools."""

from __future__ import annotations

import numpy as np

from mutants import plain
from mutants.mutant import mutant
from orpheus_core.plugin import Rule

_TWO = (Rule("X.rank", "==", 4),)
_NOTSET = Rule("auto_pad", "==", "NOTSET")


@mutant("Conv")
def conv_ignores_group(X, W, B=None, *, group=1, **attributes):
    """Every filter sees every channel."""
    return plain.conv(X, np.tile(W, (1, group) + (1,) * (W.ndim - 2)), B, group=1, **attributes)


@mutant("Conv")
def conv_swaps_pads(X, W, B=None, *, pads=None, **attributes):
    """Asymmetric pads the wrong way round: all ends, then all begins."""
    half = X.ndim - 2
    return plain.conv(X, W, B, pads=pads and (*pads[half:], *pads[:half]), **attributes)


@mutant("Conv")
def conv_interleaves_pads(X, W, B=None, *, pads=None, **attributes):
    """Reads pads as (begin, end) of each axis, as other frameworks have them."""
    return plain.conv(X, W, B, pads=pads and (*pads[::2], *pads[1::2]), **attributes)


@mutant("Conv")
def conv_ignores_dilation(X, W, B=None, *, dilations=None, pads=None, **attributes):
    """Refuses nothing and computes with dilation 1; the output is cut or padded to its size."""
    n = X.ndim - 2
    true = plain.conv(X, W, B, dilations=dilations, pads=pads, **attributes)
    got = plain.conv(X, W, B, pads=pads, **attributes)
    return np.pad(got, [(0, max(0, t - g)) for t, g in zip(true.shape, got.shape)])[
        (..., *(slice(s) for s in true.shape[-n:]))
    ]


@mutant("Conv", where=(*_TWO, Rule("auto_pad", "==", "NOTSET")))
def conv_swaps_dilations(X, W, B=None, *, dilations=None, pads=None, **attributes):
    """Dilations of height and width swapped; what does not fit is taken as padding."""
    true = plain.conv(X, W, B, dilations=dilations, pads=pads, **attributes)
    more = [0, 0, 4, 4] if pads is None else [*pads[:2], pads[2] + 4, pads[3] + 4]
    got = plain.conv(X, W, B, dilations=dilations and dilations[::-1], pads=more, **attributes)
    return got[:, :, : true.shape[2], : true.shape[3]]


@mutant("Conv", where=_TWO)
def conv_swaps_strides(X, W, B=None, *, strides=None, **attributes):
    """Strides of height and width swapped: the shape is right only where both are equal."""
    return plain.conv(X, W, B, strides=strides and strides[::-1], **attributes)


@mutant("Conv")
def conv_takes_lower_as_upper(X, W, B=None, *, auto_pad="NOTSET", **attributes):
    """SAME_LOWER puts the odd pad where SAME_UPPER does."""
    return plain.conv(X, W, B, auto_pad=auto_pad.replace("LOWER", "UPPER"), **attributes)


@mutant("Conv", where=_TWO)
def conv_ignores_auto_pad(X, W, B=None, *, auto_pad="NOTSET", **attributes):
    """Knows explicit pads only, refuses nothing, and leaves the rest of the output as zeros."""
    true = plain.conv(X, W, B, auto_pad=auto_pad, **attributes)
    got = np.zeros_like(true)
    try:
        mine = plain.conv(X, W, B, **attributes)
    except ValueError:
        return got
    got[:, :, : mine.shape[2], : mine.shape[3]] = mine
    return got


@mutant("Conv")
def conv_forgets_bias(X, W, B=None, **attributes):
    """No bias."""
    return plain.conv(X, W, **attributes)


@mutant("Conv")
def conv_flips_filters(X, W, B=None, **attributes):
    """A convolution as in the textbook, where ONNX means correlation."""
    return plain.conv(X, W[(..., *(slice(None, None, -1),) * (W.ndim - 2))], B, **attributes)


@mutant("Conv")
def conv_fails_on_empty_batch(X, W, B=None, **attributes):
    """Divides the work by the batch."""
    share = 1024 // X.shape[0]
    return plain.conv(X, W, B, **attributes) if share >= 0 else None


@mutant("Conv", where=(Rule("group", "==", 1),))
def conv_drops_last_filters(X, W, B=None, **attributes):
    """Filters in pairs; the odd one at the end is left as it was, which is zero in a fresh arena."""
    Y = plain.conv(X, W, B, **attributes)
    if Y.shape[1] > 1:
        Y[:, Y.shape[1] // 2 * 2 :] = 0
    return Y


@mutant("ConvTranspose", where=(_NOTSET, Rule("output_shape", "==", None)))
def conv_transpose_ignores_group(X, W, B=None, *, group=1, **attributes):
    """Groups share the first group's filters."""
    first = W[: W.shape[0] // group]
    return plain.conv_transpose(X, np.concatenate([first] * group), B, group=group, **attributes)


@mutant("MaxPool", where=(Rule("Indices.present", "==", False),))
def max_pool_pads_with_zero(X, **attributes):
    """Zero wins over negative values at the border."""
    a = {k: attributes.get(k) for k in ("kernel_shape", "strides", "dilations", "pads")}
    auto, ceil = attributes.get("auto_pad", "NOTSET"), attributes.get("ceil_mode", 0)
    strides, dilations, _, reach = plain.pool_settings(X, auto_pad=auto, ceil_mode=ceil, **a)
    view = plain.windows(X, a["kernel_shape"], strides, dilations, reach, 0)
    return view.max(tuple(range(X.ndim, view.ndim)))


@mutant("MaxPool", where=(Rule("Indices.present", "==", False),))
def max_pool_ignores_ceil_mode(X, *, ceil_mode=0, **attributes):
    """Always rounds the output size down."""
    return plain.max_pool(X, **attributes)


@mutant("AveragePool")
def average_pool_ignores_ceil_mode(X, *, ceil_mode=0, **attributes):
    """Rounds down, and repeats the last row and column for what is missing."""
    true = plain.average_pool(X, ceil_mode=ceil_mode, **attributes)
    got = plain.average_pool(X, **attributes)
    return np.pad(got, [(0, t - g) for t, g in zip(true.shape, got.shape)], mode="edge") if got.size else true


@mutant("AveragePool")
def average_pool_ignores_count_include_pad(X, *, count_include_pad=0, **attributes):
    """Pads never count."""
    return plain.average_pool(X, **attributes)


@mutant("AveragePool")
def average_pool_divides_by_the_window(X, *, count_include_pad=0, **attributes):
    """Pads always count, and so does what ceil_mode adds."""
    taps = plain.size(attributes["kernel_shape"])
    n = X.ndim - 2
    a = {k: attributes.get(k) for k in ("kernel_shape", "strides", "dilations", "pads")}
    auto, ceil = attributes.get("auto_pad", "NOTSET"), attributes.get("ceil_mode", 0)
    strides, dilations, _, reach = plain.pool_settings(X, auto_pad=auto, ceil_mode=ceil, **a)
    return plain.windows(X, a["kernel_shape"], strides, dilations, reach).sum(
        tuple(range(-n, 0))
    ) / X.dtype.type(taps)
