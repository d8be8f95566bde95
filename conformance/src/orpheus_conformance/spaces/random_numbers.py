"""Random operators and Dropout: judged by type, shape, range, moments and the seed, as no two generators agree."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.distribution import Distribution, Moments
from orpheus_conformance.draw import Draw
from orpheus_conformance.space import OMIT, Layer, space
from orpheus_conformance.spaces.elementwise import RANKS
from orpheus_conformance.tolerance import MOVEMENT, Tolerance
from orpheus_core.types import DType

_WITHOUT = {
    "exact": "random numbers are no sums of integers",
    "metamorphic": "two calls may differ",
    "concurrency": "two calls may differ",
    "special": "takes no special values",
}
_SHAPES = ((40, 50), (3, 5), (7,), (1,), (0, 3), (2, 3, 100))
_SEEDS = (1.0, 0.0, 42.0, 3.5, OMIT)


def _uniform(case: Case, arrays: tuple[Any, ...]) -> Moments:
    low, high = case.attributes.get("low", 0.0), case.attributes.get("high", 1.0)
    return Moments((low + high) / 2, (high - low) / np.sqrt(12), low, high)


def _normal(case: Case, arrays: tuple[Any, ...]) -> Moments:
    return Moments(case.attributes.get("mean", 0.0), case.attributes.get("scale", 1.0))


def _generator(op: str, moments: Any, parameters: dict[str, tuple[Any, ...]]) -> None:
    like = op.endswith("Like")

    @space(op, Distribution(moments), without=_WITHOUT)
    def draw(d: Draw) -> Layer:
        attributes: dict[str, Any] = {n: d.attribute(n, (OMIT, *v)) for n, v in parameters.items()}
        attributes["seed"] = d.attribute("seed", _SEEDS)
        shape = d.choose(_SHAPES)
        target = d.dtype("T2" if like else "T")
        attributes["dtype"] = DType(target).onnx
        if not like:
            attributes["shape"] = shape
            if target == "float32":
                attributes["dtype"] = d.choose((attributes["dtype"], OMIT))
            return Layer((), attributes)
        source = d.dtype("T1", d.dtypes("T1") - {"string", "complex64", "complex128"})
        if source in d.dtypes("T2"):
            attributes["dtype"] = d.choose((OMIT, attributes["dtype"]))
        return Layer((d.tensor("input", source, shape),), attributes)


_LIMITS = {"low": (-2.0, 0.5), "high": (1.5, 4.0)}
_BELL = {"mean": (3.0, -1.0), "scale": (0.5, 2.0)}
_generator("RandomUniform", _uniform, _LIMITS)
_generator("RandomUniformLike", _uniform, _LIMITS)
_generator("RandomNormal", _normal, _BELL)
_generator("RandomNormalLike", _normal, _BELL)


def _coin(case: Case, arrays: tuple[Any, ...]) -> Moments:
    p = np.asarray(arrays[0]).astype(np.float64)
    return Moments(p, np.sqrt(p * (1 - p)), 0, 1, (0.0, 1.0))


@space("Bernoulli", Distribution(_coin), without=_WITHOUT)
def bernoulli(d: Draw) -> Layer:
    """One with the probability that each element gives."""
    x = d.tensor("input", d.dtype("T1"), d.choose(_SHAPES), kind="normal", low=0.0, high=1.0)
    target = d.choose((OMIT, *sorted(d.dtypes("T2"))))
    dtype = OMIT if target is OMIT else DType(target).onnx
    return Layer((x,), {"dtype": dtype, "seed": d.attribute("seed", _SEEDS)})


def _classes(case: Case, arrays: tuple[Any, ...]) -> Moments:
    logits = np.asarray(arrays[0]).astype(np.float64)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    number = np.arange(logits.shape[1])
    mean = weights @ number
    deviation = np.sqrt(np.maximum(weights @ number**2 - mean**2, 0))
    values = tuple(float(n) for n in number)
    return Moments(mean[:, None], deviation[:, None], 0, logits.shape[1] - 1, values)


@space("Multinomial", Distribution(_classes), without=_WITHOUT)
def multinomial(d: Draw) -> Layer:
    """Class numbers [batch, samples] by log-probabilities [batch, classes]."""
    x = d.tensor("input", d.dtype("T1"), (d.choose((2, 1, 3)), d.choose((3, 1, 2, 7))), kind="normal")
    attributes = {
        "sample_size": d.attribute("sample_size", (OMIT, 1, 5, 500)),
        "dtype": d.choose((OMIT, *(DType(t).onnx for t in sorted(d.dtypes("T2"))))),
        "seed": d.attribute("seed", _SEEDS),
    }
    return Layer((x,), attributes)


def _ratio(case: Case) -> float:
    ratio = case.inputs[1] if len(case.inputs) > 1 else None
    return 0.5 if not isinstance(ratio, Operand) or ratio.data is None else float(ratio.data[0])


def _kept(case: Case, arrays: tuple[Any, ...]) -> Moments:
    """Each element x is 0 or x / (1 - p): its mean is x."""
    x, p = np.asarray(arrays[0]).astype(np.float64), _ratio(case)
    return Moments(x, np.abs(x) * np.sqrt(p / (1 - p)))


def _masked(arrays: tuple[Any, ...], outputs: Any) -> str:
    if len(outputs) < 2:
        return ""
    y, mask = (np.asarray(o).astype(np.float64) for o in outputs[:2])
    return "an element that the mask drops is not zero" if (y[mask == 0] != 0).any() else ""


def _dropout_tolerance(case: Case) -> Tolerance:
    training = case.inputs[2] if len(case.inputs) > 2 else None
    active = isinstance(training, Operand) and training.data == (True,) and _ratio(case) > 0
    return Distribution(_kept, _masked) if active else MOVEMENT


@space(
    "Dropout",
    _dropout_tolerance,
    since=12,
    without=dict.fromkeys(("metamorphic", "concurrency"), "in training mode two calls may differ"),
)
def dropout(d: Draw) -> Layer:
    """The identity, and in training mode zeros by chance, the rest scaled up."""
    dtype = d.dtype("T", {"float32", "float64", "float16", "bfloat16"})
    training = d.data("training_mode", "bool", d.flag()) if d.present("training_mode") else None
    ratio = (
        d.data("ratio", d.dtype("T1", {"float32", "float16"}), d.choose((0.5, 0.25, 0.0)))
        if d.flag()
        else None
    )
    active = training is not None and training.data == (True,)
    shape = d.choose(_SHAPES) if active else d.shape("data", RANKS)
    x = d.tensor("data", dtype, shape, special=not active, kind="normal" if active else None)
    outputs = (True, True) if d.present("mask") else (True,)
    return Layer((x, ratio, training), {"seed": d.attribute("seed", (OMIT, 3))}, outputs)
