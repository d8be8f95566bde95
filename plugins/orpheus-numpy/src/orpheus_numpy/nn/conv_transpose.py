"""ConvTranspose: the transpose of a convolution, one matrix product and a fold of its columns.

Source: https://onnx.ai/onnx/operators/onnx__ConvTranspose.html
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.col2im import fold
from orpheus_numpy.nn.epilogue import finish
from orpheus_numpy.nn.precision import deliver, widen
from orpheus_numpy.nn.window import Ints, Window, per_axis


def conv_transpose(
    X: Array, W: Array, B: Array | None = None, *,
    auto_pad: str = "NOTSET", dilations: Ints | None = None, group: int = 1, kernel_shape: Ints | None = None,
    output_padding: Ints | None = None, output_shape: Ints | None = None, pads: Ints | None = None,
    strides: Ints | None = None,
) -> Array:  # fmt: skip
    """ConvTranspose: X [N, C, ...], W [C, M / group, ...], B [M] -> [N, M, ...], any rank.

    Raises ModelError where shapes and attributes contradict each other.
    """
    rank = X.ndim - 2
    if rank < 1 or W.ndim != X.ndim or W.shape[0] != X.shape[1] or group < 1 or X.shape[1] % group:
        raise ModelError(
            f"ConvTranspose: X {list(X.shape)}, W {list(W.shape)} and group {group} do not fit together"
        )
    if kernel_shape and tuple(kernel_shape) != W.shape[2:]:
        raise ModelError(f"kernel_shape {list(kernel_shape)} is not that of W, {list(W.shape[2:])}")
    window = _window(
        X.shape[2:], W.shape[2:], auto_pad, per_axis("dilations", dilations, rank),
        per_axis("output_padding", output_padding, rank, 0, 0), output_shape, pads,
        per_axis("strides", strides, rank),
    )  # fmt: skip
    x, w = widen(X), widen(W)
    batch, filters = X.shape[0], W.shape[1] * group
    rows = x.reshape(batch, group, X.shape[1] // group, window.positions)
    matrices = w.reshape(group, W.shape[0] // group, math.prod(W.shape[1:])).swapaxes(1, 2)
    columns = np.matmul(matrices, rows)
    y = fold(columns.reshape(batch, filters, *window.kernel, *window.output), window)
    finish(y, bias=B)
    return np.ascontiguousarray(deliver(y, X.dtype))


def _window(
    spatial: Ints, kernel: Ints, auto_pad: str, dilations: Ints, extra: Ints, output_shape: Ints | None,
    pads: Ints | None, strides: Ints,
) -> Window:  # fmt: skip
    """The window of the convolution that this one is the transpose of: it slides over ConvTranspose's output."""
    rank = len(spatial)
    full = [
        s * (n - 1) + p + (k - 1) * d + 1 for s, n, p, k, d in zip(strides, spatial, extra, kernel, dilations)
    ]
    both = per_axis("pads", pads, 2 * rank, 0, 0)
    begin, end = both[:rank], both[rank:]
    if output_shape or auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        # Some exporters write output_shape with batch and channels in front.
        wanted = [*output_shape][-rank:] if output_shape else [n * s for n, s in zip(spatial, strides)]
        if len(wanted) != rank:
            raise ModelError(f"output_shape must be {rank} numbers, got {list(output_shape or ())}")
        total = [max(f - w, 0) for f, w in zip(full, wanted)]
        half = tuple(t // 2 for t in total)
        rest = tuple(t - h for t, h in zip(total, half))
        begin, end = (half, rest) if auto_pad == "SAME_UPPER" else (rest, half)
        sizes = tuple(wanted)
    else:
        if auto_pad == "VALID":
            begin = end = (0,) * rank
        sizes = tuple(f - b - e for f, b, e in zip(full, begin, end))
    if min(sizes) < 0:
        raise ModelError(f"ConvTranspose: pads {begin} and {end} leave nothing of an output of size {full}")
    return Window(
        tuple(int(n) for n in sizes), tuple(kernel), tuple(strides), tuple(dilations),
        tuple(begin), tuple(end), tuple(spatial),
    )  # fmt: skip
