"""Resize and Pad: tables of places and weights along each axis, made on the host."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from orpheus_core.geometry.sampling import Axis, padded, resized
from orpheus_core.geometry.strides import strides_of
from orpheus_core.plugin import Problem
from orpheus_cuda.expressions import TYPES
from orpheus_cuda.launch import Launch, blocks, launch
from orpheus_cuda.programs import define
from orpheus_cuda.runtime import Tensor, load


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
        value = float(problem.constants[2].reshape(())) if 2 in problem.constants else 0.0
        self.settle(problem, padded(problem), value)


class Resize(_Tables):
    """nearest, linear and cubic, without a region of interest; sizes or scales are known."""

    def __init__(self, problem: Problem) -> None:
        self.settle(problem, resized(problem))
