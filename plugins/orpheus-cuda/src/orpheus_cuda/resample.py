"""Resize and Pad: tables of places and weights along each axis, made on the host."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from orpheus_core.geometry.strides import strides_of
from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import Array
from orpheus_cuda.expressions import TYPES
from orpheus_cuda.launch import Launch, blocks, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor, load

#: Along one axis: places [size, taps] in elements of X's axis (-1: outside), and their weights or None.
Axis = tuple[Array, "Array | None"]


class _Tables:
    """Y by tables along each of X's axes."""

    def settle(self, problem: Problem, axes: Sequence[Axis], filling: float = 0.0) -> None:
        """``axes`` in logical order; Y and X may lie in any layout."""
        x, y = problem.inputs[0], problem.outputs[0]
        steps: Any = strides_of(x)  # type: ignore[arg-type]
        order = y.layout.permutation or range(len(axes))  # type: ignore[union-attr]
        places, weights, sizes, first = [], [], [], 0
        walked, loops, closing = "", "", ""
        for number in reversed(range(len(axes))):
            n, i = f"n{number}", f"i{number}"
            walked += (
                f"const u32 {i} = rest % (u32){n}; rest /= (u32){n};" if number else f"const u32 {i} = rest;"
            )
        for number, axis in enumerate(order):
            table, weight = axes[axis]
            size, taps = table.shape
            before = f"a{number - 1}, w{number - 1}".split(", ") if number else ("(i64)0", "C(1)")
            t, p = f"t{number}", f"p{number}"
            loops += (
                f"for (int {t} = 0; {t} < {taps}; ++{t}) {{ const int {p} = i{number} * {taps} + {t} + {first};"
                f" const i64 a{number} = places[{p}] < 0 || {before[0]} < 0 ? -1 : {before[0]} + places[{p}];"
                f" const C w{number} = {before[1]}{f' * (C)weights[{p}]' if weight is not None else ''};\n"
            )
            closing += "}"
            places.append(np.where(table < 0, -1, table * steps[axis]).reshape(-1))
            weights.append(np.ones(table.size) if weight is None else weight.reshape(-1))
            sizes.append(size)
            first += table.size
        last = len(axes) - 1
        plain = all(weight is None for _, weight in axes)
        value = f"(a{last} < 0 ? (C)filling : (C)x[a{last}])"
        loops += f"sum = {value};" if plain else f"sum += w{last} * {value};"
        index = y.device.index  # type: ignore[union-attr]
        self.places = load(index, np.concatenate(places).astype(np.int32))
        self.weights = None if plain else load(index, np.concatenate(weights).astype(np.float32))
        kind = TYPES[y.dtype.value]  # type: ignore[union-attr]
        self.source = define(
            "resample.cu", T=kind, COMPUTE=f"Compute<{kind}>::type", WALK=walked,
            SUM=(loops + closing).replace("\n", " "), PARAMETERS="".join(f", const int n{i}" for i in range(len(axes))),
        )  # fmt: skip
        self.sizes, self.count, self.filling = sizes, prod(sizes), np.float64(filling)

    def bind(
        self, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor | None], workspace: Tensor | None
    ) -> Launch:
        """One launch."""
        y = outputs[0]
        assert y is not None
        arguments = (
            inputs[0],
            y,
            self.places,
            self.weights,
            np.uint32(self.count),
            self.filling,
            *self.sizes,
        )
        return launch(y, self.source, "resample", arguments, (blocks(self.count),))


class Pad(_Tables):
    """constant, edge, reflect and wrap; pads, value and axes are known."""

    def __init__(self, problem: Problem) -> None:
        shape = shape_of(problem.inputs[0])
        rank = len(shape)
        pads = problem.constants[1].tolist()
        given = problem.constants[3].tolist() if 3 in problem.constants else range(rank)
        before = dict.fromkeys(range(rank), 0)
        before.update({a % rank: pads[i] for i, a in enumerate(given)})
        mode = problem.attributes.get("mode", "constant")
        axes: list[Axis] = []
        for axis, (size, whole) in enumerate(zip(shape, shape_of(problem.outputs[0]))):
            at = np.arange(whole) - before[axis]
            inside = (at >= 0) & (at < size)
            if mode == "edge":
                at = at.clip(0, size - 1)
            elif mode == "wrap":
                at %= size
            elif mode == "reflect":
                turn = max(2 * (size - 1), 1)
                at = np.abs((at + size - 1) % turn - (size - 1)) if size > 1 else at * 0
            else:
                at = np.where(inside, at, -1)
            axes.append((at[:, None], None))
        value = float(problem.constants[2].reshape(())) if 2 in problem.constants else 0.0
        self.settle(problem, axes, value)


class Resize(_Tables):
    """nearest, linear and cubic, without antialiasing or a region of interest; sizes or scales are known."""

    def __init__(self, problem: Problem) -> None:
        shape, target = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
        scales = (
            problem.constants[2].tolist() if 2 in problem.constants and problem.constants[2].size else None
        )
        named = problem.attributes.get("axes")
        order = [a % len(shape) for a in named] if named else list(range(len(shape)))
        axes: list[Axis] = []
        for axis, (size, whole) in enumerate(zip(shape, target)):
            scale = whole / size
            if scales is not None and axis in order:
                scale = float(np.float32(scales[order.index(axis)]))
            elif axis in order and problem.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
                scale = _kept(problem, shape, order)
            if whole == size and scale == 1:
                axes.append((np.arange(size)[:, None], None))
            else:
                axes.append(_along(problem.attributes, size, whole, scale))
        self.settle(problem, axes)


def _kept(problem: Problem, shape: Sequence[int], order: Sequence[int]) -> float:
    """The one scale of a Resize that keeps the ratio of its sides."""
    wanted = [s / shape[a] for s, a in zip(problem.constants[3].tolist(), order)]
    return float(
        min(wanted) if problem.attributes["keep_aspect_ratio_policy"] == "not_larger" else max(wanted)
    )


def _along(facts: Any, size: int, whole: int, scale: float) -> Axis:
    """Places and weights along one axis; see ONNX's Resize for the formulas."""
    y = np.arange(whole, dtype=np.float64)
    kind = facts.get("coordinate_transformation_mode", "half_pixel")
    length = size * scale
    if kind == "asymmetric":
        at = y / scale
    elif kind == "align_corners":
        at = y * (size - 1) / (length - 1) if length > 1 else y * 0
    elif kind == "pytorch_half_pixel":
        at = (y + 0.5) / scale - 0.5 if length > 1 else y * 0
    elif kind == "half_pixel_symmetric":
        at = size / 2 * (1 - whole / length) + (y + 0.5) / scale - 0.5
    else:
        at = (y + 0.5) / scale - 0.5
    mode = facts.get("mode", "nearest")
    if mode == "nearest":
        rounding = facts.get("nearest_mode", "round_prefer_floor")
        place = {
            "floor": np.floor(at), "ceil": np.ceil(at), "round_prefer_floor": np.ceil(at - 0.5),
            "round_prefer_ceil": np.floor(at + 0.5),
        }[rounding]  # fmt: skip
        return place.astype(np.int64).clip(0, size - 1)[:, None], None
    low = np.floor(at)
    part = (at - low)[:, None]
    if mode == "linear":
        places, weights = low[:, None] + (0, 1), np.concatenate([1 - part, part], 1)
    else:
        a = float(facts.get("cubic_coeff_a", -0.75))
        places = low[:, None] + (-1, 0, 1, 2)
        d = np.abs(at[:, None] - places)
        near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
        weights = np.where(d <= 1, near, np.where(d < 2, far, 0))
        if facts.get("exclude_outside"):
            weights = np.where((places >= 0) & (places < size), weights, 0)
            weights /= weights.sum(1, keepdims=True)
    return places.astype(np.int64).clip(0, size - 1), weights
