"""Conv and FusedConv: ranks 1 to 3, groups, strides, dilations, every kind of padding, epilogues."""

from __future__ import annotations

import math
from typing import Any

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.tolerance import Accumulation, Tolerance

#: Activation -> (parameters, whether exact on integers, its greatest slope).
ACTIVATIONS: dict[str, tuple[tuple[float, ...], bool, float]] = {
    "": ((), True, 1.0),
    "Relu": ((), True, 1.0),
    "Clip": ((-2.0, 3.0), True, 1.0),
    "LeakyRelu": ((0.125,), True, 1.0),
    "Sigmoid": ((), False, 1.0),
    "Tanh": ((), False, 1.0),
    "HardSwish": ((), False, 1.5),
    "Swish": ((1.0,), False, 1.1),
    "Elu": ((1.0,), False, 1.0),
}


def epilogue_tolerance(case: Case, length: Any, **attributes: Any) -> Tolerance:
    """The bound of a sum of products with an activation after it."""
    name = str(case.attributes.get("activation", ""))
    _, exact, slope = ACTIVATIONS[name]
    off = {"activation": "", "activation_params": ()} if "activation" in case.attributes else {}
    return Accumulation(length, exact, {**off, **attributes}, ulps=0.0 if exact else 8.0, slope=slope)


def draw_activation(d: Draw) -> dict[str, Any]:
    """Attributes of a fused operator's activation."""
    exact = d.kind == "small"
    name = d.attribute("activation", [n for n in ACTIVATIONS if ACTIVATIONS[n][1] or not exact])
    if name is OMIT or name not in ACTIVATIONS:
        return {}
    return {"activation": name, "activation_params": ACTIVATIONS[name][0]}


def _length(case: Case) -> int:
    weights = case.inputs[1]
    assert isinstance(weights, Operand)
    return math.prod(weights.shape[1:]) + len(case.inputs) - 2


def _tolerance(case: Case) -> Tolerance:
    return epilogue_tolerance(case, _length)


def window(
    d: Draw, rank: int, x: str = "X", w: str = "W"
) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Input size and window size of each spatial axis, and the attributes, so that the output has no negative size.

    ``x`` and ``w`` are the operator's names of the operands, which rules speak of.
    """
    spatial = rank - 2
    kernel = d.ints("kernel_shape", spatial, (1, 2, 3))
    kernel = tuple(d.dim(w, 2 + i, (k,), rank=rank) for i, k in enumerate(kernel))
    strides = d.ints("strides", spatial, (1, 2, 3))
    dilations = d.ints("dilations", spatial, (1, 2))
    auto = d.attribute("auto_pad", ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER", "NOTSET"))
    # A window never starts in the pads only.
    pads = tuple(min(p, k - 1) for p, k in zip(d.ints("pads", 2 * spatial, (0, 1, 2)), kernel * 2))
    if auto != "NOTSET":
        pads = (0,) * (2 * spatial)
    spans = [(k - 1) * r + 1 for k, r in zip(kernel, dilations)]
    least = [
        1 if auto.startswith("SAME") else max(1, s - pads[i] - pads[i + spatial]) for i, s in enumerate(spans)
    ]
    usual = (*FULL_DIMS, 11)
    options = [*(usual,) * (spatial - 1), d.long(usual)]
    sizes = tuple(
        d.dim(x, 2 + i, sorted({low, *(n for n in options[i] if n >= low)}), rank=rank)
        for i, low in enumerate(least)
    )
    attributes = {
        "kernel_shape": d.maybe("kernel_shape", kernel, kernel),
        "strides": d.maybe("strides", strides, (1,) * spatial),
        "dilations": d.maybe("dilations", dilations, (1,) * spatial),
        "auto_pad": d.maybe("auto_pad", auto, "NOTSET"),
        "pads": d.maybe("pads", pads, (0,) * (2 * spatial)) if auto == "NOTSET" else OMIT,
    }
    return sizes, kernel, attributes


def shapes(
    d: Draw, x: str = "X", w: str = "W", batches: tuple[int, ...] = (1, 2, 3, 0)
) -> tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]:
    """Shapes of image and weights, by the operator's names of them, and the attributes, ``group`` always given."""
    rank = d.rank(x, (4, 3, 5))
    sizes, kernel, attributes = window(d, rank, x, w)
    group = d.attribute("group", (1, 2, 3))
    whole = d.block if group > 1 and d.block > 1 and d.flag() else 0  # groups of whole blocks
    depthwise = group > 1 and not whole and d.flag()
    if depthwise:
        group = d.attribute("group", d.widths((group,)))
    widths = (whole,) if whole else (1, 2, 3) if group > 1 else d.widths((1, 2, 3))
    inner = 1 if depthwise else d.dim(w, 1, widths, rank=rank)
    channels = group * inner
    wanted = [c for c in (d.dim(x, 1, (channels,), rank=rank),) if c % group == 0]
    channels = wanted[0] if wanted else channels
    inner = channels // group
    several: tuple[int, ...] = (1, 2, 3)
    if channels == group:  # depthwise, of one channel too
        several = (d.choose((1, 1, 2, 3)),)  # mostly as many filters as channels
    elif group == 1:
        several = d.long(d.widths(several))
    filters = d.dim(w, 0, [group * n * (whole or 1) for n in several], rank=rank)
    batch = d.dim(x, 0, batches, rank=rank)
    return (batch, channels, *sizes), (filters, inner, *kernel), {**attributes, "group": group}


def _conv(d: Draw) -> tuple[list[Any], dict[str, Any], tuple[int, ...]]:
    dtype = d.dtype("T")
    x, w, attributes = shapes(d)
    inputs: list[Any] = [
        d.tensor("X", dtype, x),
        # An infinite weight meets zero pads: NaN or nothing, as one likes.
        d.tensor("W", dtype, w, special=False, constant=None),
        d.tensor("B", dtype, w[:1], constant=None) if d.present("B") else None,
    ]
    attributes["group"] = d.maybe("group", attributes["group"], 1)
    return inputs, attributes, w[:1]


def _batch(case: Case) -> tuple[dict[int, int], dict[int, int]]:
    residual = {3: 0} if len(case.inputs) > 3 and case.inputs[3] is not None else {}
    return {0: 0, **residual}, dict.fromkeys(range(len(case.outputs)), 0)


@space("Conv", _tolerance, batch=_batch)
def conv(d: Draw) -> Layer:
    """X [N, C, ...], W [M, C / group, ...], B [M]."""
    inputs, attributes, _ = _conv(d)
    return Layer(tuple(inputs), attributes)


@space("FusedConv", _tolerance, domain="ai.orpheus", batch=_batch)
def fused_conv(d: Draw) -> Layer:
    """Conv with residual, scale and shift, activation, and the sum as a second output."""
    inputs, attributes, channel = _conv(d)
    x = inputs[0]
    residual = None
    if d.present("R"):
        residual = d.tensor("R", x.dtype, _output_shape(x.shape, inputs[1].shape, attributes), constant=False)
    scaled = d.present("scale")
    pair = [
        d.tensor(n, x.dtype, channel, special=False, constant=None) if scaled else None
        for n in ("scale", "shift")
    ]
    outputs = (True, True) if d.present("S") else (True,)
    return Layer((*inputs, residual, *pair), {**attributes, **draw_activation(d)}, outputs)


def _output_shape(x: tuple[int, ...], w: tuple[int, ...], attributes: dict[str, Any]) -> tuple[int, ...]:
    spatial = len(x) - 2

    def given(name: str, default: Any) -> Any:
        value = attributes[name]
        return default if value is OMIT else value

    strides, dilations = given("strides", (1,) * spatial), given("dilations", (1,) * spatial)
    pads, auto = given("pads", (0,) * (2 * spatial)), given("auto_pad", "NOTSET")
    found = []
    for i in range(spatial):
        if auto.startswith("SAME"):
            found.append(-(-x[2 + i] // strides[i]))
        else:
            span = (w[2 + i] - 1) * dilations[i] + 1
            found.append((x[2 + i] + pads[i] + pads[i + spatial] - span) // strides[i] + 1)
    return (x[0], w[0], *found)
