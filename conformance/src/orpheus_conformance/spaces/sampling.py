"""Resampling: Resize, Upsample, GridSample, AffineGrid, and the exchange of depth and space.

Where a coordinate decides which element is taken, it is a dyadic fraction: exact in every precision, so that no
element is next to a border for one kernel and past it for another.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned, greatest
from orpheus_conformance.draw import FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import MOVEMENT, Evidence, Exact, Tolerance, Ulps

_WEIGHTS = {"special": "a weight of zero times infinity is NaN or left out, as one likes"}
_FLOATS = {"float32", "float64", "float16", "bfloat16"}


def _reach(e: Evidence) -> float:
    """Cubic weights sum to at most two in magnitude along an axis; coordinates are rounded at the image's size."""
    x = np.asarray(e.inputs[0])
    return float(greatest(x) * 2.0 ** max(0, x.ndim - 2) * max((1, *x.shape[2:])))


_INTERPOLATED = Conditioned(
    lambda case: 16,
    "weights from rounded coordinates, sums of products along each axis",
    ulps=16.0,
    magnitude=_reach,
    fixed=(1, 2, 3),
    compute="float32",
)


def _resize_tolerance(case: Case) -> Tolerance:
    return _INTERPOLATED if case.attributes.get("mode", "nearest") != "nearest" else Exact(native=False)


_COORDINATES = ("half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "tf_crop_and_resize")
_NEAREST = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@space("Resize", _resize_tolerance, since=11, without=_WEIGHTS)
def resize(d: Draw) -> Layer:
    """By scales or sizes, along all axes or some; roi only counts for tf_crop_and_resize."""
    mode = d.attribute("mode", ("nearest", "linear", "cubic"))
    dtype = d.dtype(
        "T1", _FLOATS if mode != "nearest" else d.dtypes("T1") - {"string", "complex64", "complex128", "bool"}
    )
    rank = 4 if mode == "cubic" else d.rank("X", (4, 3, 2, 5))
    lead = min(2, rank - 1)
    shape = tuple(d.choose((1, 2)) for _ in range(lead)) + tuple(
        d.choose((4, 2, 1, 8, 5)) for _ in range(rank - lead)
    )
    coordinates = d.attribute("coordinate_transformation_mode", _coordinates(d, mode))
    attributes: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = d.attribute("nearest_mode", (OMIT, *_NEAREST))
    if mode == "cubic":
        attributes["cubic_coeff_a"] = d.attribute("cubic_coeff_a", (OMIT, -0.5))
        attributes["exclude_outside"] = d.attribute("exclude_outside", (OMIT, 0, 1))
    axes = tuple(range(rank))
    if d.version >= 18:
        if d.flag():
            axes = tuple(range(lead, rank))
            attributes["axes"] = tuple(a - rank if d.flag() else a for a in axes)
        if mode != "nearest":
            attributes["antialias"] = d.attribute("antialias", (OMIT, 0, 1))
    factors = [
        1.0 if a < lead else d.choose((2.0, 1.0, 0.5, 4.0, *(() if mode == "nearest" else (1.5, 0.75))))
        for a in axes
    ]
    # A factor may not leave nothing, and an odd size halves exactly only with scales.
    factors = [f if int(shape[a] * f) >= 1 else 1.0 for a, f in zip(axes, factors)]
    exact = all((shape[a] * f).is_integer() for a, f in zip(axes, factors))
    scales: Operand | None = d.data("scales", "float32", factors)
    sizes: Operand | None = None
    # Type inference takes no notice of roi, so that only sizes agree with it.
    if coordinates == "tf_crop_and_resize" or (d.flag() and (exact or mode != "nearest")):
        scales, sizes = None, d.data("sizes", "int64", [int(shape[a] * f) for a, f in zip(axes, factors)])
    if sizes is not None and d.version >= 18 and exact and len(set(factors)) == 1 and len(axes) < rank:
        attributes["keep_aspect_ratio_policy"] = d.attribute(
            "keep_aspect_ratio_policy", (OMIT, "stretch", "not_larger", "not_smaller")
        )
    roi = None
    if coordinates == "tf_crop_and_resize":
        starts = [0.0 if a < lead else d.choose((0.0, 0.25)) for a in axes]
        ends = [1.0 if a < lead else d.choose((1.0, 0.75, 1.25)) for a in axes]
        roi = d.data("roi", "float32", [*starts, *ends])
        attributes["extrapolation_value"] = d.attribute("extrapolation_value", (OMIT, 7.0))
    if d.version < 13:
        roi = roi or d.data("roi", "float32", ())
        scales = scales or d.data("scales", "float32", ())
    return Layer((d.tensor("X", dtype, shape, special=False), roi, scales, sizes), attributes)


def _coordinates(d: Draw, mode: str) -> tuple[str, ...]:
    """Nearest neighbours only where coordinates are dyadic: align_corners divides by size - 1."""
    known = (*_COORDINATES, "half_pixel_symmetric") if d.version >= 19 else _COORDINATES
    return tuple(c for c in known if mode != "nearest" or c not in ("align_corners", "tf_crop_and_resize"))


def _upsample_tolerance(case: Case) -> Tolerance:
    return _INTERPOLATED if case.attributes.get("mode", "nearest") == "linear" else MOVEMENT


@space("Upsample", _upsample_tolerance, since=9, without=_WEIGHTS)
def upsample(d: Draw) -> Layer:
    """Only in models of opset 9; newer ones have Resize."""
    mode = d.attribute("mode", (OMIT, "nearest", "linear"))
    shape = (d.choose((1, 2)), d.choose((1, 3)), d.choose((4, 1, 2)), d.choose((4, 1, 3)))
    scales = d.data("scales", "float32", (1.0, 1.0, d.choose((2.0, 1.0, 3.0)), d.choose((2.0, 1.0, 1.5))))
    dtype = d.dtype("T", _FLOATS if mode == "linear" else d.dtypes("T") - {"string"})
    return Layer((d.tensor("X", dtype, shape, special=False), scales), {"mode": mode})


def _grid_magnitude(e: Evidence) -> float:
    """A coordinate is rounded at the image's size, and each weight multiplies an element."""
    grid = e.inputs[1]
    far = 1 + float(np.abs(grid).max(initial=0.0))
    return _reach(e) * far


_GRID = Conditioned(
    lambda case: 16,
    "weights from coordinates, which the oracle has in float32, and sums of products",
    ulps=16.0,
    magnitude=_grid_magnitude,
    compute="float32",
)


def _grid_tolerance(case: Case) -> Tolerance:
    return _GRID if case.attributes.get("mode", "linear") != "nearest" else Exact(native=False)


@space("GridSample", _grid_tolerance, since=20, without=_WEIGHTS)
def grid_sample(d: Draw) -> Layer:
    """X [N, C, D1, ...] at the points of grid [N, D1', ..., spatial], in and beyond [-1, 1]."""
    mode = d.attribute("mode", (OMIT, "linear", "nearest", "cubic"))
    rank = 4 if mode == "cubic" else d.rank("X", (4, 5, 3))
    spatial = rank - 2
    dtype = d.dtype("T1", _FLOATS)
    batch = d.choose((1, 2))
    attributes = {
        "mode": mode,
        "padding_mode": d.attribute("padding_mode", (OMIT, "zeros", "border", "reflection")),
        "align_corners": d.attribute("align_corners", (OMIT, 0, 1)),
    }
    if mode == "nearest":
        # Powers of two (plus one between corners) and odd eighths: never half way between two elements.
        extra = 1 if attributes["align_corners"] == 1 else 0
        sizes = tuple(d.choose((2, 4, 1)) + extra for _ in range(spatial))
    else:
        sizes = tuple(d.choose((3, 1, 2, 5)) for _ in range(spatial))
    points = tuple(d.choose((2, 1, 3)) for _ in range(spatial))
    grid_type = d.dtype("T2", _FLOATS)
    shape = (batch, *points, spatial)
    if mode == "nearest":
        values = [(2 * d.integer(-10, 9) + 1) / 16 for _ in range(math.prod(shape))]
        grid = Operand(grid_type, shape, "normal", tuple(values))
    else:
        grid = d.tensor("grid", grid_type, shape, special=False)
    x = d.tensor("X", dtype, (batch, d.choose((1, 2, 3)), *sizes), special=False)
    return Layer((x, grid), attributes)


def _plane(e: Evidence) -> float:
    return 4 * float(np.abs(e.inputs[0]).max(initial=0.0))


@space("AffineGrid", Ulps(4.0, "coordinates of at most 1, three or four products and their sum", magnitude=_plane),
       without=_WEIGHTS)  # fmt: skip
def affine_grid(d: Draw) -> Layer:
    """Theta [N, 2, 3] or [N, 3, 4]."""
    spatial = d.choose((2, 3))
    batch = d.choose((1, 2, 3))
    size = d.data(
        "size", "int64", (batch, d.choose((1, 3)), *(d.choose((2, 3, 5, 1)) for _ in range(spatial)))
    )
    theta = d.tensor("theta", d.dtype("T1"), (batch, spatial, spatial + 1), special=False)
    return Layer((theta, size), {"align_corners": d.attribute("align_corners", (OMIT, 0, 1))})


def _rearranged(op: str, deep: bool) -> None:
    @space(op, MOVEMENT)
    def draw(d: Draw) -> Layer:
        block = d.attribute("blocksize", (2, 1, 3))
        sizes = [d.choose((1, 2, 0)), d.choose((1, 2, 3)), d.choose(FULL_DIMS[:3]), d.choose(FULL_DIMS[:3])]
        if deep:
            sizes[1] *= block * block
        else:
            sizes[2:] = [n * block for n in sizes[2:]]
        attributes = {"blocksize": block}
        if "mode" in d.spec.schema.attributes:
            attributes["mode"] = d.attribute("mode", (OMIT, "DCR", "CRD"))
        return Layer((d.tensor("input", d.dtype("T"), sizes),), attributes)


_rearranged("DepthToSpace", True)
_rearranged("SpaceToDepth", False)
