"""What is related to Conv: its transpose, deformed and causal forms, and Col2Im."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned, greatest
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import Accumulation, Evidence, Tolerance


def _taps(case: Case) -> int:
    x, w = case.inputs[:2]
    assert isinstance(x, Operand) and isinstance(w, Operand)
    return max(x.shape[1], math.prod(w.shape[1:])) * math.prod(w.shape[2:]) + 1


_ONE_SIDE = "pads and strides put zeros between elements, and what zero times infinity adds is left open"


@space("ConvTranspose", Accumulation(_taps), without={"special": _ONE_SIDE})
def conv_transpose(d: Draw) -> Layer:
    """X [N, C, ...], W [C, M / group, ...]; the output's size from pads, auto_pad or output_shape.

    No output_padding with SAME: the page makes the output input * stride, ONNX's shape inference adds the padding.
    """
    dtype, rank = d.dtype("T"), d.rank("X", (4, 3, 5))
    spatial = rank - 2
    kernel = d.ints("kernel_shape", spatial, (1, 2, 3))
    strides = d.ints("strides", spatial, (1, 2, 3))
    dilations = d.ints("dilations", spatial, (1, 2))
    group = d.attribute("group", (1, 2, 3))
    widths = d.widths((1, 2, 3)) if group == 1 else (1, 2, 3)
    inner = max(1, d.dim("X", 1, [group * n for n in widths], rank=rank) // group)
    filters = d.choose(widths)
    sizes = tuple(d.dim("X", 2 + n, (1, 2, 3, 5), rank=rank) for n in range(spatial))
    spans = [(k - 1) * r + 1 for k, r in zip(kernel, dilations)]
    # An extra row at the end stays below the stride or the dilation.
    extra = tuple(
        min(e, max(s, r) - 1)
        for e, s, r in zip(d.ints("output_padding", spatial, (0, 1)), strides, dilations)
    )
    full = [(n - 1) * s + span for n, s, span in zip(sizes, strides, spans)]
    attributes: dict[str, Any] = {
        "kernel_shape": d.maybe("kernel_shape", kernel, kernel),
        "strides": d.maybe("strides", strides, (1,) * spatial),
        "dilations": d.maybe("dilations", dilations, (1,) * spatial),
        "group": d.maybe("group", group, 1),
        "output_padding": d.maybe("output_padding", extra, (0,) * spatial),
    }
    auto = d.attribute("auto_pad", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"))
    attributes["auto_pad"] = d.maybe("auto_pad", auto, "NOTSET")
    if auto == "NOTSET":
        pads = d.ints("pads", 2 * spatial, (0, 1, 2))
        kept = [max(0, min(p, full[n % spatial] // 3)) for n, p in enumerate(pads)]
        attributes["pads"] = d.maybe("pads", tuple(kept), (0,) * (2 * spatial))
        if d.flag():
            attributes.update(pads=OMIT, output_padding=OMIT)
            attributes["output_shape"] = tuple(max(n, f - d.choose((0, 1, 2))) for n, f in zip(sizes, full))
    elif auto.startswith("SAME"):
        # A window narrower than the stride would need negative pads, of which the page says nothing.
        strides = tuple(min(s, span) for s, span in zip(strides, spans))
        attributes.update(output_padding=OMIT, strides=strides)
    x = d.tensor("X", dtype, (d.dim("X", 0, (1, 2, 0), rank=rank), group * inner, *sizes))
    w = d.tensor("W", dtype, (group * inner, filters, *kernel), special=False, constant=None)
    b = d.tensor("B", dtype, (group * filters,), constant=None) if d.present("B") else None
    return Layer((x, w, b), attributes)


def _bent(e: Evidence) -> float:
    """Each weight times the largest element of X."""
    x, w = e.inputs[:2]
    return float(greatest(x) * greatest(w) * math.prod(np.shape(w)[1:]))


@space(
    "DeformConv",
    Conditioned(
        _taps,
        "bilinear weights from coordinates, which the oracle has in float32; sums of products",
        magnitude=_bent,
        compute="float32",
    ),
    without={"special": _ONE_SIDE},
)
def deform_conv(d: Draw) -> Layer:
    """Each tap of the window is moved by an offset and, with a mask, weighted."""
    dtype = d.dtype("T")
    kernel, strides, dilations = (
        d.ints(n, 2, o) for n, o in (("kernel_shape", (1, 2, 3)), ("strides", (1, 2)), ("dilations", (1, 2)))
    )
    pads = d.ints("pads", 4, (0, 1))
    group, offsets = d.attribute("group", (1, 2)), d.attribute("offset_group", (1, 2))
    inner = d.choose((1, 2, 3)) * (2 if offsets > 1 and group == 1 else 1)
    channels, filters = group * inner, group * d.choose((1, 2))
    channels += -channels % offsets * 1 if group == 1 else 0
    inner = channels // group
    spans = [(k - 1) * r + 1 for k, r in zip(kernel, dilations)]
    sizes = tuple(max(d.choose((5, 3, 4)), s) for s in spans)
    out = tuple(
        (n + pads[i] + pads[i + 2] - s) // t + 1 for i, (n, s, t) in enumerate(zip(sizes, spans, strides))
    )
    batch, taps = d.choose((1, 2)), kernel[0] * kernel[1]
    # Normal offsets are no whole numbers: the derivative jumps there, the value does not.
    inputs = (
        d.tensor("X", dtype, (batch, channels, *sizes)),
        d.tensor("W", dtype, (filters, inner, *kernel), constant=None),
        d.tensor("offset", dtype, (batch, offsets * taps * 2, *out)),
        d.tensor("B", dtype, (filters,), constant=None) if d.present("B") else None,
        d.tensor("mask", dtype, (batch, offsets * taps, *out)) if d.present("mask") else None,
    )
    attributes = {
        "kernel_shape": d.choose((OMIT, kernel)),
        "strides": strides,
        "dilations": dilations,
        "pads": pads,
        "group": d.maybe("group", group, 1),
        "offset_group": d.maybe("offset_group", offsets, 1),
    }
    return Layer(inputs, attributes)


def _causal_length(case: Case) -> int:
    w = case.inputs[1]
    assert isinstance(w, Operand)
    return w.shape[2] + 1


def _causal_tolerance(case: Case) -> Tolerance:
    if case.attributes.get("activation", "none") == "none":
        return Accumulation(_causal_length)
    return Conditioned(_causal_length, "a sum of products and a Swish", ulps=16.0, magnitude=_bent)


@space("CausalConvWithState", _causal_tolerance)
def causal_conv_with_state(d: Draw) -> Layer:
    """Depthwise, over the past only; the last taps - 1 positions are the state."""
    dtype = d.dtype("T")
    batch, channels, length = d.choose((1, 2)), d.choose((1, 2, 3)), d.choose((5, 1, 2, 7))
    taps = d.choose((3, 1, 2, 4))
    inputs = (
        d.tensor("input", dtype, (batch, channels, length)),
        d.tensor("weight", dtype, (channels, 1, taps), special=False, constant=None),
        d.tensor("bias", dtype, (channels,), special=False, constant=None) if d.present("bias") else None,
        d.tensor("past_state", dtype, (batch, channels, taps - 1)) if d.present("past_state") else None,
    )
    activations = (OMIT, "none") if d.kind == "small" else (OMIT, "none", "silu", "swish")
    return Layer(inputs, {"activation": d.attribute("activation", activations)}, (True, True))


def _overlap(case: Case) -> int:
    block = case.inputs[2]
    assert isinstance(block, Operand) and block.data is not None
    return math.prod(block.data)


@space("Col2Im", Accumulation(_overlap))
def col2im(d: Draw) -> Layer:
    """Columns [N, C * block, L] added into images of any rank."""
    spatial = d.choose((2, 1, 3))
    block = tuple(d.choose((1, 2, 3)) for _ in range(spatial))
    strides, dilations = d.ints("strides", spatial, (1, 2)), d.ints("dilations", spatial, (1, 2))
    pads = tuple(min(p, k - 1) for p, k in zip(d.ints("pads", 2 * spatial, (0, 1)), block * 2))
    spans = [(k - 1) * r + 1 for k, r in zip(block, dilations)]
    image = tuple(max(d.choose((3, 2, 5, 7)), s) for s in spans)
    blocks = [
        (n + pads[i] + pads[i + spatial] - s) // t + 1
        for i, (n, s, t) in enumerate(zip(image, spans, strides))
    ]
    real = {t for t in d.dtypes("T") if t.startswith(("float", "bfloat", "int", "uint"))}
    shape = (d.choose((1, 2)), d.choose((1, 2, 3)) * math.prod(block), math.prod(blocks))
    x = d.tensor("input", d.dtype("T", real), shape, special=False)
    attributes = {
        "strides": d.maybe("strides", strides, (1,) * spatial),
        "dilations": d.maybe("dilations", dilations, (1,) * spatial),
        "pads": d.maybe("pads", pads, (0,) * (2 * spatial)),
    }
    return Layer(
        (x, d.data("image_shape", "int64", image), d.data("block_shape", "int64", block)), attributes
    )
