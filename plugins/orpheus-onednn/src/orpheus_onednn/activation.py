"""Activations and elementary functions as the library's eltwise algorithms, alone or as post-ops; fused epilogues."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from ctypes import c_float
from typing import Any, TypeAlias

from orpheus_core.ops.activations import ACTIVATIONS, activation_of
from orpheus_core.plugin import Problem
from orpheus_core.types import layout_of
from orpheus_onednn import dnnl
from orpheus_onednn.call import Call, Md, Operand, Refusal, node_of, operand, type_of

#: Algorithm, alpha, beta.
Eltwise: TypeAlias = tuple[int, float, float]
#: Kind, algorithm, and numbers or an operand; see :class:`.call.Call`.
PostOp: TypeAlias = tuple[Any, ...]
_ELU = 34

#: ONNX operators that are an algorithm as they are. The library's logarithm is left out: it errs by 3.5e-6, of results
#: near 0 too.
SIMPLE = {"Relu": 32, "Sigmoid": 41, "Tanh": 33, "Mish": 51, "Exp": 42, "Abs": 36, "Sqrt": 37, "Round": 50}
#: Others -> their attributes, in the order of a fused operator's parameters -> algorithms one after the other.
CHAINS: dict[str, Callable[..., list[Eltwise]]] = {
    "LeakyRelu": lambda alpha: [(32, alpha, 0)],
    "Clip": lambda low, high: [(46, low, high)],
    "HardSigmoid": lambda alpha, beta: [(40, alpha, beta)],
    "HardSwish": lambda: [(52, 1 / 6, 0.5)],
    "Swish": lambda alpha: [(44, alpha, 0)],
    "Elu": lambda alpha: [(_ELU, alpha, 0)],
    "Celu": lambda alpha: [(dnnl.LINEAR, 1 / alpha, 0), (_ELU, 1, 0), (dnnl.LINEAR, alpha, 0)],
    "Selu": lambda alpha, gamma: [(_ELU, alpha, 0), (dnnl.LINEAR, gamma, 0)],
    "Gelu": lambda tanh: [(43 if tanh else 49, 0, 0)],
    "Softplus": lambda: [(39, 1, 0)],
    "Neg": lambda: [(dnnl.LINEAR, -1, 0)],
    "Reciprocal": lambda: [(48, 1, -1)],
}
EXACT = ("Relu", "Clip", "Abs", "Neg", "Round")


def _chain(name: str, parameters: Sequence[float]) -> list[PostOp]:
    """The algorithms of an activation, none for ""; Refusal when the library has none."""
    if not name:
        return []
    if name in SIMPLE:
        return [("eltwise", SIMPLE[name], 0, 0)]
    if name not in CHAINS:
        raise Refusal(f"oneDNN has no {name}")
    if any(math.isnan(p) for p in parameters) or (name == "Celu" and not parameters[0]):
        raise Refusal(f"needs parameters of {name} that are numbers, and not 0 for Celu")
    return [("eltwise", *step) for step in CHAINS[name](*parameters)]


def fused(problem: Problem) -> list[PostOp]:
    """The activation of a fused operator."""
    given: Any = problem.attributes.get("activation_params", ())
    return _chain(str(problem.attributes.get("activation", "")), given)


def with_operand(
    problem: Problem, algorithm: int, index: int, layout: str = "plain", shape: Sequence[int] | None = None
) -> list[PostOp]:
    """A sum or product with input ``index``, in this layout and seen in this shape; nothing when it is left out."""
    if type_of(problem, index) is None:
        return []
    return [("binary", algorithm, operand(problem, dnnl.SRC_1, index, layout, shape))]


def along(source: Operand, axis: int, layout: str) -> tuple[str, tuple[int, ...]]:
    """How a vector along an axis is seen: the layout, in which the library wants it, if it lies so, and its shape."""
    shape = tuple(n if i == axis else 1 for i, n in enumerate(source.md.shape))
    return ("plain" if any(n % layout_of(layout).block for n in shape[1:2]) else layout), shape


def as_call(source: Operand, result: Operand, post: Sequence[PostOp]) -> Call:
    """Post-ops as a primitive of the first, with the others behind it; a copy when there are none."""
    if not post:
        return Call("reorder", (source, result))
    (kind, algorithm, *rest), *others = post
    if source.md.shape[:1] > (1,) and {*source.md.shape[2:]} == {1} and any(o[0] == "binary" for o in others):
        raise Refusal("oneDNN's results are wrong for two values a channel of several images of one pixel")
    if kind == "binary":
        return Call("binary", (algorithm, source, *rest, result), post=tuple(others))
    numbers = map(c_float, rest)
    return Call("eltwise_forward", (dnnl.FORWARD, algorithm, source, result, *numbers), post=tuple(others))


def eltwise(problem: Problem, x: str, y: str) -> list[Call]:
    """A function of one tensor; what the library has in parts becomes post-ops."""
    found = activation_of(node_of(problem)) if problem.op in ACTIVATIONS else (problem.op, ())
    if found is None:
        raise Refusal("needs bounds of one number each, none of them infinite on the wrong side")
    source, result = operand(problem, dnnl.SRC, 0, x), operand(problem, dnnl.DST, ~0, y)
    return [as_call(source, result, _chain(*found))]


def weights(problem: Problem, md: Md) -> Operand:
    """Input 1, packed in advance when it is constant."""
    return Operand(dnnl.WEIGHTS, md, 1, problem.constants.get(1))
