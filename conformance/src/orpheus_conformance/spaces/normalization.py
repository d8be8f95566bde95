"""Normalizations: by stored statistics, over spatial axes, groups, trailing axes, neighbours."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conditioned import Conditioned, greatest
from orpheus_conformance.draw import FULL_DIMS, Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.convolution import ACTIVATIONS, draw_activation
from orpheus_conformance.tolerance import Accumulation, Evidence, Tolerance, Ulps
from orpheus_core.types import Array

_SPREAD = {
    "special": "one NaN or infinity makes a whole group NaN, in an order of operations that is not fixed"
}


def _shape(case: Case) -> tuple[int, ...]:
    x = case.inputs[0]
    assert isinstance(x, Operand)
    return x.shape


def _size(case: Case) -> int:
    return math.prod(_shape(case))


def _group(e: Evidence) -> tuple[Array, tuple[int, ...]]:
    """X, in groups where the operator has such, and the axes that its statistics run over."""
    x, op, at = np.asarray(e.inputs[0], np.float64), e.case.op, e.attributes
    if op == "GroupNormalization":
        return x.reshape(x.shape[0], at["num_groups"], -1), (2,)
    if op == "MeanVarianceNormalization":
        return x, tuple(at["axes"])
    if op in ("LayerNormalization", "RMSNormalization"):
        return x, tuple(range(at["axis"] % x.ndim, x.ndim))
    return x, tuple(n for n in range(x.ndim) if n != 1 and (n or op == "BatchNormalization"))


def _centred(e: Evidence) -> float:
    """Of x - mean, both as large as the largest x, over the least deviation of a group, and scaled."""
    x, axes = _group(e)
    if not x.size:
        return 0.0
    spread = x.var(axis=axes) if e.case.op != "RMSNormalization" else (x**2).mean(axis=axes)
    least = float(np.sqrt(spread.min() + e.attributes.get("epsilon", 1e-9)))
    scale = greatest(e.inputs[1]) if len(e.inputs) > 1 else 1.0
    shift = greatest(e.inputs[2]) if len(e.inputs) > 2 and e.inputs[2] is not None else 0.0
    if e.output == 1 and e.case.op == "LayerNormalization":
        return greatest(x)
    inverse = 1 / least if e.output == 2 else 0.0
    return greatest(x) / least * max(scale, inverse) + shift


def _affine(e: Evidence) -> Array:
    """X scale / deviation and the shift that may cancel it."""
    x, scale, shift, mean, var = e.inputs[:5]
    columns = (1, -1) + (1,) * (np.ndim(x) - 2)
    if np.ndim(x) < 2:
        columns = (1,)
    s, b, m, v = (np.abs(np.reshape(p, columns)) for p in (scale, shift, mean, var))
    return np.asarray((np.abs(x) + m) * s / np.sqrt(v) + b)


def _epsilon(d: Draw, dtype: str) -> Any:
    """A power of two, which an attribute's float32 holds exactly; the default is not, which only float64 sees."""
    return d.attribute("epsilon", (2.0**-10, 2.0**-17) if dtype == "float64" else (OMIT, 2.0**-10, 2.0**-17))


def _batch_norm_tolerance(case: Case) -> Tolerance:
    if case.attributes.get("training_mode"):
        return Conditioned(_size, "mean and variance of a batch", magnitude=_centred)
    return Ulps(6.0, "a difference, a root, a quotient, a product and a sum", magnitude=_affine)


@space("BatchNormalization", _batch_norm_tolerance, since=9)
def batch_normalization(d: Draw) -> Layer:
    """By given statistics; in training mode (from 14 on) by the batch's own, with running ones as outputs."""
    shape = d.shape("X", (4, 2, 3, 5), FULL_DIMS)
    training = d.version >= 14 and d.attribute("training_mode", (0, 1))
    dtype = d.dtype("T")
    second = d.dtype("T1", [dtype]) if d.version >= 15 else dtype
    third = d.dtype("T2", [dtype]) if d.version >= 15 else d.dtype("U", [dtype]) if d.version >= 14 else dtype
    if d.version >= 15 and not training and d.flag():
        third = second = d.dtype("T1", d.dtypes("T1") & d.dtypes("T2"))
    channels = (shape[1],)
    bounds: dict[str, Any] = {"special": False, "constant": None}
    inputs = (
        d.tensor("X", dtype, shape, special=not training),
        d.tensor("scale", second, channels, **bounds),
        d.tensor("B", second, channels, **bounds),
        d.tensor("input_mean" if d.version >= 14 else "mean", third, channels, **bounds),
        d.tensor("input_var" if d.version >= 14 else "var", third, channels, low=0.25, **bounds),
    )
    attributes: dict[str, Any] = {"epsilon": _epsilon(d, dtype)}
    if training:
        attributes.update(training_mode=1, momentum=d.attribute("momentum", (0.5, 0.75)))
    return Layer(inputs, attributes, (True, True, True) if training else (True,))


@space("InstanceNormalization", Conditioned(_size, "mean and variance over space", magnitude=_centred),
       since=6, without=_SPREAD)  # fmt: skip
def instance_normalization(d: Draw) -> Layer:
    """Each channel of each image by its own statistics."""
    shape, dtype = _spatial(d, "input"), d.dtype("T")
    pair = (d.tensor(n, dtype, (shape[1],), constant=None) for n in ("scale", "B"))
    x = d.tensor("input", dtype, shape)
    return Layer((x, *pair), {"epsilon": _epsilon(d, dtype)})


def _spatial(d: Draw, name: str) -> tuple[int, ...]:
    return (
        d.choose((1, 2, 3)),
        d.choose(FULL_DIMS),
        *(d.choose((2, 3, 5, 7)) for _ in range(d.rank(name, (4, 3, 5)) - 2)),
    )


_STASHED = "the statistics are computed in float32 (stash_type)"


@space("GroupNormalization", Conditioned(_size, _STASHED, magnitude=_centred, compute="float32"), since=21,
       without=_SPREAD)  # fmt: skip
def group_normalization(d: Draw) -> Layer:
    """Scale and bias per channel."""
    shape, dtype = list(_spatial(d, "X")), d.dtype("T")
    groups = d.attribute("num_groups", (1, 2, 3))
    shape[1] = groups * d.choose((1, 2, 3))
    pair = (d.tensor(n, dtype, (shape[1],), constant=None) for n in ("scale", "bias"))
    x = d.tensor("X", dtype, shape)
    return Layer((x, *pair), {"num_groups": groups, "epsilon": _epsilon(d, dtype)})


def _trailing(d: Draw) -> tuple[tuple[int, ...], Any, tuple[int, ...]]:
    """Shape of X, the axis attribute, and the normalized axes' shape or one that broadcasts to it or to X."""
    shape = d.shape("X", (2, 3, 1, 4), (3, 2, 5, 7))
    axis = d.choose((OMIT, d.axis(len(shape))))
    start: Any = -1 if axis is OMIT else axis
    last = shape[start:]
    if d.flag() or d.flag():
        return shape, axis, last
    return shape, axis, d.broadcastable(d.choose((last, shape)))


@space(
    "LayerNormalization", Conditioned(_size, _STASHED, magnitude=_centred, compute="float32"), without=_SPREAD
)
def layer_normalization(d: Draw) -> Layer:
    """Mean and inverse deviation are outputs too, in the stash type."""
    shape, axis, last = _trailing(d)
    dtype = d.dtype("T")
    scale = d.tensor("Scale", dtype, last, constant=None)
    shift = d.tensor("B", dtype, last, constant=None) if d.present("B") else None
    attributes = {"axis": axis, "epsilon": _epsilon(d, dtype)}
    outputs = (True, True, True) if d.present("Mean") else (True,)
    return Layer((d.tensor("X", dtype, shape), scale, shift), attributes, outputs)


@space(
    "RMSNormalization", Conditioned(_size, _STASHED, magnitude=_centred, compute="float32"), without=_SPREAD
)
def rms_normalization(d: Draw) -> Layer:
    """By the root mean square. Scale and X of one type: type inference knows no other."""
    shape, axis, last = _trailing(d)
    dtype = d.dtype("T", d.dtypes("V"))
    scale = d.tensor("scale", dtype, last, constant=None)
    attributes = {"axis": axis, "epsilon": _epsilon(d, dtype)}
    return Layer((d.tensor("X", dtype, shape), scale), attributes)


@space("MeanVarianceNormalization", Conditioned(_size, "mean and variance, the latter perhaps as E[x^2] - E[x]^2",
                                                magnitude=_centred), without=_SPREAD)  # fmt: skip
def mean_variance_normalization(d: Draw) -> Layer:
    """Over any axes, by default all but the channels of a 4-D tensor."""
    shape = d.shape("X", (4, 3, 2), (3, 2, 5, 7))
    axes = OMIT if len(shape) == 4 and d.flag() else tuple(sorted(d.subset(range(len(shape)), 1)))
    return Layer((d.tensor("X", d.dtype("T"), shape),), {"axes": axes})


@space("LpNormalization", Conditioned(_size, "a sum of powers, a root, a quotient"), without=_SPREAD)
def lp_normalization(d: Draw) -> Layer:
    """By the sum of magnitudes (p 1) or the Euclidean length (p 2) along an axis."""
    shape = d.shape("input", (2, 1, 3, 4), FULL_DIMS)
    attributes = {"axis": d.choose((OMIT, d.axis(len(shape)))), "p": d.attribute("p", (OMIT, 1, 2))}
    return Layer((d.tensor("input", d.dtype("T"), shape),), attributes)


@space("LRN", Conditioned(lambda case: int(case.attributes["size"]), "a sum of squares, a power, a quotient"),
       without=_SPREAD)  # fmt: skip
def lrn(d: Draw) -> Layer:
    """Over neighbouring channels, an odd or even number of them."""
    shape = d.shape("X", (4, 3, 2, 5), FULL_DIMS)
    attributes = {
        "size": d.attribute("size", (3, 1, 2, 5)),
        "alpha": d.attribute("alpha", (0.5, OMIT, 0.0078125)),
        "beta": d.attribute("beta", (OMIT, 0.5, 1.0)),
        "bias": d.attribute("bias", (OMIT, 2.0)),
    }
    return Layer((d.tensor("X", d.dtype("T"), shape),), attributes)


def _scale_shift_tolerance(case: Case) -> Tolerance:
    _, exact, slope = ACTIVATIONS[str(case.attributes.get("activation", ""))]
    off = {"activation": "", "activation_params": ()}
    return Accumulation(lambda case: 2, exact, off, ulps=0.0 if exact else 8.0, slope=slope)


@space("ScaleShift", _scale_shift_tolerance, domain="ai.orpheus")
def scale_shift(d: Draw) -> Layer:
    """X * scale + shift along one axis, and an activation."""
    shape, dtype = d.shape("X", (4, 2, 3, 5)), d.dtype("T")
    axis = d.choose([a for a in (1, 0, -1, -2) if -len(shape) <= a < len(shape)])
    pair = (d.tensor(n, dtype, (shape[axis],), special=False, constant=None) for n in ("scale", "shift"))
    return Layer((d.tensor("X", dtype, shape), *pair), {"axis": axis, **draw_activation(d)})
