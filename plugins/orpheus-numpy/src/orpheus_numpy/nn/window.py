"""Sliding windows over spatial axes: pads, strides and dilations resolved to numbers, and the views they give."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.errors import ModelError
from orpheus_core.types import Array

Ints = Sequence[int]


@dataclass(frozen=True)
class Window:
    """One window geometry; every field has an entry per spatial axis.

    ``begin`` and ``end`` are the resolved pads, ``output`` the number of window positions.
    """

    input: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begin: tuple[int, ...]
    end: tuple[int, ...]
    output: tuple[int, ...]

    @property
    def padded(self) -> tuple[int, ...]:
        """Input size that every window lies in: with pads, and with what ceil_mode reaches beyond them."""
        return tuple(
            max(n + b + e, (o - 1) * s + (k - 1) * d + 1)
            for n, b, e, o, s, k, d in zip(
                self.input, self.begin, self.end, self.output, self.strides, self.kernel, self.dilations
            )
        )

    @property
    def is_pointwise(self) -> bool:
        """Whether the windows are the input's elements in their order: 1x1, stride 1, no pads."""
        return self.output == self.input and all(n == 1 for n in (*self.kernel, *self.strides))

    @property
    def positions(self) -> int:
        """Number of windows."""
        return math.prod(self.output)

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
        """Kernel indices in row-major order, each with the part of a padded input [..., *padded] that it meets."""
        for index in itertools.product(*map(range, self.kernel)):
            yield (
                index,
                (
                    ...,
                    *(
                        slice(i * d, i * d + (o - 1) * s + 1, s)
                        for i, d, o, s in zip(index, self.dilations, self.output, self.strides)
                    ),
                ),
            )

    def views(self, padded: Array) -> Array:
        """All windows of an array [..., *padded] at once, as a view [..., *kernel, *output]."""
        rank = len(self.kernel)
        lead, step = padded.strides[:-rank], padded.strides[-rank:]
        return np.lib.stride_tricks.as_strided(
            padded,
            (*padded.shape[:-rank], *self.kernel, *self.output),
            (
                *lead,
                *(p * d for p, d in zip(step, self.dilations)),
                *(p * s for p, s in zip(step, self.strides)),
            ),
            writeable=False,
        )

    def pad(self, x: Array, value: Any = 0) -> Array:
        """``x`` [..., *input] with its pads filled with ``value``; ``x`` itself when there are none."""
        shape = (*x.shape[: x.ndim - len(self.input)], *self.padded)
        if shape == x.shape:
            return x
        padded = np.full(shape, value, x.dtype)
        padded[self.interior] = x
        return padded

    @property
    def interior(self) -> tuple[Any, ...]:
        """Where the input lies in the padded array."""
        return (..., *(slice(b, b + n) for b, n in zip(self.begin, self.input)))


def per_axis(name: str, values: Ints | None, rank: int, default: int = 1, least: int = 1) -> tuple[int, ...]:
    """An attribute with one number per axis, or the default; ModelError when it does not fit."""
    if not values:
        return (default,) * rank
    if len(values) != rank or min(values) < least:
        raise ModelError(f"{name} must be {rank} numbers of at least {least}, got {list(values)}")
    return tuple(int(v) for v in values)


def resolve_window(
    spatial: Ints,
    kernel: Ints,
    *,
    auto_pad: str = "NOTSET",
    dilations: Ints | None = None,
    pads: Ints | None = None,
    strides: Ints | None = None,
    ceil_mode: int = 0,
) -> Window:
    """The window geometry that ONNX's Conv and pooling attributes mean for an input of size ``spatial``.

    Raises ModelError when an attribute does not fit the rank, or no window fits the input.
    """
    rank = len(spatial)
    sizes = tuple(int(n) for n in spatial)
    kernel = per_axis("kernel_shape", kernel, rank)
    steps = per_axis("strides", strides, rank)
    gaps = per_axis("dilations", dilations, rank)
    extent = tuple((k - 1) * d + 1 for k, d in zip(kernel, gaps))
    if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        output = tuple(-(-n // s) for n, s in zip(sizes, steps))
        total = tuple(max((o - 1) * s + e - n, 0) for o, s, e, n in zip(output, steps, extent, sizes))
        half = tuple(t // 2 for t in total)
        rest = tuple(t - h for t, h in zip(total, half))
        begin, end = (half, rest) if auto_pad == "SAME_UPPER" else (rest, half)
        return Window(sizes, kernel, steps, gaps, begin, end, output)
    if auto_pad not in ("NOTSET", "", "VALID"):
        raise ModelError(f"auto_pad must be NOTSET, SAME_UPPER, SAME_LOWER or VALID, got {auto_pad!r}")
    both = per_axis("pads", None if auto_pad == "VALID" else pads, 2 * rank, 0, 0)
    begin, end = both[:rank], both[rank:]
    output = tuple(
        _positions(n + b + e, x, s, n + b, bool(ceil_mode) and auto_pad != "VALID")
        for n, b, e, x, s in zip(sizes, begin, end, extent, steps)
    )
    if min(output, default=1) < 0 or (min(output, default=1) == 0 and 0 not in sizes):
        raise ModelError(
            f"a window of extent {extent} does not fit an input of size {sizes} with pads {both}"
        )
    return Window(sizes, kernel, steps, gaps, begin, end, output)


def _positions(padded: int, extent: int, stride: int, limit: int, ceil: bool) -> int:
    slack = padded - extent
    if not ceil:
        return max(slack // stride + 1, 0)
    count = max(-(-slack // stride) + 1, 0)
    # A window that would start in the end pads is ignored.
    return count - 1 if count and (count - 1) * stride >= limit else count
