"""Constant weights in the order in which the kernels read them; the native side is native/kernels/pack.cpp."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from orpheus_core import memory
from orpheus_core.beside import helper
from orpheus_core.processors import default_threads
from orpheus_core.types import Array
from orpheus_openmp import isa as isas
from orpheus_openmp.bilinear import Algorithm
from orpheus_openmp.cook_toom import Form

if TYPE_CHECKING:
    from orpheus_openmp._native import Beside

#: Bytes of packed weights from which on a team of threads packs them,
FOR_A_TEAM = 1 << 18
#: and from which on they are written past the caches: nothing reads them before the caches hold something else.
FOR_MEMORY = 1 << 18


@dataclass(frozen=True)
class Packer:
    """Packs for one instruction set, whose register tile is ``vectors`` blocks wide, by ``threads`` threads."""

    isa: str
    threads: int
    block: int
    vectors: int

    @property
    def width(self) -> int:
        """Filters, or columns, of a register tile."""
        return self.vectors * self.block

    def chunks(self, weights: Array, group: int, depth: int, width: int | None = None) -> Array:
        """W [M, C / group, ...] as [group][chunk][in block][taps][depth][width], flat.

        A chunk is up to ``width`` filters, a register tile's when None, padded with zeros to whole blocks; chunks are
        as equal as can be, the larger ones first. The last input block has the channels that there are.
        """
        filters, channels, taps = _sizes(weights, group)
        out = self._blocks(filters)
        floats_each = out * channels * taps
        packed = memory.empty(group * floats_each)
        source = np.ascontiguousarray(weights, np.float32).reshape(-1)
        for first, chunked in self._chunks(out, width or self.width, channels * taps):
            self._run(
                source[first * channels * taps :], packed[first * channels * taps :], **_taps(taps), groups=group,
                **chunked, filters=filters - first, channels=channels, x_channels=channels, depth=depth,
                x_group=filters * channels * taps, x_filter=channels * taps, x_channel=taps, y_group=floats_each,
            )  # fmt: skip
        return packed

    def transformed(self, weights: Array, sums: Array) -> Array:
        """W [M, C, ...] as [chunk][element][channel][width]; element e is the sum of ``sums[e]`` times the taps."""
        filters, channels, taps = _sizes(weights, 1)
        out = self._blocks(filters)
        packed = memory.empty(out * channels * len(sums))
        source = np.ascontiguousarray(weights, np.float32).reshape(-1)
        for first, chunked in self._chunks(out, self.width, channels * len(sums)):
            self._run(
                source[first * channels * taps :], packed[first * channels * len(sums) :], **_taps(taps), sums=sums,
                groups=1, **chunked, filters=filters - first, channels=channels, x_channels=channels, depth=channels,
                x_group=0, x_filter=channels * taps, x_channel=taps, y_group=0,
            )  # fmt: skip
        return packed

    def phases(self, weights: Array, form: Form, channels: int) -> Array:
        """W [M, C, kh, kw] for a strided form as [chunk][element][phase][channel][width], zeros beyond C.

        Elements leave out the phases that they do not sum over.
        """
        filters, given, taps = _sizes(weights, 1)
        out, rows = self._blocks(filters), form.products * channels
        packed = memory.empty(out * rows)
        source = np.ascontiguousarray(weights, np.float32).reshape(-1)
        starts = np.cumsum([0, *(end - first for first, end in form.spans)])
        for phase, (top, left) in enumerate(form.phases):
            places = [(0, 0, i * form.kernel[1] + j) for i in range(top, form.kernel[0], form.step)
                      for j in range(left, form.kernel[1], form.step)]  # fmt: skip
            down, across = (len(range(at, size, form.step)) for at, size in zip((top, left), form.kernel))
            factors = (np.array(axis.weights)[:, :n] for axis, n in ((form.rows, down), (form.cols, across)))
            met = [e for e, (first, end) in enumerate(form.spans) if first <= phase < end]
            sums = np.ascontiguousarray(np.kron(*factors)[met])
            begins = np.array([(starts[e] + phase - form.spans[e][0]) * channels for e in met], np.int64)
            for first, chunked in self._chunks(out, self.width, rows):
                self._run(
                    source[first * given * taps :], packed[first * rows :], places=places, sums=sums, rows=begins,
                    groups=1, **chunked, filters=filters - first, channels=channels, x_channels=given, depth=channels,
                    x_group=0, x_filter=given * taps, x_channel=taps, y_group=0,
                )  # fmt: skip
        return packed

    def panels(self, matrix: Any, transposed: bool, k: int, n: int, count: int = 1) -> Array:
        """``count`` times B [k, n] (or its transpose) as [panel][k][width], zeros beyond n; one after the other."""
        panels = -(-n // self.width)
        packed = memory.empty(count * panels * k * self.width)
        self._run(
            matrix, packed, **_taps(1), groups=count, **_chunked(panels * self.width, self.width, k), filters=n,
            channels=k, x_channels=k, depth=k, x_group=n * k, x_filter=k if transposed else 1,
            x_channel=1 if transposed else n, y_group=panels * k * self.width,
        )  # fmt: skip
        return packed.reshape(count * panels, k, self.width)

    def bilinear(self, weights: Array, group: int, algorithm: Algorithm) -> Array:
        """1x1 weights [M, C / group, 1, 1] for a bilinear algorithm, by group, channels padded to whole blocks.

        [chunk] {[product][channel of a run][width], [tile][channel that the runs leave over][width]}, a chunk being
        ``side`` tiles of filters; then the filters that the chunks leave over as :meth:`chunks` has them.
        """
        filters, channels, _ = _sizes(weights, group)
        side, width, in_blocks = algorithm.side, self.width, -(-channels // self.block)
        out, full = self._blocks(filters), in_blocks * self.block
        run = in_blocks // side * self.block
        rest, count = full - side * run, out // (side * width)
        chunk = (algorithm.products * run + side * rest) * width
        left = out - count * side * width
        group_floats = count * chunk + left * full
        packed = memory.empty(group * group_floats)
        source = {
            "groups": group, "x_channels": channels, "x_group": filters * channels, "x_filter": channels,
            "x_channel": 1, "y_group": group_floats,
        }  # fmt: skip
        tiled = {"chunks": count, "chunk": side * width, "width": width, "last": width, "y_chunk": chunk}
        tiles = [j * width for j in range(side)]
        if count and run:
            self._run(
                weights, packed, **source, **tiled, filters=filters, channels=run, depth=run,
                places=[(tile, i * run, 0) for i in range(side) for tile in tiles],
                sums=np.array(algorithm.right, np.float64),
            )  # fmt: skip
        if count and rest:
            self._run(
                weights, packed[algorithm.products * run * width :], **source, **tiled, filters=filters,
                channels=rest, depth=rest, places=[(tile, side * run, 0) for tile in tiles],
            )  # fmt: skip
        if left:
            done = count * side * width
            self._run(
                weights.reshape(-1)[done * channels :], packed[count * chunk :], **source, **_taps(1),
                **_chunked(left, width, full), filters=filters - done, channels=full, depth=self.block,
            )  # fmt: skip
        return packed

    def _chunks(self, lanes: int, width: int, rows: int) -> Iterator[tuple[int, dict[str, Any]]]:
        """Whole blocks of lanes in the fewest chunks of up to ``width``: the first lane of those of a size, and all."""
        blocks = lanes // self.block
        count = -(-lanes // width)
        least, wide = divmod(blocks, count)
        for first, size, chunks in ((0, least + 1, wide), (wide * (least + 1), least, count - wide)):
            if chunks:
                yield first * self.block, _chunked(chunks * size * self.block, size * self.block, rows)

    def _blocks(self, filters: int) -> int:
        return -(-filters // self.block) * self.block

    def _run(self, weights: Any, packed: Array, *, places: Any, **values: Any) -> None:
        """``places``: of each tap, how many filters, channels and floats further on it lies."""
        sums = values.setdefault("sums", None)
        values.setdefault("rows", None)
        values.update(
            taps=len(places), elements=len(places) if sums is None else len(sums), places=np.array(places, np.int64),
            x=np.ascontiguousarray(weights, np.float32).reshape(-1), y=packed,
            streamed=int(packed.nbytes >= FOR_MEMORY),
        )  # fmt: skip
        native, large = isas.native(), packed.nbytes >= FOR_A_TEAM
        beside = helper((__name__, self.threads), partial(_beside, self.threads))
        if beside is None:
            native.Step(self.isa, "pack", self.threads if large else 1, values)()
        else:
            beside.add(native.Step(self.isa, "pack", beside.threads if large else 1, values), packed.nbytes)


def _beside(threads: int) -> Beside:
    """Packs beside the making of a plan, by as many threads as the session has, but two where there are processors."""
    made: Beside = isas.native().Beside(max(threads, min(2, default_threads())))
    return made


def _sizes(weights: Array, group: int) -> tuple[int, int, int]:
    """Filters of a group, channels of a group, taps."""
    return weights.shape[0] // group, weights.shape[1], math.prod(weights.shape[2:])


def _taps(count: int) -> dict[str, Any]:
    """Taps that are neighbours."""
    return {"places": [(0, 0, tap) for tap in range(count)]}


def _chunked(lanes: int, width: int, rows: int) -> dict[str, Any]:
    """So many lanes in chunks of ``width``, the last of what remains, each of so many rows."""
    chunks = -(-lanes // width)
    last = lanes - (chunks - 1) * width
    return {"chunks": chunks, "chunk": width, "width": width, "last": last, "y_chunk": width * rows}
