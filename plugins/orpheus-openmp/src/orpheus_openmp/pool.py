"""Pooling, plain and NCHWc; the native side is native/kernels/pool.cpp."""

from __future__ import annotations

from orpheus_core.plugin import Problem
from orpheus_openmp.conv_shape import Window, window_of
from orpheus_openmp.layer import Layer

MAXIMUM, AVERAGE_INSIDE, AVERAGE_PADDED = range(3)


class _Pool(Layer):
    kernel = "pool"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.input_shape(0)
        depth = self.block if self.type_of(0).layout.block > 1 else 1
        window = self.window()
        self.values = {
            "n": shape[0], "images": shape[0] * -(-shape[1] // depth), "depth": depth, "kind": self.kind(),
            **window.values, **window.planes,
            "pb": window.after[0], "pr": window.after[1],
        }  # fmt: skip

    def kind(self) -> int:
        return MAXIMUM

    def window(self) -> Window:
        kernel = self.problem.attributes["kernel_shape"]
        return window_of(self.problem.attributes, kernel, self.input_shape(0), self.output_shape())


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
        shape = self.input_shape(0)
        return window_of({}, shape[2:], shape, self.output_shape())


class GlobalAveragePool(GlobalMaxPool):
    """The mean of each channel."""

    def kind(self) -> int:
        """An average."""
        return AVERAGE_INSIDE
