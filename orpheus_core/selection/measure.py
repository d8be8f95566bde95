"""Measuring candidates: the time of one layer as it will run, activations warm, weights as cold as they will be.

In a network a layer's weights were last touched one inference ago, and everything else of the network since; its input
was written a moment ago. So before each timed call as many bytes are read as the rest of the network touches, and then
the layer's activations. A backend's threads have just computed the layer before, and wait awake: with more than one, a
copy of the cheapest candidate is called before each timed call, or every short layer would be charged for waking them.
A backend's candidates are timed in turns (interleaved), and the lower quartile counts: what slows a call down, another
process or a thread that waits too long, comes and goes, and is not the kernel's. Backends follow each other after a
pause: the threads of one's library may spin for a while after its last call, and would take the processors from
another's. A device that has a clock of its own tells how long it worked: in a network its steps are queued one after
the other, and what the host takes to queue one does not count.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem, Step
from orpheus_core.selection.candidates import Candidate, in_format
from orpheus_core.selection.invoke import bind_run, keywords, load, prepare, runtime_of, workspace_of
from orpheus_core.selection.reorder import to_layout
from orpheus_core.types import CPU, Array, Layout, TensorType

#: More than a common last-level cache: reading so many bytes leaves nothing of a layer in it.
COLD_BYTES = 64 << 20
#: Seconds between the measurements of two backends, in which a library's waiting threads fall asleep.
SETTLE = 0.05


@dataclass(frozen=True)
class Timing:
    """Seconds of one call: lower quartile and median, the fastest and slowest, and the number of timed calls."""

    quartile: float
    median: float
    low: float
    high: float
    runs: int

    @classmethod
    def of(cls, times: Sequence[float]) -> Timing:
        """Of two calls or more."""
        quartile, median, _ = statistics.quantiles(times, n=4, method="inclusive")
        return cls(quartile, median, min(times), max(times), len(times))

    @property
    def noise(self) -> float:
        """By how much the lower quartile may be wrong: how far it lies below the median."""
        return self.median - self.quartile


def can_measure(problem: Problem) -> bool:
    """Whether the layer can be timed alone: tensors of known size, no subgraph."""
    operands = [t for t in (*problem.inputs, *problem.outputs) if t is not None]
    static = all(isinstance(t, TensorType) and t.is_static and t.dtype.value != "string" for t in operands)
    return static and not any(type(a).__name__ == "Graph" for a in problem.attributes.values())


def measure(
    problem: Problem,
    candidates: Sequence[Candidate],
    *,
    seconds: float = 0.05,
    min_runs: int = 5,
    seed: int = 0,
    others: int = COLD_BYTES,
) -> list[Timing | None]:
    """Time every candidate of one layer, those of one backend interleaved; None for one that fails.

    ``seconds`` is the budget of each candidate's calls, and a third of that of preparing them; at least ``min_runs``
    calls are timed. ``others``: bytes that the rest of the network touches between two calls.
    """
    calls: dict[int, _Call] = {}
    for i, candidate in enumerate(candidates):
        call = _call(problem, candidate, seed)
        if call is not None:
            calls[i] = call
    times: list[list[float]] = [[] for _ in candidates]
    spent = [0.0] * len(candidates)
    rest = np.zeros(min(max(others, 0), COLD_BYTES) // 4, np.float32)
    owners = dict.fromkeys(c.backend.name for c in candidates)
    for number, owner in enumerate(owners):
        if number:
            time.sleep(SETTLE)
        alive = [i for i in calls if candidates[i].backend.name == owner]
        runtime = runtime_of(next(c.backend for c in candidates if c.backend.name == owner))
        sync, clock = runtime.synchronize, getattr(runtime, "seconds", None)
        first: dict[int, float] = {}
        for i in list(alive):  # first touch of memory and code is no measurement
            try:
                begin = time.perf_counter()
                calls[i].step()
                first[i] = time.perf_counter() - begin
            except Exception:
                alive.remove(i)
        waker = None
        if alive and problem.threads > 1:
            waker = _call(problem, candidates[min(alive, key=first.__getitem__)], seed)
        while alive:
            for i in alive:
                begin = time.perf_counter()
                rest.sum()
                if waker is not None:
                    waker.step()
                for array in calls[i].warm:
                    array.sum()
                sync()
                start = time.perf_counter()
                taken = None
                if clock is None:
                    calls[i].step()
                    sync()
                else:
                    taken = clock(calls[i].step)
                end = time.perf_counter()
                times[i].append(end - start if taken is None else taken)
                spent[i] += end - start + (start - begin) / 3
            alive = [i for i in alive if len(times[i]) < min_runs or spent[i] < seconds]
    return [Timing.of(t) if len(t) >= max(min_runs, 2) else None for t in times]


@dataclass(frozen=True)
class _Call:
    """One bound candidate, and the arrays that are in the cache when the network comes to it."""

    step: Step
    warm: tuple[Array, ...]


def _call(problem: Problem, candidate: Candidate, seed: int) -> _Call | None:
    """The candidate bound to random operands; None when its preparation fails."""
    placed = in_format(problem, candidate)
    try:
        return _bound(placed, candidate, runtime_of(candidate.backend), np.random.default_rng(seed))
    except Exception:  # a plugin's preparation or runtime; the others are measured all the same
        return None


def _bound(placed: Problem, candidate: Candidate, runtime: Any, rng: np.random.Generator) -> _Call:
    def array(type_: Any, index: int | None) -> Any:
        if type_ is None:
            return None
        host = placed.constants.get(index) if index is not None else None
        host = random_array(type_, rng) if host is None else to_layout(host, type_.layout)
        if candidate.backend.device == CPU:
            return host
        target = runtime.empty(host.shape, host.dtype)
        runtime.upload(host, target)
        return target

    inputs = [array(t, i) for i, t in enumerate(placed.inputs)]
    outputs = [array(t, None) for t in placed.outputs]
    live = [a for i, a in enumerate(inputs) if i not in placed.constants] + outputs
    warm = tuple(a for a in live if isinstance(a, np.ndarray) and a.dtype.kind in "biuf")
    if candidate.kernel.prepare is None:
        words = keywords(candidate, placed)
        step = bind_run(load(candidate), inputs, outputs, words, writes_out=candidate.kernel.writes_out)
        return _Call(step, warm)
    prepared = prepare(candidate, placed)
    for index in getattr(prepared, "packed", ()):
        inputs[index] = None
    return _Call(prepared.bind(inputs, outputs, workspace_of(runtime, prepared)), warm)


def random_array(type_: TensorType, rng: np.random.Generator) -> Array:
    """Random values of a tensor type, as an array of its physical shape: normal floats, small integers."""
    if type_.static_shape is None:
        raise ValueError(f"{type_} has no fixed shape to draw values for")
    shape = Layout.physical_shape(type_.layout, type_.static_shape)
    dtype = type_.dtype.numpy
    if type_.dtype.value == "bool":
        return rng.random(shape) < 0.5
    if dtype.kind in "iu":
        return rng.integers(0, 4, shape).astype(dtype)
    return rng.standard_normal(shape).astype(dtype)
