"""Pooling: windows of every kind, whole images, regions of interest, and the way back."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned, greatest
from orpheus_conformance.draw import FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.convolution import window
from orpheus_conformance.spaces.reduction import Root
from orpheus_conformance.tolerance import EXACT, Accumulation, Evidence

_NAN = {"special": "the operator page does not say whether a maximum is NaN where an element is"}


def _window(case: Case) -> int:
    return math.prod(case.attributes["kernel_shape"])


def _image(case: Case) -> int:
    x = case.inputs[0]
    assert isinstance(x, Operand)
    return math.prod(x.shape[2:])


def _pooled(d: Draw, dtype: str, dilated: int, ceiled: int, **how: Any) -> tuple[Operand, dict[str, Any]]:
    """X and the window; dilations and ceil_mode exist from those versions on."""
    rank = d.rank("X", (4, 3, 5))
    sizes, kernel, attributes = window(d, rank)
    attributes["kernel_shape"] = kernel
    size = list(sizes)
    for i, rate in enumerate(() if attributes["dilations"] is OMIT else attributes["dilations"]):
        # A dilated window that starts in the pads may hold nothing but pads.
        if rate > 1 and attributes["pads"] is not OMIT:
            attributes["pads"] = tuple(
                0 if n % len(size) == i else p for n, p in enumerate(attributes["pads"])
            )
            size[i] = max(size[i], (kernel[i] - 1) * rate + 1)
    sizes = tuple(size)
    if d.version < dilated or str(attributes["auto_pad"]).startswith("SAME"):
        # With SAME a dilated window may hold nothing but pads.
        # What the dilated window needed is enough for the plain one.
        attributes["dilations"] = OMIT
    if d.version >= ceiled:
        # With VALID, the operator page and ONNX's shape inference disagree about ceil_mode.
        modes = (OMIT, 0) if attributes["auto_pad"] == "VALID" else (OMIT, 1, 0, 1)
        attributes["ceil_mode"] = d.attribute("ceil_mode", modes)
    lead = (d.dim("X", 0, (1, 2, 3, 0), rank=rank), d.dim("X", 1, d.widths(FULL_DIMS), rank=rank))
    return d.tensor("X", dtype, (*lead, *sizes), **how), attributes


@space("MaxPool", EXACT, without=_NAN)
def max_pool(d: Draw) -> Layer:
    """Indices only on data without equals, whose order the page leaves open."""
    indices = d.version >= 8 and d.present("Indices")
    dtype = d.dtype("T", set(d.dtypes("T")) & {"float32", "float64"} if indices else None)
    x, attributes = _pooled(d, dtype, 10, 10, kind="normal" if indices else None)
    if indices:
        attributes["storage_order"] = d.attribute("storage_order", (OMIT, 0, 1))
    return Layer((x,), attributes, (True, True) if indices else (True,))


@space("AveragePool", Accumulation(_window, exact=False))
def average_pool(d: Draw) -> Layer:
    """Pads count or do not; what ceil_mode adds beyond them never does."""
    x, attributes = _pooled(d, d.dtype("T"), 19, 10)
    if d.version >= 7:
        attributes["count_include_pad"] = d.attribute("count_include_pad", (OMIT, 0, 1))
    return Layer((x,), attributes)


@space("LpPool", Root(_window, exact=False, ulps=8.0), since=2)
def lp_pool(d: Draw) -> Layer:
    """The root of a sum of powers."""
    x, attributes = _pooled(d, d.dtype("T"), 18, 18)
    return Layer((x,), {**attributes, "p": d.attribute("p", (OMIT, 1, 2, 3))})


def _global(op: str, tolerance: Any, **more: Any) -> None:
    @space(op, tolerance, **more)
    def draw(d: Draw) -> Layer:
        rank = d.rank("X", (4, 3, 5))
        options = ((1, 2, 3, 0), d.widths(FULL_DIMS), *(FULL_DIMS,) * (rank - 2))
        sizes = [d.dim("X", n, options[n], rank=rank) for n in range(rank)]
        attributes = {"p": d.attribute("p", (OMIT, 1, 2, 3))} if "p" in d.spec.schema.attributes else {}
        return Layer((d.tensor("X", d.dtype("T"), sizes),), attributes)


_global("GlobalAveragePool", Accumulation(_image, exact=False))
_global("GlobalMaxPool", EXACT, without=_NAN)
_global("GlobalLpPool", Root(_image, exact=False, ulps=8.0), since=2)


@space("MaxUnpool", EXACT, without=_NAN)
def max_unpool(d: Draw) -> Layer:
    """Indices as MaxPool gives them: one place in each window, none twice."""
    rank = d.rank("X", (4, 3))
    spatial = rank - 2
    lead = (d.choose((1, 2)), d.choose((1, 2, 3)))
    sizes = tuple(d.dim("X", 2 + n, (1, 2, 3), rank=rank) for n in range(spatial))
    kernel = d.ints("kernel_shape", spatial, (2, 1, 3))
    whole = tuple(s * k for s, k in zip(sizes, kernel))
    given = whole
    output_shape = None
    if d.present("output_shape"):
        given = tuple(w + d.choose((0, 1)) for w in whole)
        output_shape = d.data("output_shape", "int64", (*lead, *given))
    rng = np.random.default_rng(d.integer(0, 99))
    shape = (*lead, *sizes)
    places = np.empty(shape, np.int64)
    for at in np.ndindex(*shape):
        spot = [p * k + int(rng.integers(k)) for p, k in zip(at[2:], kernel)]
        # Indices count elements of the tensor that was pooled.
        places[at] = np.ravel_multi_index((*at[:2], *spot), (*lead, *whole))
    index = Operand("int64", shape, "normal", tuple(places.reshape(-1).tolist()), d.constant("I"))
    attributes = {"kernel_shape": kernel, "strides": kernel, "pads": d.choose((OMIT, (0,) * (2 * spatial)))}
    return Layer((d.tensor("X", d.dtype("T1"), shape), index, output_shape), attributes)


def _regions(
    d: Draw, count: int, height: int, width: int, scale: float, step: float, least: int = 1
) -> list[list[float]]:
    """Corners x1, y1, x2, y2 inside the image, on a grid of ``step``, before scaling; at least ``least`` steps wide."""
    found = []
    for _ in range(count):
        corners = []
        for size in (width, height):
            most = int((size - 1) / step)
            low = d.integer(0, most - least)
            high = d.integer(low + least, most)
            corners.append((low * step / scale, high * step / scale))
        (x1, x2), (y1, y2) = corners
        found.append([x1, y1, x2, y2])
    return found


@space("MaxRoiPool", EXACT, without=_NAN)
def max_roi_pool(d: Draw) -> Layer:
    """Regions [batch index, x1, y1, x2, y2] on whole pixels after scaling."""
    dtype = d.dtype("T")
    shape = (d.choose((1, 2)), d.choose((1, 3)), d.choose((5, 7, 3)), d.choose((5, 7, 3)))
    scale = d.attribute("spatial_scale", (OMIT, 0.5, 2.0))
    boxes = _regions(d, d.choose((1, 2, 3)), shape[2], shape[3], 1.0 if scale is OMIT else scale, 1.0)
    rows = [float(v) for box in boxes for v in (d.integer(0, shape[0] - 1), *box)]
    rois = Operand(dtype, (len(boxes), 5), "normal", tuple(rows), d.constant("rois"))
    # A power of two: bin borders are exact in every precision.
    pooled = (d.choose((1, 2, 4)), d.choose((1, 2, 4)))
    return Layer((d.tensor("X", dtype, shape), rois), {"pooled_shape": pooled, "spatial_scale": scale})


def _sampled(e: Evidence) -> float:
    """Coordinates are rounded at the image's size."""
    return greatest(e.inputs[0]) * 16


@space(
    "RoiAlign",
    Conditioned(
        lambda case: 16,
        "bilinear weights from rounded coordinates, then a mean",
        magnitude=_sampled,
        fixed=(1,),
    ),
    since=16,
)
def roi_align(d: Draw) -> Layer:
    """Bilinear samples of regions; fractions are dyadic, so that no border falls between two precisions.

    A region may be empty where the number of samples is given; an adaptive number would be none, of which the page does
    not say the mean, nor how large output_half_pixel makes an empty region.
    """
    dtype = d.dtype("T1")
    shape = (d.choose((1, 2)), d.choose((1, 3)), d.choose((5, 7, 3)), d.choose((5, 7, 3)))
    scale = d.attribute("spatial_scale", (OMIT, 0.5, 2.0))
    samples = d.attribute("sampling_ratio", (OMIT, 0, 1, 2))
    mode = d.attribute("coordinate_transformation_mode", (OMIT, "half_pixel", "output_half_pixel"))
    least = 1 if samples in (OMIT, 0) or mode == "output_half_pixel" else 0
    boxes = _regions(d, d.choose((1, 2, 3)), shape[2], shape[3], 1.0 if scale is OMIT else scale, 0.5, least)
    rois = Operand(
        dtype, (len(boxes), 4), "normal", tuple(v for box in boxes for v in box), d.constant("rois")
    )
    batches = d.data("batch_indices", "int64", [d.integer(0, shape[0] - 1) for _ in boxes])
    attributes = {
        "spatial_scale": scale,
        "output_height": d.attribute("output_height", (OMIT, 1, 2, 4)),
        "output_width": d.attribute("output_width", (OMIT, 1, 2, 4)),
        "sampling_ratio": samples,
        "mode": d.attribute("mode", (OMIT, "avg", "max")),
        "coordinate_transformation_mode": mode,
    }
    return Layer((d.tensor("X", dtype, shape, special=False), rois, batches), attributes)
