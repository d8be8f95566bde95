"""Adagrad, Adam, Momentum: one step of an optimizer over several tensors (ai.onnx.preview.training)."""

from __future__ import annotations

from typing import Any

import numpy as np

from orpheus_core.types import Array
from orpheus_numpy.tensor._axes import scalar


def _groups(tensors: tuple[Array, ...], count: int, op: str) -> list[tuple[Array, ...]]:
    """For each optimized tensor, the tensor and its companions: the inputs list all of one kind, then the next."""
    if not tensors or len(tensors) % count:
        raise ValueError(f"{op}: {len(tensors)} tensors, needs a multiple of {count}")
    size = len(tensors) // count
    return list(zip(*(tensors[i * size : (i + 1) * size] for i in range(count))))


def _ungroup(results: list[tuple[Any, ...]], like: tuple[Array, ...]) -> tuple[Array, ...]:
    dtype = like[0].dtype
    return tuple(np.asarray(value).astype(dtype, copy=False) for kind in zip(*results) for value in kind)


def adagrad(
    rate: Array,
    step: Array,
    *tensors: Array,
    norm_coefficient: float = 0.0,
    decay_factor: float = 0.0,
    epsilon: float = 1e-6,
) -> tuple[Array, ...]:
    """ONNX Adagrad: X..., G..., H... -> new X..., new H... (Duchi, Hazan and Singer, JMLR 12, 2011)."""
    r = float(rate.reshape(())) / (1 + scalar(step, "Adagrad", "T") * decay_factor)
    results = []
    for x, gradient, h in _groups(tensors, 3, "Adagrad"):
        g = norm_coefficient * x + gradient
        h_new = h + g * g
        results.append((x - r * g / (np.sqrt(h_new) + epsilon), h_new))
    return _ungroup(results, tensors)


def adam(
    rate: Array,
    step: Array,
    *tensors: Array,
    alpha: float = 0.9,
    beta: float = 0.999,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
    epsilon: float = 1e-6,
) -> tuple[Array, ...]:
    """ONNX Adam: X..., G..., V..., H... -> new X..., new V..., new H... (Kingma and Ba, ICLR 2015)."""
    t, r = scalar(step, "Adam", "T"), rate.reshape(())
    if t > 0:
        r = r * np.sqrt(1 - beta**t) / (1 - alpha**t)
    results = []
    for x, gradient, v, h in _groups(tensors, 4, "Adam"):
        g = norm_coefficient * x + gradient
        v_new = alpha * v + (1 - alpha) * g
        h_new = beta * h + (1 - beta) * g * g
        x_new = x - r * v_new / (np.sqrt(h_new) + epsilon)
        results.append(((1 - norm_coefficient_post) * x_new, v_new, h_new))
    return _ungroup(results, tensors)


def momentum(
    rate: Array,
    step: Array,
    *tensors: Array,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
) -> tuple[Array, ...]:
    """ONNX Momentum: X..., G..., V... -> new X..., new V...; ``mode`` is standard or nesterov."""
    if mode not in ("standard", "nesterov"):
        raise ValueError(f"Momentum: mode {mode!r} is not standard or nesterov")
    r = rate.reshape(())
    scale = beta if scalar(step, "Momentum", "T") > 0 else 1.0
    results = []
    for x, gradient, v in _groups(tensors, 3, "Momentum"):
        g = norm_coefficient * x + gradient
        v_new = alpha * v + scale * g
        results.append((x - r * (v_new if mode == "standard" else g + alpha * v_new), v_new))
    return _ungroup(results, tensors)
