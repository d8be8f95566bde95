"""The cost of having a value elsewhere: measured, else what the kernel that does it says, else estimated."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from math import prod
from typing import NamedTuple, TypeAlias

import numpy as np

from orpheus_core.graph import Node, Value
from orpheus_core.ops import ORPHEUS_DOMAIN, make_node
from orpheus_core.plugin import Problem
from orpheus_core.selection.alike import judged_by
from orpheus_core.selection.candidates import Candidate, candidates, in_format, problem_of
from orpheus_core.selection.cost import ASSUMED_BANDWIDTH, ASSUMED_CALL, Source, score
from orpheus_core.selection.invoke import HOST, runtime_of
from orpheus_core.selection.measure import measure
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.reorder import convert
from orpheus_core.selection.signature import machine
from orpheus_core.types import CPU, Device, Layout, TensorType, ValueType, layout_of

#: Where and how a value lies: layout name and device.
Place: TypeAlias = tuple[str, Device]
HOME: Place = ("plain", CPU)

_UNKNOWN_BYTES = 1 << 20


class Conversions:
    """What it costs to have a value at another place, under one session's options. Costs are worked out once."""

    def __init__(self, options: SelectionOptions) -> None:
        self._options = options
        self._known: dict[tuple[ValueType, Place, Place], float] = {}
        self._reorders = judged_by(options.backends).reorders

    def seconds(self, type_: ValueType, source: Place, target: Place) -> float:
        """Seconds to have a value of this type at ``target`` as well, infinity when that cannot be."""
        if source == target:
            return 0.0
        key = (type_, source, target)
        if key not in self._known:
            self._known[key] = self._work_out(type_, source, target)
        return self._known[key]

    def _work_out(self, type_: ValueType, source: Place, target: Place) -> float:
        if not isinstance(type_, TensorType):
            return float("inf")
        if type_.static_shape is None:
            # Of unknown size: it may change devices, but no layout is offered for it.
            return _estimate(_UNKNOWN_BYTES) if source[0] == target[0] == "plain" else float("inf")
        return sum(self._leg(type_, *leg) for leg in _legs(source, target))

    def _leg(self, type_: TensorType, source: Place, target: Place) -> float:
        cache = self._options.cache
        some = cache is not None and len(cache) > 0
        measured = cache.get(conversion_key(type_, source, target)) if cache is not None and some else None
        if measured is not None:
            return measured
        if source[1] == target[1]:
            found = self.reorder(type_, source[0], target[0], source[1])
            if found is not None and found.seconds is not None:
                return found.seconds
        return _estimate(_bytes(type_, (source, target)))

    def reorder(self, type_: ValueType, start: str, goal: str, device: Device) -> Reorder | None:
        """What :func:`reorder_kernel` finds, remembered by the process as what is judged of layers."""
        key = (type_, start, goal, device, self._options.threads)
        known: Reorder | None = self._reorders.get(key)
        if known is None:
            found = reorder_kernel(type_, start, goal, device, self._options)
            if found is None:
                return None
            candidate, problem = found
            scored = score(problem, candidate, None)
            known = Reorder(candidate, problem, scored.seconds if scored.source is Source.MODEL else None)
            if known.seconds is None and candidate.kernel.cost is not None:
                return known  # it failed, which may have had a passing cause
            self._reorders[key] = known
        return known


class Reorder(NamedTuple):
    """The kernel that reorders a value, its problem in those layouts, and the seconds that its model gives, if any."""

    candidate: Candidate
    problem: Problem
    seconds: float | None


def reorder_node(value: Value, start: str, goal: str) -> Node:
    """The node that turns a value from one layout into another."""
    attributes = {"from_layout": start, "to_layout": goal}
    target = Value(f"{value.name}@{goal}", value.type)
    return make_node("Reorder", [value], [target], attributes, name=target.name, domain=ORPHEUS_DOMAIN)


def reorder_kernel(
    type_: ValueType, start: str, goal: str, device: Device, options: SelectionOptions
) -> tuple[Candidate, Problem] | None:
    """The first kernel on ``device`` that declares these layouts and takes the problem, which is in them; or None."""
    node = reorder_node(Value("", type_), start, goal)
    problem = problem_of(node, threads=options.threads)
    found, _ = candidates(problem, [b for b in options.backends if b.device == device])
    fits = (c for c in found if (c.format.input(0), c.format.output(0)) == (start, goal))
    placed = next(fits, None)
    return None if placed is None else (placed, in_format(problem, placed))


def _legs(source: Place, target: Place) -> list[tuple[Place, Place]]:
    """The single moves and reorders that lead from one place to another."""
    if source[0] == target[0] or source[1] == target[1]:
        return [(source, target)]
    between = (target[0], source[1]) if source[1] == CPU else (source[0], target[1])
    return [(source, between), (between, target)]


def _bytes(type_: TensorType, leg: tuple[Place, Place]) -> int:
    assert type_.static_shape is not None
    shapes = [layout_of(name).physical_shape(type_.static_shape) for name, _ in leg]
    return max(prod(s) for s in shapes) * type_.dtype.itemsize


def _estimate(nbytes: int) -> float:
    """Read once, write once."""
    return ASSUMED_CALL + 2 * nbytes / ASSUMED_BANDWIDTH


def conversion_key(type_: TensorType, source: Place, target: Place) -> str:
    """The cache key of one conversion on this machine."""
    plain = replace(type_, layout=Layout(), device=CPU)
    # A reorder on a device is a kernel there, and timed by its clock.
    clock = "|its clock" if source[1] == target[1] != CPU else ""
    text = f"conversion|{plain}|{source[0]}@{source[1]}|{target[0]}@{target[1]}|{machine()}{clock}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def measure_conversion(
    type_: TensorType, source: Place, target: Place, options: SelectionOptions, *, runs: int = 5
) -> float | None:
    """Seconds of one reorder, by the kernel that a plan would take, or of one move between host and device.

    None when it is neither, or when nothing here can do it.
    """
    assert type_.static_shape is not None
    shape, dtype = type_.static_shape, type_.dtype.numpy
    if source[1] == target[1]:
        found = reorder_kernel(type_, source[0], target[0], source[1], options)
        if found is not None:
            timing = measure(found[1], [found[0]], seconds=0.0, min_runs=runs, others=0)[0]
            return None if timing is None else timing.quartile
        if source[1] != CPU:
            return None
    times = []
    a = np.zeros(Layout(source[0]).physical_shape(shape), dtype)
    b = np.zeros(Layout(target[0]).physical_shape(shape), dtype)
    if source[1] == target[1]:

        def once() -> None:
            convert(a, Layout(source[0]), b, Layout(target[0]), shape)
    elif source[0] == target[0] and CPU in (source[1], target[1]):
        device = target[1] if source[1] == CPU else source[1]
        runtime = next((runtime_of(x) for x in options.backends if x.device == device), HOST)
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
    return sorted(times[1:])[runs // 4]
