"""Elementwise operators, plain and NCHWc; the native side is native/kernels/elementwise.cpp."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_core.ops.activations import ACTIVATIONS
from orpheus_core.plugin import Problem
from orpheus_openmp import epilogue
from orpheus_openmp.layer import Layer, padded

OPS = {"Add": 1, "Sub": 2, "Mul": 3, "Div": 4, "PRelu": 5}
_SCALE_SHIFT = 6
SAME, PER_CHANNEL, SINGLE = range(3)


class Unary(Layer):
    """Activations and elementary functions of one tensor."""

    kernel = "elementwise"

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        parameters = unary_parameters(problem)
        moves_zero = epilogue.moves_zero(problem.op, parameters)
        self.values = {
            **_extent(self), "op": 0, "z_kind": SAME, "swapped": 0, **epilogue.activation(problem.op, parameters),
        }  # fmt: skip
        self.values["tail"] = self.values["tail"] if moves_zero else 0
        self.packed = tuple(i for i in (1, 2) if i in problem.constants)


def unary_parameters(problem: Problem) -> tuple[float, ...]:
    """An activation's parameters in the order of orpheus_core.ops.activations; () for elementary functions."""
    if problem.op == "Clip":
        low, high = (_bound(problem, index) for index in (1, 2))
        return (-math.inf if low is None else low, math.inf if high is None else high)
    if problem.op == "Gelu":
        return (float(problem.attributes.get("approximate", "none") == "tanh"),)
    return tuple(float(problem.attributes[name]) for name in ACTIVATIONS.get(problem.op, ()))


def _bound(problem: Problem, index: int) -> float | None:
    array = problem.constants.get(index)
    return None if array is None else float(np.asarray(array).reshape(()))


class Binary(Layer):
    """Add, Sub, Mul, Div and PRelu of two tensors of which one may have a value a channel, or a single value."""

    kernel = "elementwise"
    names: tuple[str | None, ...] = ("x", "z")

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        shapes = [self.input_shape(i) for i in (0, 1)]
        swapped = shapes[0] != self.output_shape() or (math.prod(shapes[0]) == 1 and math.prod(shapes[1]) > 1)
        small = shapes[0] if swapped else shapes[1]
        if swapped:
            self.names = ("z", "x")
        kind = SAME if small == self.output_shape() else SINGLE if math.prod(small) == 1 else PER_CHANNEL
        self.values = {
            **_extent(self), "op": OPS[problem.op], "z_kind": kind, "swapped": int(swapped),
            **epilogue.activation(""),
        }  # fmt: skip
        if (
            kind == PER_CHANNEL
            and small[0] == self.output_shape()[0]
            and len(small) == len(self.output_shape())
        ):
            # A value for each channel of each image.
            self.values["channels"] *= self.values["outer"]
            self.values["outer"] = 1
        at = 0 if swapped else 1
        plain = self.type_of(at).layout.block < self.values["block"]
        if kind == PER_CHANNEL and plain:  # a constant beside blocks, by the kernel's rule
            self.values["z"] = padded(problem.constants[at], self.values["channels"] * self.values["block"])
            self.names = tuple(None if i == at else "x" for i in (0, 1))
            self.packed = (at,)
        if problem.op in ("Add", "Sub", "Mul", "PRelu") and kind != SINGLE:
            self.values["tail"] = 0  # zeros in, zeros out


class ScaleShift(Layer):
    """Y = activation(X * scale + shift), scale and shift constant, along axis 1."""

    kernel = "elementwise"
    names = ("x",)

    def __init__(self, problem: Problem, isa: str | None = None) -> None:
        super().__init__(problem, isa)
        self.values = scale_shift(self)
        length = self.values["channels"] * self.values["block"]
        self.values["scale"] = padded(problem.constants[1], length)
        self.values["shift"] = padded(problem.constants[2], length)
        self.packed = (1, 2)


def scale_shift(layer: Layer) -> dict[str, Any]:
    """The arguments of y = activation(x * scale + shift), but for the two vectors."""
    return {
        **_extent(layer), "op": _SCALE_SHIFT, "z_kind": PER_CHANNEL, "swapped": 0,
        **epilogue.of_attributes(layer.problem.attributes),
    }  # fmt: skip


def _extent(layer: Layer) -> dict[str, Any]:
    """[outer, channels, inner] of the output, and the channels in its last block when they do not fill it."""
    shape = layer.output_shape()
    type_: Any = layer.problem.outputs[0]
    if type_.layout.block > 1:
        blocks = -(-shape[1] // layer.block)
        inner = math.prod(shape[2:]) * layer.block
        tail = shape[1] % layer.block
        return {
            "outer": shape[0], "channels": blocks, "inner": inner, "block": layer.block, "blocks": blocks, "tail": tail,
        }  # fmt: skip
    outer, channels = (shape[0], shape[1]) if len(shape) > 1 else (1, 1)
    inner = math.prod(shape[2:]) if len(shape) > 1 else math.prod(shape)
    return {"outer": outer, "channels": channels, "inner": inner, "block": 1, "blocks": channels, "tail": 0}
