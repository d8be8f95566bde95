"""Element-wise functions, softmax over flattened axes, reductions. Sources: the operators' pages in Operators.md."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.formulas import formula
from orpheus_conformance.instance import Instance
from orpheus_core.types import Array, DType

_FLOAT32_CONSTANTS = "it computes with constants or functions rounded to float32"


def _axis(instance: Instance) -> int:
    axis: Any = instance.node.attributes["axis"]
    return int(axis)


def _erf(x: Any) -> Array:
    found = [math.erf(v) for v in np.asarray(x, np.float64).reshape(-1).tolist()]
    return np.array(found, np.float64).reshape(np.shape(x))


@formula("Erf", why=_FLOAT32_CONSTANTS)
def erf(instance: Instance) -> tuple[Any, ...]:
    """The error function of the C library."""
    return (_erf(instance.arrays[0]),)


@formula("Gelu", why=_FLOAT32_CONSTANTS)
def gelu(instance: Instance) -> tuple[Any, ...]:
    """X Phi(x), or its approximation by tanh."""
    x = instance.arrays[0]
    if instance.node.attributes["approximate"] == "tanh":
        return (0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),)
    return (0.5 * x * (1 + _erf(x / math.sqrt(2))),)


@formula("HardSwish", why=_FLOAT32_CONSTANTS)
def hard_swish(instance: Instance) -> tuple[Any, ...]:
    """X max(0, min(1, x / 6 + 1 / 2))."""
    x = instance.arrays[0]
    return (x * np.maximum(0, np.minimum(1, x / 6 + 0.5)),)


@formula("Softsign", why="it fails for scalars")
def softsign(instance: Instance) -> tuple[Any, ...]:
    """X / (1 + |x|)."""
    x = instance.arrays[0]
    return (np.asarray(x / (1 + np.abs(x))),)


@formula("Mean", why="it fails where the first operand broadcasts")
def mean(instance: Instance) -> tuple[Any, ...]:
    """The sum over the number of operands."""
    total: Any = 0.0
    for x in instance.arrays:
        total = total + x
    return (np.asarray(total / len(instance.arrays)),)


def _whole(case: Case) -> bool:
    return all(isinstance(o, Operand) and not DType(o.dtype).is_float for o in case.inputs)


@formula("Pow", when=_whole, why="it computes integer powers by way of floats where the types differ")
def power(instance: Instance) -> tuple[Any, ...]:
    """Repeated multiplication, exact."""
    base, exponent = instance.arrays
    return (np.asarray(np.power(base, exponent.astype(base.dtype))),)


def _old(case: Case) -> bool:
    return case.version < 13


@formula(
    "Softmax", "LogSoftmax", "Hardmax", when=_old, why="it computes along one axis, as from version 13 on"
)
def flattened(instance: Instance) -> tuple[Any, ...]:
    """Over all axes from ``axis`` on, as one."""
    x, op = instance.arrays[0], instance.case.op
    axis = _axis(instance) % max(1, x.ndim)
    rows = x.reshape(math.prod(x.shape[:axis]), math.prod(x.shape[axis:]))
    if op == "Hardmax":
        y = np.zeros(rows.shape)
        y[np.arange(len(rows)), rows.argmax(1)] = 1
        return (y.reshape(x.shape),)
    shifted = rows - rows.max(1, keepdims=True)
    total = np.exp(shifted).sum(1, keepdims=True)
    y = shifted - np.log(total) if op == "LogSoftmax" else np.exp(shifted) / total
    return (y.reshape(x.shape),)


@formula("ReduceLogSumExp", why="it gives NaN where everything is -inf, and fails for some scalars")
def reduce_log_sum_exp(instance: Instance) -> tuple[Any, ...]:
    """Max + log(sum(exp(x - max))), the maximum taken as zero where it is not finite."""
    x, axes = _axes(instance)
    if axes == () and x.ndim and instance.node.attributes.get("noop_with_empty_axes"):
        return (x,)
    keep = bool(instance.node.attributes["keepdims"])
    top = np.max(x, axis=axes, keepdims=True, initial=-np.inf)
    top = np.where(np.isfinite(top), top, 0.0)
    y = np.log(np.sum(np.exp(x - top), axis=axes, keepdims=True)) + top
    return (np.asarray(y if keep else np.squeeze(y, axis=axes)),)


def _axes(instance: Instance) -> tuple[Array, tuple[int, ...]]:
    """The tensor and its reduced axes; () where nothing is to be done."""
    x = instance.arrays[0]
    given = instance.arrays[1] if len(instance.arrays) > 1 else None
    if given is None or not given.size:
        return x, () if instance.node.attributes.get("noop_with_empty_axes") else tuple(range(x.ndim))
    return x, tuple(int(a) % x.ndim for a in given)


@formula("AffineGrid", why=_FLOAT32_CONSTANTS)
def affine_grid(instance: Instance) -> tuple[Any, ...]:
    """Each point of the grid [-1, 1]^n, last axis first, with a one appended, times theta."""
    theta, size = instance.arrays
    sizes = [int(n) for n in size[2:]]
    if instance.node.attributes["align_corners"]:
        lines = [np.linspace(-1, 1, n) if n > 1 else np.zeros(1) - (n == 1) for n in sizes]
    else:
        lines = [(2 * np.arange(n) + 1) / n - 1 for n in sizes]
    points = np.stack([*list(np.meshgrid(*lines, indexing="ij"))[::-1], np.ones(sizes)], axis=-1)
    return (np.einsum("...k,bck->b...c", points, theta),)
