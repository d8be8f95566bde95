"""Convolutions into NCHWc: direct, direct from a plain input, 1x1, depthwise. Conv and FusedConv alike.

Weights, bias, scale and shift are constants here and packed once; the native side is native/kernels/conv.cpp and
depthwise.cpp.
"""

from __future__ import annotations

import math

import numpy as np

from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_openmp import epilogue
from orpheus_openmp import isa as isas
from orpheus_openmp.conv_shape import arguments, conv_shape, planes
from orpheus_openmp.layer import Layer, padded
from orpheus_openmp.machine import cache_bytes, is_wide
from orpheus_openmp.weights import Packer

#: Floats of weights that may stay in L2 beside those that follow them; and the most of L1 they may take where it is
#: larger than 32 KB. Sums are then stored and loaded more often, once in 144 multiply-adds or more of a 3x3 layer.
_IN_L2 = 65536
_OF_L1 = 0.8
_SMALL_L1 = 32 << 10


def cuts(blocks: int, floats: int) -> int:
    """Into how many parts a direct convolution's input blocks go; each has so many floats of weights for a chunk.

    Rows of the output pass by the weights of one part before those of the next are taken.
    """
    l1 = cache_bytes(1)
    if l1 > _SMALL_L1:
        return -(-blocks // max(1, int(l1 * _OF_L1) // 4 // floats))
    return min(blocks, max(1, blocks * floats // _IN_L2))


def tile_vectors(isa: str, pixels: int, blocks: int) -> int:
    """Vectors of the register tile for rows of so many pixels, and so many blocks of filters."""
    _, most, vectors = isas.tile(isa)
    short, tall = isas.tall_tile(isa)
    longest = -(-pixels // -(-pixels // most))
    return tall if longest <= short and blocks >= tall and prefers_tall(isa) else vectors


def prefers_tall(isa: str) -> bool:
    """Whether few accumulators are slower: 7 x 2 reach 88 % of what 14 x 2 or 9 x 3 do on an Intel server.

    Where vectors are computed in halves (Zen 4) each takes the units twice as long, and four pixels are enough.
    """
    return is_wide(isa)


class Conv(Layer):
    """A convolution with a blocked result; subclasses say how weights are packed."""

    names = ("x", None, None, "residual")
    results = ("y", "sum")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.shape = shape = conv_shape(problem)
        depth = self.block if self.type_of(0).layout.block > 1 else 1
        self.depth = depth
        groups = self.groups()
        self.in_blocks = -(-shape.channels // groups // depth)
        self.out_blocks = -(-shape.filters // groups // self.block)
        self.last_depth = shape.channels // groups - (self.in_blocks - 1) * depth
        self.vectors = self.chunk_vectors(problem)
        self.values = {
            "vectors": self.vectors,
            "n": shape.batch, "groups": groups, "in_blocks": self.in_blocks, "out_blocks": self.out_blocks,
            "in_depth": depth, "last_depth": self.last_depth, "form": 0, "band": 1, "padded_w": 0,
            "cuts": cuts(self.in_blocks, depth * shape.taps * self.vectors * self.block),
            **arguments(shape.window), **planes(shape.window),
            **epilogue.of_attributes(problem.attributes),
            "tail": shape.filters % self.block,
        }  # fmt: skip
        self.values["w"] = self.pack(np.asarray(problem.constants[1], np.float32))
        for index, name in ((2, "bias"), (4, "scale"), (5, "shift")):
            if self.has(index):
                self.values[name] = padded(problem.constants[index], groups * self.out_blocks * self.block)
        self.packed = tuple(i for i in (1, 2, 4, 5) if self.has(i))

    def groups(self) -> int:
        """Groups as the kernel counts them."""
        return self.shape.group

    def chunk_vectors(self, problem: Problem) -> int:
        """The most output blocks of a chunk of the weights."""
        return self.tile_vectors

    @property
    def packer(self) -> Packer:
        """Packs in chunks of so many blocks."""
        return Packer(self.isa, self.threads, self.block, self.vectors)

    def pack(self, weights: Array) -> Array:
        """Weights in the order in which the kernel reads them."""
        return self.packer.chunks(weights, self.shape.group, self.depth)


class Direct(Conv):
    """Any kernel, stride, dilation and padding; groups of whole blocks. The input is blocked or plain."""

    kernel = "conv"

    def chunk_vectors(self, problem: Problem) -> int:
        """Of rows too short for the usual tile, those of the tall one."""
        return tile_vectors(self.isa, self.shape.window.y[1], self.out_blocks)

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        window, (width, outside) = self.shape.window, self.edges()
        if outside:  # a window for each thread
            columns = min(window.y[1], self.tile_pixels) - 1
            across = columns * window.strides[1] + (window.size[1] - 1) * window.dilations[1] + 1
            self.workspace = 4 * self.threads * self.in_blocks * window.size[0] * across * self.depth
        if outside > 1 and self.depth > 1:  # a plain input's edges are few values, and it may head a chain
            self.values["padded_w"] = width
            rows = self.shape.batch * self.shape.group * self.in_blocks * window.x[0]
            # As a link of a chain it takes windows all the same.
            self.workspace = max(self.workspace, 4 * rows * width * self.depth)

    def edges(self) -> tuple[int, float]:
        """The columns read, pads included, and how often a value would be copied for the tiles at the edges."""
        window = self.shape.window
        if not (window.pads[1] or window.pads[3]):
            return 0, 0.0
        tiles = -(-window.y[1] // self.tile_pixels)
        chunks = -(-self.out_blocks // self.vectors)
        return window.padded[1], chunks * min(2, tiles) / tiles * window.size[0] / window.strides[0]


class Pointwise(Conv):
    """1x1 without pads: a matrix product of weights and pixels, which are gathered where a stride leaves some out."""

    kernel = "pointwise"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shape = self.shape
        if shape.window.strides != (1, 1):
            blocks = shape.batch * shape.group * self.in_blocks
            self.workspace = 4 * blocks * math.prod(shape.window.y) * self.depth


class Depthwise(Conv):
    """As many groups as channels and filters."""

    kernel = "depthwise"

    def groups(self) -> int:
        """Blocks of channels."""
        return -(-self.shape.channels // self.block)

    def pack(self, weights: Array) -> Array:
        """[block][taps][B]."""
        return self.packer.chunks(weights, 1, 1, self.block)
