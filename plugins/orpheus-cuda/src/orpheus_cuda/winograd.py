"""Winograd's convolutions in NHWC: two transforms and a batch of products between them; see cu/winograd.cu."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from math import ceil
from types import SimpleNamespace
from typing import Any

import numpy as np

from orpheus_core.geometry.cook_toom import FORMS, Form
from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_cuda.expressions import act
from orpheus_cuda.launch import Launch, blocks, launch
from orpheus_cuda.product import Product, Sides, pack
from orpheus_cuda.runtime import Tensor, load

#: Floats: where an element of V or M may begin, so that rows of V keep their alignment.
_STEP = 64


def tiles(form: Form, problem: Problem) -> tuple[int, int, int]:
    """Images, and tiles down and across."""
    n, _, p, q = shape_of(problem.outputs[0])
    return n, ceil(p / form.rows.out), ceil(q / form.cols.out)


def pitches(form: Form, problem: Problem) -> tuple[int, int]:
    """Floats from one element of V, and of M, to the next."""
    n, down, across = tiles(form, problem)
    m, c = shape_of(problem.inputs[1])[:2]
    found = (ceil(n * down * across * size / _STEP) * _STEP for size in (c, m))
    return next(found), next(found)


class Winograd:
    """One group, stride 1, by the form of this name in :data:`orpheus_core.geometry.cook_toom.FORMS`."""

    tf32 = False

    def __init__(self, name: str, problem: Problem) -> None:
        self.form = form = FORMS[name]
        weights = problem.constants[1]
        self.filters, self.channels, *kernel = weights.shape
        self.window = window(problem, tuple(kernel))
        self.x, self.y = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
        _, *self.grid = found = tiles(form, problem)
        self.tiles = found[0] * found[1] * found[2]
        self.vpitch, self.mpitch = pitches(form, problem)
        packed = pack(form.weights(weights))
        self.u = load(problem.outputs[0].device.index, packed)  # type: ignore[union-attr]
        self.packed = (1,)
        line, element = packed.shape[2], np.arange(form.elements)
        rows = Window((1, self.tiles), (1, 1), (1, self.tiles), (1, 1), (1, 1), (0, 0, 0, 0))
        sides = Sides(
            self.tiles, self.filters, self.channels, rows, (0, 0, self.channels, 1), (line, 1), (0, self.filters, 1),
            offsets=np.stack(
                [element * self.vpitch, element * self.filters * line, element * self.mpitch, 0 * element], 1
            ),
            packed=True,
        )  # fmt: skip
        self.product = Product(replace(problem, attributes={}), sides)
        self._at = 4 * form.elements * (self.vpitch + self.mpitch)
        self.workspace = self._at + self.product.workspace
        facts = problem.attributes
        self.words = {"ACT": act(str(facts.get("activation", "")))}
        self.parameters = [np.float32(p) for p in (*facts.get("activation_params", ()), 0.0, 0.0)[:2]]

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """Three launches."""
        x, _, b, r, scale, shift = (*inputs, None, None, None, None)[:6]
        y, raw = (*outputs, None)[:2]
        assert x is not None and y is not None and workspace is not None
        count = self.form.elements
        v = workspace.part(0, (count * self.vpitch,))
        m = workspace.part(v.nbytes, (count * self.mpitch,))
        space = (
            workspace.part(self._at, (self.product.workspace,), np.uint8) if self.product.workspace else None
        )
        source = f"{define_form(self.form)}\n#define ACT {self.words['ACT']}"
        there, back = self.tiles * self.channels, self.tiles * self.filters
        come: tuple[Any, ...] = (
            x, v, np.int64(there), np.int64(self.vpitch), self.channels, *self.x[2:], *self.grid, *self.window.pads[:2],
        )  # fmt: skip
        go: tuple[Any, ...] = (
            m, b, r, scale, shift, y, raw, np.int64(back), np.int64(self.mpitch), self.filters, *self.y[2:], *self.grid,
            *self.parameters,
        )  # fmt: skip
        products = self.product.bind((v, self.u, None, None, None, None), m, None, space)
        return launch(y, source, "inputs", come, (blocks(there),)).then(
            products, launch(y, source, "outputs", go, (blocks(back),))
        )


def define_form(form: Form) -> str:
    """The family's file, and the transforms."""
    return f"winograd.cu\n{form.source()}"


#: ``prepare`` of each form's kernel, by its name.
layers = SimpleNamespace(**{name: partial(Winograd, name) for name in FORMS})
