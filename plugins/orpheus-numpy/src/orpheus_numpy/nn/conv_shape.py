"""The sizes of one convolution, checked, and a small model of what each way to compute it costs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orpheus_core.errors import ModelError
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_numpy.nn.window import Ints, Window, resolve_window

#: The attributes of Conv that fix its shape.
_ATTRIBUTES = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")


@dataclass(frozen=True)
class ConvShape:
    """One convolution of X [batch, channels, *window.input] with W [filters, channels / group, *kernel]."""

    batch: int
    group: int
    channels: int
    filters: int
    window: Window

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of Y."""
        return (self.batch, self.filters, *self.window.output)

    @property
    def taps(self) -> int:
        """Number of kernel elements."""
        return math.prod(self.window.kernel)

    @property
    def macs(self) -> int:
        """Multiplications (with their additions) by the definition."""
        return math.prod(self.output) * self.channels // self.group * self.taps

    @property
    def is_depthwise(self) -> bool:
        """Whether every input channel is convolved alone."""
        return self.group == self.channels


def conv_shape(
    x: Ints,
    w: Ints,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    group: int = 1,
    kernel_shape: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
) -> ConvShape:
    """The sizes that Conv's attributes mean for these shapes; ModelError where they contradict each other."""
    if len(x) != len(w) or len(x) < 3:
        raise ModelError(
            f"Conv needs X [N, C, ...] and W of the same rank, got shapes {list(x)} and {list(w)}"
        )
    if kernel_shape and tuple(kernel_shape) != tuple(w[2:]):
        raise ModelError(f"kernel_shape {list(kernel_shape)} is not that of W, {list(w[2:])}")
    if group < 1 or w[1] * group != x[1] or w[0] % group:
        raise ModelError(
            f"group {group} does not fit X's {x[1]} channels and W's shape {list(w)}: "
            f"X needs group * {w[1]} channels, and {w[0]} filters must divide into the groups"
        )
    window = resolve_window(x[2:], w[2:], auto_pad=auto_pad, dilations=dilations, pads=pads, strides=strides)
    return ConvShape(int(x[0]), int(group), int(x[1]), int(w[0]), window)


def shape_of(x: Ints, w: Ints, attributes: Mapping[str, Any]) -> ConvShape:
    """:func:`conv_shape` with the attributes of a Conv or FusedConv node, others ignored."""
    return conv_shape(x, w, **{k: attributes[k] for k in _ATTRIBUTES if k in attributes})


# Rough rates of one core with AVX-512, fitted to a few layers; only their ratios matter.
_PRODUCT_RATE = 6e10  # multiply-adds a second in a large matrix product
_SMALL_SHARE = 1 / 8  # of that rate, what is left when a group has few rows or a short sum
_COLUMN_RATE = 5e9  # elements a second into the im2col matrix
_TAP_RATE = 2.5e9  # elements a second multiplied and added for one tap
_GATHER_RATE = 1e9  # the same where the tap's view has strides
_CALL = 1e-6  # one numpy call
_NOMINAL = 32  # stands for a dimension that is not known yet


def im2col_cost(problem: Problem) -> float:
    """Seconds of one call: build the columns, then one matrix product a group."""
    shape = _nominal_shape(problem)
    if shape is None:
        return 1.0
    columns = shape.batch * shape.channels * shape.taps * shape.window.positions
    copies = 0 if shape.window.is_pointwise else columns
    return 4 * _CALL + _product(shape, shape.taps) + copies / _COLUMN_RATE


def direct_cost(problem: Problem) -> float:
    """Seconds of one call: for every tap a product (depthwise: a multiplication) and an addition."""
    shape = _nominal_shape(problem)
    if shape is None:
        return 2.0
    flat = all(s == 1 for s in shape.window.strides)
    summed = shape.taps * math.prod(shape.output)
    if shape.is_depthwise:
        return (4 + 2 * shape.taps) * _CALL + summed / (_TAP_RATE if flat else _GATHER_RATE)
    gathered = 0 if flat else shape.taps * shape.batch * shape.channels * shape.window.positions
    products = shape.taps * _product(shape, 1)
    return (4 + 3 * shape.taps) * _CALL + products + summed / _TAP_RATE + gathered / _GATHER_RATE


def _product(shape: ConvShape, taps: int) -> float:
    # A few rows or a short sum keep BLAS from its rate.
    depth, rows = shape.channels // shape.group * taps, shape.filters // shape.group
    share = max(_SMALL_SHARE, min(1.0, depth / 32) * min(1.0, rows / 8))
    return shape.macs / shape.taps * taps / (_PRODUCT_RATE * share) + shape.batch * shape.group * _CALL / 4


def _nominal_shape(problem: Problem) -> ConvShape | None:
    x, w = problem.inputs[0], problem.inputs[1]
    if not (isinstance(x, TensorType) and isinstance(w, TensorType) and w.static_shape and x.shape):
        return None
    group = int(problem.attributes.get("group", 1))
    known: Sequence[int] = [d if isinstance(d, int) else _NOMINAL for d in x.shape]
    dims = [known[0] if isinstance(x.shape[0], int) else 1, w.static_shape[1] * group, *known[2:]]
    try:
        return shape_of(dims, w.static_shape, problem.attributes)
    except ModelError:
        return None
