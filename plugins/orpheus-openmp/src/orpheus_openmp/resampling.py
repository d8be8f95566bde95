"""Where each element of a Resize comes from: positions along every axis, and weights for linear and cubic.

Source: https://onnx.ai/onnx/operators/onnx__Resize.html; R. Keys, Cubic Convolution Interpolation, 1981.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import Array

COORDINATES = (
    "half_pixel", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric", "align_corners",
)  # fmt: skip


@dataclass(frozen=True)
class Axis:
    """One axis that changes: elements before and after, and the scale that coordinates are computed with."""

    index: int
    size: int
    wanted: int
    scale: float


def resized_axes(problem: Problem) -> list[Axis]:
    """The axes that are resampled, from constant scales or sizes."""
    shape, target = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
    chosen = [a % len(shape) for a in problem.attributes.get("axes") or range(len(shape))]
    scales, sizes = problem.constants.get(2), problem.constants.get(3)
    if sizes is not None and sizes.size:
        factors = [target[a] / shape[a] for a in chosen]
        if problem.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            wanted = [int(s) / shape[a] for s, a in zip(sizes, chosen)]
            smaller = problem.attributes["keep_aspect_ratio_policy"] == "not_larger"
            factors = [(min if smaller else max)(wanted)] * len(chosen)
    else:
        assert scales is not None
        factors = [float(s) for s in scales.reshape(-1)]
    found = [Axis(a, shape[a], target[a], f) for a, f in zip(chosen, factors)]
    return [a for a in found if a.size != a.wanted or a.scale != 1]


def coordinate_mode(problem: Problem) -> str:
    """The coordinate_transformation_mode."""
    return str(problem.attributes["coordinate_transformation_mode"])


def coordinates(axis: Axis, mode: str) -> Array:
    """Where each wanted element lies in the input, float64 [wanted]."""
    at = np.arange(axis.wanted, dtype=np.float64)
    centred = (at + 0.5) / axis.scale - 0.5
    exact = axis.scale * axis.size
    if mode == "asymmetric":
        return at / axis.scale
    if mode == "align_corners":
        return at * ((axis.size - 1) / (exact - 1)) if exact != 1 else 0 * at
    if mode == "pytorch_half_pixel" and axis.wanted == 1:
        return 0 * at
    if mode == "half_pixel_symmetric":
        return axis.size / 2 * (1 - axis.wanted / exact) + (at + 0.5) / axis.scale - 0.5  # the page's order
    return centred


def nearest_positions(problem: Problem) -> Iterator[tuple[int, list[int]]]:
    """(axis, the element that each result takes) for every axis of a nearest Resize."""
    roundings: dict[str, Callable[[Array], Array]] = {
        "floor": np.floor,
        "ceil": np.ceil,
        "round_prefer_floor": lambda at: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda at: np.floor(at + 0.5),
    }
    rounding = roundings[str(problem.attributes["nearest_mode"])]
    for axis in resized_axes(problem):
        at = rounding(coordinates(axis, coordinate_mode(problem)))
        yield axis.index, [int(p) for p in np.clip(at, 0, axis.size - 1)]


def taps(problem: Problem, axis: Axis) -> tuple[Array, Array]:
    """Positions int64 and weights float32, both [taps, wanted], of a linear or cubic Resize along one axis."""
    cubic = problem.attributes.get("mode") == "cubic"
    stretch = max(1.0, 1 / axis.scale) if problem.attributes.get("antialias", 0) else 1.0
    reach = (2 if cubic else 1) * stretch
    at = coordinates(axis, coordinate_mode(problem))
    steps = np.arange(1 - math.ceil(reach), math.ceil(reach) + 1)
    index = np.floor(at) + steps[:, None]
    distance = abs(index - at) / stretch
    coefficient = float(problem.attributes.get("cubic_coeff_a", -0.75))
    weights = _keys(distance, coefficient) if cubic else np.maximum(0, 1 - distance)
    if problem.attributes.get("exclude_outside", 0):
        weights = weights * ((index >= 0) & (index < axis.size))
    if problem.attributes.get("exclude_outside", 0) or stretch != 1:
        total = weights.sum(0)
        weights = weights / np.where(total == 0, 1, total)
    used = weights.any(1)
    index = np.clip(index, 0, axis.size - 1).astype(np.int64)
    return np.ascontiguousarray(index[used]), np.ascontiguousarray(weights[used], np.float32)


def _keys(distance: Array, a: float) -> Array:
    near = 1 + distance**2 * ((a + 2) * distance - (a + 3))
    far = a * (distance * (distance * (distance - 5) + 8) - 4)
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0))
