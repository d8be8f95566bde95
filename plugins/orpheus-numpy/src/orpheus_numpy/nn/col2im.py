"""Col2Im: the transpose of im2col, a sum of columns back into their image; ConvTranspose ends with it too.

Source: https://onnx.ai/onnx/operators/onnx__Col2Im.html
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array
from orpheus_numpy.nn.precision import deliver, widen
from orpheus_numpy.nn.window import Ints, Window, resolve_window


def fold(columns: Array, window: Window) -> Array:
    """Columns [..., *kernel, *output] summed into [..., *input]; what falls on the pads is dropped."""
    rank = len(window.kernel)
    lead = columns.shape[: columns.ndim - 2 * rank]
    image = np.zeros((*lead, *window.padded), columns.dtype)
    # [*kernel, ..., *output]: a tap is then one index.
    by_tap = np.moveaxis(columns, range(-2 * rank, -rank), range(rank))
    for index, part in window.taps():
        image[part] += by_tap[index]
    inside: Array = image[window.interior]
    return inside


def col2im(
    input: Array, image_shape: Array, block_shape: Array, *,
    dilations: Ints | None = None, pads: Ints | None = None, strides: Ints | None = None,
) -> Array:  # fmt: skip
    """Col2Im: input [N, C * prod(block_shape), L] -> [N, C, *image_shape].

    Raises ModelError when L is not the number of blocks that the shapes and attributes give.
    """
    block = [int(n) for n in block_shape]
    window = resolve_window(
        [int(n) for n in image_shape], block, dilations=dilations, pads=pads, strides=strides
    )
    batch, rows, length = input.shape
    size = math.prod(block)
    if length != window.positions or rows % size:
        raise ModelError(
            f"Col2Im: input {list(input.shape)} should have a multiple of {size} rows and {window.positions} columns"
        )
    columns = widen(input).reshape(batch, rows // size, *block, *window.output)
    return np.ascontiguousarray(deliver(fold(columns, window), input.dtype))
