"""Measuring candidates: the time of one layer as it will run, weights cold where they stream.

Inputs are random; every repeat takes the next of several copies of inputs and constants, so many that together they
do not fit the last-level cache, because in a network a layer's weights were last touched one inference ago.
Candidates of one layer are timed in turns (interleaved), and the median counts.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orpheus_core.plugin import Problem, Step
from orpheus_core.selection.candidates import Candidate, in_format
from orpheus_core.selection.invoke import bind_run, keywords, load, prepare, runtime_of
from orpheus_core.selection.reorder import to_layout
from orpheus_core.types import CPU, Array, Layout, TensorType

#: Bytes that the rotated copies of one layer's operands should exceed: more than a common last-level cache.
COLD_BYTES = 64 << 20
MAX_COPIES = 8


@dataclass(frozen=True)
class Timing:
    """Median seconds of one call, the fastest and slowest, and the number of timed calls."""

    median: float
    low: float
    high: float
    runs: int


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
) -> list[Timing | None]:
    """Time every candidate of one layer, interleaved; None for one that fails.

    ``seconds`` is the budget of each candidate; at least ``min_runs`` calls are timed.
    """
    steps = [_steps(problem, c, seed) for c in candidates]
    alive = [i for i, s in enumerate(steps) if s]
    times: list[list[float]] = [[] for _ in candidates]
    for i in list(alive):  # first touch of memory and code is no measurement
        for step in steps[i]:
            try:
                step()
            except Exception:
                alive.remove(i)
                break
    turn = 0
    while alive:
        for i in alive:
            step = steps[i][turn % len(steps[i])]
            sync = runtime_of(candidates[i].backend).synchronize
            sync()
            start = time.perf_counter()
            step()
            sync()
            times[i].append(time.perf_counter() - start)
        alive = [i for i in alive if len(times[i]) < min_runs or sum(times[i]) < seconds]
        turn += 1
    return [
        Timing(statistics.median(t), min(t), max(t), len(t)) if len(t) >= min_runs else None for t in times
    ]


def _steps(problem: Problem, candidate: Candidate, seed: int) -> list[Step]:
    placed = in_format(problem, candidate)
    runtime = runtime_of(candidate.backend)
    operands = [t for t in placed.inputs if isinstance(t, TensorType)]
    total = sum(t.nbytes or 0 for t in operands)
    copies = max(1, min(MAX_COPIES, COLD_BYTES // max(total, 1) + 1))
    steps = []
    try:
        for copy in range(copies):
            rng = np.random.default_rng(seed + copy)
            # A constant is prepared from its own array, as in the network; a copy makes it cold.
            constants = {i: a.copy() for i, a in problem.constants.items()}
            steps.append(_step(replace(placed, constants=constants), candidate, runtime, rng))
    except Exception:  # a plugin's preparation or runtime; the others are measured all the same
        return []
    return steps


def _step(placed: Problem, candidate: Candidate, runtime: Any, rng: np.random.Generator) -> Step:
    def array(type_: Any, index: int | None) -> Any:
        if type_ is None:
            return None
        host = placed.constants.get(index) if index is not None else None
        if host is None:
            host = random_array(type_, rng)
        else:
            host = to_layout(host, type_.layout)
        if candidate.backend.device == CPU:
            return host
        target = runtime.empty(host.shape, host.dtype)
        runtime.upload(host, target)
        return target

    inputs = [array(t, i) for i, t in enumerate(placed.inputs)]
    outputs = [array(t, None) for t in placed.outputs]
    if candidate.kernel.prepare is None:
        words = keywords(candidate, placed)
        return bind_run(load(candidate), inputs, outputs, words, writes_out=candidate.kernel.writes_out)
    prepared = prepare(candidate, placed)
    for index in getattr(prepared, "packed", ()):
        inputs[index] = None
    nbytes = getattr(prepared, "workspace", 0)
    return prepared.bind(inputs, outputs, runtime.arena(nbytes) if nbytes else None)


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
