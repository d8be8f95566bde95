"""Resize and Pad as tables: along each axis the elements of X that one of Y comes from, and their weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from orpheus_core.geometry.window import shape_of
from orpheus_core.plugin import Problem
from orpheus_core.types import Array

#: Along one axis: places [size of Y, taps] in X (-1: outside), and their weights, or None where each counts whole.
Axis: TypeAlias = tuple[Array, "Array | None"]


def kept(size: int) -> Axis:
    """An axis that stays as it is."""
    return np.arange(size)[:, None], None


def padded(problem: Problem) -> list[Axis]:
    """Of each axis of a Pad, constant, edge, reflect or wrap, whose pads and axes are known."""
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
    return axes


def resized(problem: Problem) -> list[Axis]:
    """Of each axis of a Resize by nearest, linear or cubic, without a region of interest; scales or sizes are known."""
    changed = resampled(problem)
    return [changed.get(axis) or kept(size) for axis, size in enumerate(shape_of(problem.inputs[0]))]


def resampled(problem: Problem) -> dict[int, Axis]:
    """The same of those axes that do not stay as they are."""
    shape, target = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
    return {a: _along(problem.attributes, shape[a], target[a], s) for a, s in scales_of(problem).items()}


def scales_of(problem: Problem) -> dict[int, float]:
    """Those axes of a Resize, in order, each with the scale that its coordinates are computed with."""
    shape, target = shape_of(problem.inputs[0]), shape_of(problem.outputs[0])
    scales = problem.constants[2].tolist() if 2 in problem.constants and problem.constants[2].size else None
    named = problem.attributes.get("axes")
    order = [a % len(shape) for a in named] if named else list(range(len(shape)))
    found: dict[int, float] = {}
    for axis, (size, whole) in enumerate(zip(shape, target)):
        scale = whole / size
        if scales is not None and axis in order:
            scale = float(scales[order.index(axis)])
        elif axis in order and problem.attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            scale = _common(problem, shape, order)
        if whole != size or scale != 1:
            found[axis] = scale
    return found


def untabled(problem: Problem) -> str | None:
    """Why there are no tables for this Resize, in words; None where there are."""
    if problem.attributes.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        return "needs a coordinate_transformation_mode without a region of interest, has 'tf_crop_and_resize'"
    return None


def _common(problem: Problem, shape: Sequence[int], order: Sequence[int]) -> float:
    """The one scale of a Resize that keeps the ratio of its sides."""
    wanted = [s / shape[a] for s, a in zip(problem.constants[3].tolist(), order)]
    policy = problem.attributes["keep_aspect_ratio_policy"]
    return float(min(wanted) if policy == "not_larger" else max(wanted))


def _along(facts: Mapping[str, Any], size: int, whole: int, scale: float) -> Axis:
    """Places and weights along one axis."""
    at = coordinates(str(facts.get("coordinate_transformation_mode", "half_pixel")), size, whole, scale)
    if facts.get("mode", "nearest") != "nearest":
        return _interpolated(facts, at, size, scale)
    rounding = facts.get("nearest_mode", "round_prefer_floor")
    place = {
        "floor": np.floor(at), "ceil": np.ceil(at), "round_prefer_floor": np.ceil(at - 0.5),
        "round_prefer_ceil": np.floor(at + 0.5),
    }[rounding]  # fmt: skip
    return place.astype(np.int64).clip(0, size - 1)[:, None], None


def coordinates(mode: str, size: int, whole: int, scale: float) -> Array:
    """Where each of ``whole`` elements lies among ``size``, float64; see https://onnx.ai/onnx/operators/onnx__Resize.html."""
    y = np.arange(whole, dtype=np.float64)
    # Of a fraction, which the operator's examples mean where its page says length_resized.
    length = size * scale
    if mode == "asymmetric":
        return y / scale
    if mode == "align_corners":
        return y * ((size - 1) / (length - 1)) if length != 1 else y * 0
    if mode == "pytorch_half_pixel" and whole == 1:
        return y * 0
    if mode == "half_pixel_symmetric":
        # In the page's order: a sum that is whole stays so, and its floor is no element off.
        return size / 2 * (1 - whole / length) + (y + 0.5) / scale - 0.5
    return (y + 0.5) / scale - 0.5


def _interpolated(facts: Mapping[str, Any], at: Array, size: int, scale: float) -> Axis:
    """Linear, or cubic by R. Keys (Cubic Convolution Interpolation, 1981); antialiasing stretches either over more."""
    cubic = facts.get("mode") == "cubic"
    stretch = max(1.0, 1 / scale) if facts.get("antialias") else 1.0
    reach = math.ceil((2 if cubic else 1) * stretch)
    places = np.floor(at)[:, None] + np.arange(1 - reach, reach + 1)
    distance = np.abs(places - at[:, None]) / stretch
    weights = (
        _keys(distance, float(facts.get("cubic_coeff_a", -0.75))) if cubic else np.maximum(0, 1 - distance)
    )
    if facts.get("exclude_outside"):
        weights = np.where((places >= 0) & (places < size), weights, 0)
    if facts.get("exclude_outside") or stretch != 1:
        total = weights.sum(1, keepdims=True)
        weights = weights / np.where(total == 0, 1, total)
    used = weights.any(0)
    return places.astype(np.int64).clip(0, size - 1)[:, used], weights[:, used]


def _keys(d: Array, a: float) -> Array:
    near, far = ((a + 2) * d - (a + 3)) * d * d + 1, ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))
