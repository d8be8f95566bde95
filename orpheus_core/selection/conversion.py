"""The cost of having a value elsewhere or otherwise: measured where somebody measured it, else estimated."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from math import prod
from typing import TypeAlias

import numpy as np

from orpheus_core.plugin import Backend
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.cost import ASSUMED_BANDWIDTH, ASSUMED_CALL
from orpheus_core.selection.invoke import HOST, runtime_of
from orpheus_core.selection.reorder import convert
from orpheus_core.selection.signature import machine
from orpheus_core.types import CPU, Device, Layout, TensorType, ValueType

#: Where and how a value lies: layout name and device.
Place: TypeAlias = tuple[str, Device]
HOME: Place = ("plain", CPU)

_UNKNOWN_BYTES = 1 << 20


def place_seconds(type_: ValueType, source: Place, target: Place, cache: MeasurementCache | None) -> float:
    """Seconds to have a value of this type at ``target`` as well, infinity when that cannot be."""
    if source == target:
        return 0.0
    if not isinstance(type_, TensorType):
        return float("inf")
    if type_.static_shape is None:
        # Of unknown size: it may change devices, but no layout is offered for it.
        return _estimate(_UNKNOWN_BYTES) if source[0] == target[0] == "plain" else float("inf")
    total = 0.0
    for leg in _legs(source, target):
        known = None if cache is None else cache.get(conversion_key(type_, *leg))
        total += known if known is not None else _estimate(_bytes(type_, leg))
    return total


def _legs(source: Place, target: Place) -> list[tuple[Place, Place]]:
    """The single moves and reorders that lead from one place to another."""
    if source[0] == target[0] or source[1] == target[1]:
        return [(source, target)]
    between = (target[0], source[1]) if source[1] == CPU else (source[0], target[1])
    return [(source, between), (between, target)]


def _bytes(type_: TensorType, leg: tuple[Place, Place]) -> int:
    assert type_.static_shape is not None
    shapes = [Layout(name).physical_shape(type_.static_shape) for name, _ in leg]
    return max(prod(s) for s in shapes) * type_.dtype.itemsize


def _estimate(nbytes: int) -> float:
    """Read once, write once."""
    return ASSUMED_CALL + 2 * nbytes / ASSUMED_BANDWIDTH


def conversion_key(type_: TensorType, source: Place, target: Place) -> str:
    """The cache key of one conversion on this machine."""
    plain = replace(type_, layout=Layout(), device=CPU)
    text = f"conversion|{plain}|{source[0]}@{source[1]}|{target[0]}@{target[1]}|{machine()}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def measure_conversion(
    type_: TensorType, source: Place, target: Place, backends: tuple[Backend, ...], *, runs: int = 5
) -> float | None:
    """Median seconds of one move between host and device, or one reorder on the host; None when it is neither."""
    assert type_.static_shape is not None
    shape, dtype = type_.static_shape, type_.dtype.numpy
    times = []
    a = np.zeros(Layout(source[0]).physical_shape(shape), dtype)
    b = np.zeros(Layout(target[0]).physical_shape(shape), dtype)
    if source[1] == target[1] == CPU:

        def once() -> None:
            convert(a, Layout(source[0]), b, Layout(target[0]), shape)
    elif source[0] == target[0] and CPU in (source[1], target[1]):
        device = target[1] if source[1] == CPU else source[1]
        runtime = next((runtime_of(x) for x in backends if x.device == device), HOST)
        remote = runtime.empty(a.shape, dtype)
        up = source[1] == CPU

        def once() -> None:
            if up:
                runtime.upload(a, remote)
            else:
                runtime.download(remote, b)
            runtime.synchronize()
    else:
        return None
    for _ in range(runs + 1):
        start = time.perf_counter()
        once()
        times.append(time.perf_counter() - start)
    return sorted(times[1:])[runs // 2]
