"""The sizes of a convolution or pooling window in two axes, from a node's attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from orpheus_core.geometry.window import pads_of, shape_of
from orpheus_core.plugin import Problem


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
    pads = tuple(attributes.get("pads") or ())
    auto = attributes.get("auto_pad", "NOTSET")
    return _window(tuple(kernel), strides, dilations, pads, auto, tuple(x), tuple(y))


_Sizes = tuple[int, ...]


@lru_cache(maxsize=1024)  # networks repeat their layers, and each is asked for alone, fused and placed
def _window(
    kernel: _Sizes, strides: _Sizes, dilations: _Sizes, pads: _Sizes, auto: str, x: _Sizes, y: _Sizes
) -> Window:
    rank = len(x) - 2
    pads = pads_of(auto, pads, x[2:], y[2:], kernel, strides, dilations)
    before, after = pads[:rank], pads[rank:]
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
    x, w, y = (shape_of(t) for t in (*problem.inputs[:2], problem.outputs[0]))
    window = window_of(problem.attributes, w[2:], x, y)
    group = int(problem.attributes.get("group", 1))
    return ConvShape(x[0], x[1], w[0], group, window)
