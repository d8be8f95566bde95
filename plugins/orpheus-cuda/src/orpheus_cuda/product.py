"""Launches of product.cu: what it multiplies, how it is cut, and the memory that takes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import ceil
from typing import Any

import numpy as np

from orpheus_core.geometry.window import Window
from orpheus_core.plugin import Problem
from orpheus_core.types import Array, DType
from orpheus_cuda.choices import CHOICES
from orpheus_cuda.device import opened
from orpheus_cuda.expressions import TYPES, act
from orpheus_cuda.launch import Launch, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor, load
from orpheus_cuda.tiles import CLUSTERED, CLUSTERS, PIECE, Tile, ranked

_MMA = {
    "float16": "mma_half", "bfloat16": "mma_bfloat", "float32": "mma_tensor_float", "int8": "mma_signed",
    "uint8": "mma_unsigned",
}  # fmt: skip


def forms(make: Callable[..., Any], name: str, **how: Any) -> dict[str, Callable[..., Any]]:
    """``prepare`` of a kernel for each choice, by the kernel's name."""
    return {f"{name}{suffix}": partial(make, choice=choice, **how) for suffix, choice in CHOICES.items()}


@dataclass
class Sides:
    """Sizes and strides of one product, in elements; see product.cu. ``offsets``: [matrices, 4], of A, B, Y, BIAS."""

    rows: int
    columns: int
    channels: int
    window: Window
    x: tuple[int, int, int, int]
    w: tuple[int, int]
    y: tuple[int, int, int]
    bias: tuple[int, int] = (0, 1)
    offsets: Array = field(default_factory=lambda: np.zeros((1, 4), np.int64))
    alpha: float = 1.0
    beta: float = 1.0
    packed: bool = False  # rows of B are whole pieces, filled with zeros

    @property
    def depth(self) -> int:
        """Products in a sum."""
        return self.channels * self.window.size[0] * self.window.size[1]

    @property
    def is_linear(self) -> bool:
        """Whether rows of Y are evenly spaced."""
        pixels = self.window.y[0] * self.window.y[1]
        return self.rows <= pixels or self.y[0] == pixels * self.y[1]


class Product:
    """A product prepared for one device: tile, program, tables.

    ``element``: type of A, where it is not that of Y. ``choice``: of tiles, the fastest by the model being 0.
    """

    def __init__(
        self,
        problem: Problem,
        sides: Sides,
        *,
        tf32: bool = False,
        element: DType | None = None,
        choice: int = 0,
    ) -> None:
        target: Any = problem.outputs[0]
        self.sides, self.dtype, self.index = sides, element or target.dtype, target.device.index
        self.tensor = tf32 or self.dtype is not DType.FLOAT32
        found = opened(self.index).found
        matrices = len(sides.offsets)
        self.tile: Tile
        clusters = found.capability[0] in CLUSTERED and os.environ.get("ORPHEUS_CUDA_CLUSTER") != "0"
        self.tile, self.splits = ranked(
            sides.rows, sides.columns, sides.depth, matrices, self.dtype.itemsize, found.processors, found.shared,
            tensor=self.tensor, clusters=clusters,
        )[choice]  # fmt: skip
        self.grid = (
            ceil(sides.rows / self.tile.rows), ceil(sides.columns / self.tile.columns), matrices * self.splits,
        )  # fmt: skip
        #: Bytes in which shares of K meet.
        self.workspace = self.grid[0] * self.grid[1] * self.grid[2] * self.tile.rows * self.tile.columns * 4
        #: Blocks that share a tile and run at the same time.
        self.cluster = self.splits if clusters and self.splits in CLUSTERS else 1
        if self.splits == self.cluster:
            self.workspace = 0
        self.offsets = (
            load(self.index, sides.offsets.astype(np.int64)) if sides.offsets.any() or matrices > 1 else None
        )
        name = str(problem.attributes.get("activation", ""))
        self.parameters = [
            np.float32(p) for p in (*problem.attributes.get("activation_params", ()), 0.0, 0.0)[:2]
        ]
        self.words: dict[str, Any] = {"T": TYPES[self.dtype.value], "ACT": act(name)}
        if self.tensor:
            self.words["MMA"] = _MMA[self.dtype.value]
        if tf32:
            self.words["ROUND"] = 1

    def bind(
        self, operands: Sequence[Tensor | None], y: Tensor, raw: Tensor | None, space: Tensor | None
    ) -> Launch:
        """The launch. ``operands``: A, B, BIAS, R, scale, shift."""
        s, w = self.sides, self.sides.window
        x, weights, *_ = operands
        assert x is not None and weights is not None
        size = self.dtype.itemsize
        a_steps = (s.x[0], s.x[1], s.x[2], s.channels, *s.offsets[:, 0].tolist())
        b_steps = (s.w[0], 0 if s.packed else s.depth, *s.offsets[:, 1].tolist())
        words = {
            **self.words, **self.tile.words(opened(self.index).found.shared), "LINEAR": int(s.is_linear),
            "CHUNK_A": chunk(size, x.pointer, s.x[3], a_steps),
            "CHUNK_B": chunk(size, weights.pointer, s.w[1], b_steps),
            "WINDOW": self._window(), "WHOLE": int(s.packed), "TOGETHER": int(s.y[2] == 1),
            "VEC": self._vector(operands, y, raw), "CLUSTER": self.cluster,
        }  # fmt: skip
        counts = None
        if self.splits > self.cluster:
            assert space is not None
            counts = load(self.index, np.zeros(self.grid[0] * self.grid[1] * len(s.offsets), np.uint32))
        ints = (
            s.rows, s.columns, s.channels, *w.x, *w.y, *w.size, *w.strides, *w.pads[:2], *w.dilations, self.splits,
        )  # fmt: skip
        longs = [np.int64(v) for v in (*s.x, *s.w, *s.y, *s.bias)]
        arguments = (
            *operands, y, raw, space, counts, self.offsets, *ints, *longs, float(s.alpha), float(s.beta),
            *self.parameters,
        )  # fmt: skip
        source = define("product.cu", **words)
        return launch(y, source, "product", arguments, self.grid, (self.tile.threads,), self.tile.shared)

    def _window(self) -> int:
        """How K is walked, as product.cu numbers it."""
        if self.sides.window.size == (1, 1):
            return 1
        return 2 if self.sides.channels * self.dtype.itemsize >= PIECE else 3

    def _vector(self, operands: Sequence[Tensor | None], y: Tensor, raw: Tensor | None) -> int:
        """Columns that leave at once: as 16 bytes hold, where they and their places are multiples of so many."""
        s = self.sides
        steps = (s.columns, *s.y[:2], *s.offsets[:, 2].tolist())
        given = [t for t in (operands[3], y, raw) if t is not None]
        for count in (8, 4, 2):
            size = count * y.dtype.itemsize
            if (
                s.y[2] == 1 and size <= 16 and all(v % count == 0 for v in steps)
                and all(t.pointer % size == 0 for t in given)
            ):  # fmt: skip
                return count
        return 1


def chunk(size: int, pointer: int, step: int, steps: Sequence[int]) -> int:
    """Bytes that may be moved at once: 16, 4, or an element's, where ``steps`` and the pointer divide."""
    if step == 1:
        for wide in (16, 4):
            if wide > size and pointer % wide == 0 and all(v * size % wide == 0 for v in steps):
                return wide
    return size


def pack(rows: Array) -> Array:
    """[..., N, K] with K filled with zeros to whole pieces."""
    *many, depth = rows.shape
    size = rows.dtype.itemsize
    whole = np.zeros((*many, ceil(depth * size / PIECE) * PIECE // size), rows.dtype)
    whole[..., :depth] = rows
    return whole
