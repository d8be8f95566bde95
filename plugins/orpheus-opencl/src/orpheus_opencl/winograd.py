"""Winograd's convolutions in NCHW16c: weights transformed once, tiles in bands; see cl/winograd.cl."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import ceil
from types import SimpleNamespace

import numpy as np

from orpheus_core.geometry.cook_toom import FORMS
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_opencl.conv import Layer
from orpheus_opencl.device import opened
from orpheus_opencl.launch import Launch, launch
from orpheus_opencl.runtime import Tensor, load
from orpheus_opencl.tiles import BLOCK, product_tile

#: Tiles of a work item that transforms, on a processor; elsewhere it takes one.
_RUN = 8
#: Bytes of a processor's caches that a band's transformed tiles may take; elsewhere there is one band.
_BAND = 1 << 22


class Winograd(Layer):
    """One group, by the form of this name in :data:`orpheus_core.geometry.cook_toom.FORMS`."""

    def __init__(self, name: str, problem: Problem) -> None:
        super().__init__(problem)
        self.form = form = FORMS[name]
        device = opened(self.device)
        self.blocks_in, self.blocks_out = (ceil(n / BLOCK) for n in (self.channels, self.filters))
        self.u = load(self.device, packed(form.weights(self.weights)))
        p, q = self.window.y
        self.down, self.across = ceil(p / form.rows.out), ceil(q / form.cols.out)
        self.tiles = self.batch * self.down * self.across
        bytes_each = 4 * BLOCK * form.elements * (self.blocks_in + self.blocks_out)
        bands = ceil(self.tiles * bytes_each / _BAND) if device.is_cpu else 1
        # A band is at least a register tile.
        self.band = min(max(ceil(self.tiles / bands), 16), self.tiles)
        self.run = _RUN if device.is_cpu else 1
        self.pitches = [_odd(blocks * self.band) * BLOCK for blocks in (self.blocks_in, self.blocks_out)]
        self.workspace = 4 * form.elements * sum(self.pitches)
        self.tile = product_tile(device, self.blocks_out, self.band)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """Three launches for each band."""
        x, y, w = inputs[0], outputs[0], self.window
        assert x is not None and y is not None and workspace is not None
        sums, options = self.source("winograd.cl")
        forms = f"\n{self.form.source()}"
        tile = f"-DMT={self.tile.blocks} -DQT={self.tile.columns}"
        parts, grid = BLOCK // self.lanes, (self.down, self.across)
        vpitch, mpitch = self.pitches
        v = workspace.part(0, (self.form.elements * vpitch,))
        m = workspace.part(v.nbytes, (self.form.elements * mpitch,))
        runs = ceil(self.band / self.run) * parts
        groups = ceil(self.band / self.tile.columns) * parts
        rest = ceil(self.blocks_out / self.tile.blocks), self.form.elements
        steps = Launch(y.queue, ())
        for band in range(ceil(self.tiles / self.band)):
            # The last one is moved back to end with the layer.
            common = (min(band * self.band, self.tiles - self.band), self.band, self.run)
            for name, source, more, operands, size in (
                (
                    "inputs", f"winograd.cl{forms}", "-DINPUTS",
                    (x, v, *common, vpitch, *w.x, *grid, *w.pads[:2]), (runs, self.blocks_in),
                ),
                (
                    "products", "winograd.cl", f"-DPRODUCTS {tile}",
                    (v, self.u, m, self.band, self.channels, self.blocks_out, vpitch, mpitch), (groups, *rest),
                ),
                (
                    "outputs", f"{sums}{forms}", "-DOUTPUTS",
                    (m, *self.operands(inputs, outputs), *common, mpitch, *grid, *w.y, *self.numbers[4:]),
                    (runs, self.blocks_out),
                ),
            ):  # fmt: skip
                steps = steps.then(launch(y.queue, source, name, f"{options} {more}", operands, size))
        return steps


def _odd(number: int) -> int:
    return number | 1


def packed(elements: Array) -> Array:
    """[element, M, C] as [element, MB, C, 16], the last block of filters filled with zeros."""
    count, filters, channels = elements.shape
    whole = np.zeros((count, ceil(filters / BLOCK) * BLOCK, channels), np.float32)
    whole[:, :filters] = elements
    return np.ascontiguousarray(whole.reshape(count, -1, BLOCK, channels).swapaxes(2, 3))


#: ``prepare`` of each form's kernel, by its name.
layers = SimpleNamespace(**{name: partial(Winograd, name) for name in FORMS})
