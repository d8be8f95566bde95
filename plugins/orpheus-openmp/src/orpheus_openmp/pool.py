"""Pooling, plain and NCHWc; the native side is native/kernels/pool.cpp."""

from __future__ import annotations

from orpheus_core.geometry.window import Window, window
from orpheus_core.plugin import Problem
from orpheus_openmp.conv_shape import arguments, planes
from orpheus_openmp.layer import Layer

MAXIMUM, AVERAGE_INSIDE, AVERAGE_PADDED = range(3)


class _Pool(Layer):
    kernel = "pool"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        depth = self.block if self.type_of(0).layout.block > 1 else 1
        found = self.window()
        self.values = {
            "n": shape[0], "images": shape[0] * -(-shape[1] // depth), "depth": depth, "kind": self.kind(),
            **arguments(found), **planes(found),
            "pb": found.pads[2], "pr": found.pads[3],
        }  # fmt: skip

    def kind(self) -> int:
        return MAXIMUM

    def window(self) -> Window:
        return window(self.problem, tuple(self.problem.attributes["kernel_shape"]))


class MaxPool(_Pool):
    """MaxPool without indices."""


class AveragePool(_Pool):
    """AveragePool, pads counted or not."""

    def kind(self) -> int:
        """Which taps the average is over."""
        return AVERAGE_PADDED if self.problem.attributes.get("count_include_pad", 0) else AVERAGE_INSIDE


class GlobalMaxPool(_Pool):
    """The whole image is one window."""

    def window(self) -> Window:
        """One window of the input's size."""
        return window(self.problem, self.input_shape(0)[2:])


class GlobalAveragePool(GlobalMaxPool):
    """The mean of each channel."""

    def kind(self) -> int:
        """An average."""
        return AVERAGE_INSIDE
