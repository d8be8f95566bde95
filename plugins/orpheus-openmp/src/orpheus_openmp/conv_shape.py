"""The sizes of a convolution or pooling window in two axes, from a node's attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType


@dataclass(frozen=True)
class Window:
    """Kernel, strides, dilations, pads at begin and end, input and output size, each (rows, columns).

    Tensors of one spatial axis are one row high.
    """

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    before: tuple[int, int]
    after: tuple[int, int]
    input: tuple[int, int]
    output: tuple[int, int]

    @property
    def is_pointwise(self) -> bool:
        """One tap and no pads."""
        none = (0, 0)
        return self.kernel == (1, 1) and self.before == none and self.after == none

    @property
    def taps(self) -> int:
        """Elements of the kernel."""
        return self.kernel[0] * self.kernel[1]

    @property
    def values(self) -> dict[str, int]:
        """The native kernels' arguments."""
        keys = ("kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "in_h", "in_w", "out_h", "out_w")
        numbers = (*self.kernel, *self.strides, *self.dilations, *self.before, *self.input, *self.output)
        return dict(zip(keys, numbers))

    @property
    def planes(self) -> dict[str, int]:
        """Pixels of a whole input and output image, as the arguments of kernels that also work on chains' windows."""
        return {"x_plane": self.input[0] * self.input[1], "y_plane": self.output[0] * self.output[1]}


def window_of(
    attributes: Mapping[str, Any], kernel: Sequence[int], x: Sequence[int], y: Sequence[int]
) -> Window:
    """The window of a node with these attributes over x [N, C, ...] into y [N, M, ...], one or two spatial axes."""
    rank = len(x) - 2
    strides = _ints(attributes.get("strides"), rank, 1)
    dilations = _ints(attributes.get("dilations"), rank, 1)
    pads = _ints(attributes.get("pads"), 2 * rank, 0)
    auto = attributes.get("auto_pad", "NOTSET")
    return _window(tuple(kernel), strides, dilations, pads, auto, tuple(x), tuple(y))


_Sizes = tuple[int, ...]


@lru_cache(maxsize=1024)  # networks repeat their layers, and each is asked for alone, fused and placed
def _window(
    kernel: _Sizes, strides: _Sizes, dilations: _Sizes, pads: _Sizes, auto: str, x: _Sizes, y: _Sizes
) -> Window:
    rank = len(x) - 2
    before, after = list(pads[:rank]), list(pads[rank:])
    if auto == "VALID":
        before, after = [0] * rank, [0] * rank
    elif auto in ("SAME_UPPER", "SAME_LOWER"):
        for axis in range(rank):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            total = max(0, (y[2 + axis] - 1) * strides[axis] + reach - x[2 + axis])
            small = total // 2
            before[axis] = small if auto == "SAME_UPPER" else total - small
            after[axis] = total - before[axis]
    return Window(
        _pair(kernel, 1), _pair(strides, 1), _pair(dilations, 1), _pair(before, 0), _pair(after, 0),
        _pair(x[2:], 1), _pair(y[2:], 1),
    )  # fmt: skip


def _ints(given: Any, count: int, default: int) -> tuple[int, ...]:
    return tuple(int(v) for v in given) if given else (default,) * count


def _pair(values: Sequence[int], fill: int) -> tuple[int, int]:
    return (int(values[0]), int(values[1])) if len(values) == 2 else (fill, int(values[0]))


@dataclass(frozen=True)
class ConvShape:
    """One convolution: X [batch, channels, ...], W [filters, channels / group, ...]."""

    batch: int
    channels: int
    filters: int
    group: int
    window: Window

    @property
    def macs(self) -> int:
        """Multiplications by the definition."""
        height, width = self.window.output
        return self.batch * self.filters * height * width * (self.channels // self.group) * self.window.taps


def conv_shape(problem: Problem) -> ConvShape:
    """The sizes of a Conv or FusedConv of static shapes."""
    return problem.once(_conv_shape)


def _conv_shape(problem: Problem) -> ConvShape:
    x, w, y = problem.inputs[0], problem.inputs[1], problem.outputs[0]
    assert isinstance(x, TensorType) and isinstance(w, TensorType) and isinstance(y, TensorType)
    assert x.static_shape is not None and w.static_shape is not None and y.static_shape is not None
    window = window_of(problem.attributes, w.static_shape[2:], x.static_shape, y.static_shape)
    group = int(problem.attributes.get("group", 1))
    return ConvShape(x.static_shape[0], x.static_shape[1], w.static_shape[0], group, window)
