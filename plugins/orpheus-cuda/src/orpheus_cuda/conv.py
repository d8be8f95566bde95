"""Convolutions: implicit GEMM on plain or NHWC tensors of any groups, and depthwise ones."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from types import SimpleNamespace
from typing import Any

import numpy as np

from orpheus_core.geometry.strides import contiguous, strides_of
from orpheus_core.geometry.window import Window, shape_of, window
from orpheus_core.plugin import Problem
from orpheus_core.types import TensorType
from orpheus_cuda.elementwise import Elementwise
from orpheus_cuda.expressions import TYPES, WORDS, act
from orpheus_cuda.launch import Launch, blocks, launch
from orpheus_cuda.product import Product, Sides, forms, pack
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor, load


def steps(type_: Any) -> tuple[int, int, int, int]:
    """Strides of image, channel, row and column; a tensor with one axis in space has a row of no height."""
    n, c, *space = strides_of(type_)
    row, column = space if len(space) > 1 else (0, *space)
    return n, c, row, column


class Conv:
    """Conv and FusedConv of any window, stride, dilation and groups; W may come at run time."""

    def __init__(self, problem: Problem, *, choice: int = 0, tf32: bool = False) -> None:
        x, y = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
        kernel = shape_of(problem.inputs[1])
        self.window: Window = window(problem, kernel[2:])
        groups = int(problem.attributes.get("group", 1))
        filters, depth = kernel[0] // groups, kernel[1]
        constant = problem.constants.get(1)
        taps = prod(kernel[2:])
        self.packed: tuple[int, ...] = ()
        self.w: Tensor | None = None
        line = depth * taps
        if constant is not None:
            rows = np.moveaxis(constant, 1, -1).reshape(kernel[0], line)
            whole = pack(np.ascontiguousarray(rows))
            line = whole.shape[1]
            self.w = load(problem.outputs[0].device.index, whole)  # type: ignore[union-attr]
            self.packed = (1,)
        xn, xc, xh, xw = steps(problem.inputs[0])
        yn, yc, _, yp = steps(problem.outputs[0])
        group = np.arange(groups)
        sides = Sides(
            x[0] * prod(y[2:]), filters, depth, self.window, (xn, xh, xw, xc), (line, 1), (yn, yp, yc),
            offsets=np.stack([group * depth * xc, group * filters * line, group * filters * yc, group * filters], 1),
            packed=constant is not None,
        )  # fmt: skip
        self.product = Product(problem, sides, tf32=tf32, choice=choice)
        self._order: Elementwise | None = None
        self.workspace = self.product.workspace
        if constant is None:
            # W as it comes is [M, C, R, S]; the window is walked channels last.
            word = WORDS[self.product.dtype.itemsize]
            sizes = (kernel[0], taps, depth)
            self._order = Elementwise("x", (word, word), sizes, ((line, 1, taps), contiguous(sizes)))
            self._at = ceil(self.workspace / 256) * 256
            self.workspace = self._at + prod(kernel) * self.product.dtype.itemsize

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch, or two where W is put in order first."""
        x, w, b, r, scale, shift = (*inputs, None, None, None, None)[:6]
        y, raw = (*outputs, None)[:2]
        assert y is not None
        first = Launch(y.library, y.stream)
        weights = self.w
        if self._order is not None:
            assert w is not None and workspace is not None
            weights = workspace.part(self._at, w.shape, w.dtype)
            first = self._order.bind((w,), (weights,), None)
        return first.then(self.product.bind((x, weights, b, r, scale, shift), y, raw, workspace))


#: ``prepare`` of each kernel by implicit GEMM, by its name.
layers = SimpleNamespace(**forms(Conv, "implicit"), **forms(Conv, "tf32", tf32=True))


class Depthwise:
    """Conv, FusedConv of one channel a group, and ScaleShift as one of a single element; NHWC."""

    def __init__(self, problem: Problem) -> None:
        target = problem.outputs[0]
        assert isinstance(target, TensorType)
        index, dtype = target.device.index, target.dtype
        scaling = problem.op == "ScaleShift"
        weights = problem.constants[1]
        channels = len(weights)
        taps = weights.reshape(channels, -1)
        self.window: Window = window(problem, (1, 1) if scaling else weights.shape[2:])
        self.w = load(index, np.ascontiguousarray(taps.T))
        self.shift = load(index, problem.constants[2]) if scaling else None
        self.packed = (1, 2) if scaling else (1,)
        self.channels, self.images = channels, shape_of(target)[0]
        name = str(problem.attributes.get("activation", ""))
        self.parameters = [
            np.float32(p) for p in (*problem.attributes.get("activation_params", ()), 0.0, 0.0)[:2]
        ]
        self.words: dict[str, Any] = {"T": TYPES[dtype.value], "ACT": act(name)}
        self.pack = max(p for p in (1, 2, 4) if channels % p == 0)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        x, _, b, r, scale, shift = (*inputs, None, None, None, None)[:6]
        y, raw = (*outputs, None)[:2]
        assert x is not None and y is not None
        w = self.window
        given = [t for t in (x, r, y, raw) if t is not None]
        pack = self.pack if all(t.pointer % (self.pack * t.dtype.itemsize) == 0 for t in given) else 1
        strip = 4 if w.y[1] >= 4 and w.strides[1] <= 2 and prod(w.size) > 1 else 1
        source = define(
            "depthwise.cu",
            **self.words,
            PACK=pack,
            STRIP=strip,
            TAPS=w.size[1],
            DW=w.dilations[1],
            SW=w.strides[1],
        )
        bias = self.shift if self.shift is not None else b
        numbers = (self.channels, *w.x, *w.y, w.size[0], w.strides[0], *w.pads[:2], w.dilations[0])
        arguments = (x, self.w, bias, r, scale, shift, y, raw, *numbers, *self.parameters)
        count = self.channels // pack * ceil(w.y[1] / strip)
        threads = 128
        return launch(
            y, source, "depthwise", arguments, (blocks(count, threads), w.y[0], self.images), (threads,)
        )  # fmt: skip
