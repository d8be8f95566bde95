"""Activations and elementary functions as the library's eltwise algorithms, alone or as post-ops."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from orpheus_core.plugin import Problem
from orpheus_onednn import dnnl
from orpheus_onednn.call import Refusal

#: Algorithm, alpha, beta.
Eltwise: TypeAlias = "tuple[int, float, float]"
_ELU = 34

#: ONNX operator -> its parameters, as ops.activations orders them -> algorithms one after the other.
CHAINS: dict[str, Callable[..., list[Eltwise]]] = {
    "Relu": lambda: [(32, 0, 0)],
    "LeakyRelu": lambda alpha: [(32, alpha, 0)],
    "Clip": lambda low, high: [(46, low, high)],
    "Sigmoid": lambda: [(41, 0, 0)],
    "Tanh": lambda: [(33, 0, 0)],
    "HardSigmoid": lambda alpha, beta: [(40, alpha, beta)],
    "HardSwish": lambda: [(52, 1 / 6, 0.5)],
    "Swish": lambda alpha: [(44, alpha, 0)],
    "Elu": lambda alpha: [(_ELU, alpha, 0)],
    "Celu": lambda alpha: [(dnnl.LINEAR, 1 / alpha, 0), (_ELU, 1, 0), (dnnl.LINEAR, alpha, 0)],
    "Selu": lambda alpha, gamma: [(_ELU, alpha, 0), (dnnl.LINEAR, gamma, 0)],
    "Gelu": lambda tanh: [(43 if tanh else 49, 0, 0)],
    "Mish": lambda: [(51, 0, 0)],
    "Softplus": lambda: [(39, 1, 0)],
}
#: Functions that are no activations of fused operators.
FUNCTIONS: dict[str, list[Eltwise]] = {
    "Exp": [(42, 0, 0)], "Abs": [(36, 0, 0)], "Neg": [(dnnl.LINEAR, -1, 0)], "Sqrt": [(37, 0, 0)],
    "Log": [(45, 0, 0)], "Round": [(50, 0, 0)], "Reciprocal": [(48, 1, -1)],
}  # fmt: skip
EXACT = ("Relu", "Clip", "Abs", "Neg", "Round")


def chain(name: str, parameters: Sequence[float]) -> list[Eltwise]:
    """The algorithms of an activation, none for ""; Refusal when the library has none."""
    if not name:
        return []
    if name not in CHAINS:
        raise Refusal(f"oneDNN has no {name}")
    if any(math.isnan(p) for p in parameters) or (name == "Celu" and not parameters[0]):
        raise Refusal(f"needs parameters of {name} that are numbers, and not 0 for Celu")
    return CHAINS[name](*parameters)


def fused(problem: Problem) -> list[tuple[Any, ...]]:
    """The post-ops of a fused operator's activation."""
    name, parameters = (
        problem.attributes.get("activation", ""),
        problem.attributes.get("activation_params", ()),
    )
    return [("eltwise", *step) for step in chain(str(name), parameters)]


def of_node(problem: Problem) -> list[Eltwise]:
    """The algorithms of a node that is an activation or function of its first input."""
    if problem.op in FUNCTIONS:
        return FUNCTIONS[problem.op]
    if problem.op == "Clip":
        return chain("Clip", [_bound(problem, 1, "min", -math.inf), _bound(problem, 2, "max", math.inf)])
    if problem.op == "Gelu":
        return chain("Gelu", [problem.attributes["approximate"] == "tanh"])
    names = {"HardSigmoid": ("alpha", "beta"), "Selu": ("alpha", "gamma")}.get(problem.op, ("alpha",))
    return chain(problem.op, [float(problem.attributes[n]) for n in names if n in problem.attributes])


def _bound(problem: Problem, index: int, name: str, missing: float) -> float:
    if index < len(problem.inputs) and problem.inputs[index] is not None:
        if index not in problem.constants:
            raise Refusal(f"needs a constant {name}")
        return float(problem.constants[index].reshape(()))
    return float(problem.attributes.get(name, missing))
