"""The sizes of a convolution, and a window as the native kernels' arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem


def arguments(w: Window) -> dict[str, int]:
    """The window as the native kernels' arguments."""
    keys = ("kh", "kw", "sh", "sw", "dh", "dw", "pt", "pl", "in_h", "in_w", "out_h", "out_w")
    return dict(zip(keys, (*w.size, *w.strides, *w.dilations, *w.pads[:2], *w.x, *w.y)))


def planes(w: Window) -> dict[str, int]:
    """Pixels of a whole input and output image, as the arguments of kernels that also work on chains' windows."""
    return {"x_plane": math.prod(w.x), "y_plane": math.prod(w.y)}


@dataclass(frozen=True)
class ConvShape:
    """One convolution: X [batch, channels, ...], W [filters, channels / group, ...]."""

    batch: int
    channels: int
    filters: int
    group: int
    window: Window

    @property
    def taps(self) -> int:
        """Elements of the kernel."""
        return math.prod(self.window.size)

    @property
    def is_pointwise(self) -> bool:
        """One tap and no pads."""
        return self.taps == 1 and not any(self.window.pads)

    @property
    def macs(self) -> int:
        """Multiplications by the definition."""
        channels = self.channels // self.group
        return self.batch * self.filters * math.prod(self.window.y) * channels * self.taps


def conv_shape(problem: Problem) -> ConvShape:
    """The sizes of a Conv or FusedConv of static shapes."""
    return problem.once(_conv_shape)


def _conv_shape(problem: Problem) -> ConvShape:
    x, w = (shape_of(t) for t in problem.inputs[:2])
    group = int(problem.attributes.get("group", 1))
    return ConvShape(x[0], x[1], w[0], group, window(problem, w[2:]))
