"""The plan that tuning leads to beside the untuned one: their layers timed in place, then the whole.

Alone, a layer's operands lie where the measurement puts them; in the network, in the cache of the core that wrote them.
So the layers in which both plans differ are timed once more between their neighbours, and the plan is chosen anew.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from orpheus_core.errors import OrpheusError
from orpheus_core.graph import Graph
from orpheus_core.plan.context import Context
from orpheus_core.plan.executable import Executable
from orpheus_core.plan.operands import Kind, Operation
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.conversion import conversion_key
from orpheus_core.selection.measure import Timing, random_array
from orpheus_core.selection.options import Policy, SelectionOptions
from orpheus_core.selection.selector import choose
from orpheus_core.selection.signature import measurement_key
from orpheus_core.selection.whole import bound, is_worth, network_key, plan_key, untuned
from orpheus_core.session.threads import apply_threads, leading, settings_of
from orpheus_core.types import TensorType

#: Turns of each plan, at least; in a turn it runs a few times, the first of which is not counted.
_TURNS = 9
_RUNS = 3
#: How often layers are timed in place and chosen anew: a kernel that was never timed in place may come next.
_ROUNDS = 4


@dataclass(frozen=True)
class TunedPlan:
    """The plan that one policy takes of the times: median seconds of a run, and of the untuned plan's.

    ``ratio``: the median ratio of the two in a turn; ``most``: what it is below at 95 %, by which is judged.
    ``kept`` is "tuned", "untuned" where that is not surely slower, "same" where both have the same kernels (and
    nothing was timed), or "unknown" where it could not run on random inputs, for ``reason``; then the tuned is taken.
    """

    policy: Policy
    kept: str
    tuned: float | None = None
    untuned: float | None = None
    ratio: float | None = None
    most: float | None = None
    reason: str = ""


def compare_plans(
    graph: Graph, options: SelectionOptions, cache: MeasurementCache, policy: Policy, seconds: float
) -> TunedPlan:
    """Time both plans in turns for about ``seconds``, and keep in ``cache`` what was found."""
    wanted = replace(options, policy=policy, cache=cache)
    try:
        return _compared(graph, wanted, cache, seconds)
    except (OrpheusError, ValueError, MemoryError) as error:
        return TunedPlan(policy, "unknown", reason=f"{type(error).__name__}: {error}")


def _compared(graph: Graph, wanted: SelectionOptions, cache: MeasurementCache, seconds: float) -> TunedPlan:
    static = _Runner(graph, untuned(wanted))
    network = network_key(graph, wanted)
    cache.drop(network)
    timed: set[str] = set()
    for turn in range(_ROUNDS + 1):
        key = plan_key(choose(graph, wanted)[1], wanted)
        if key == static.key:
            return TunedPlan(wanted.policy, "same")
        cache.drop(key)  # or it would not be looked at again
        tuned = _Runner(graph, wanted)
        open_keys = (tuned.layers ^ static.layers) - timed
        if not open_keys or turn == _ROUNDS:
            break
        timed |= open_keys
        _time_in_place((tuned, static), open_keys, cache)
    turns = _turns((tuned, static), seconds)
    own, other = (statistics.median(times) for times in zip(*turns))
    ratios = [mine / theirs for mine, theirs in turns]
    ratio, most = statistics.median(ratios), bound(ratios)
    about = f"{graph.name}, policy {wanted.policy}, {wanted.threads} threads"
    for found in (key, network):
        cache.put(found, own, untuned=other, ratio=ratio, most=most, plan=about)
    return TunedPlan(wanted.policy, "tuned" if is_worth(most) else "untuned", own, other, ratio, most)


def _time_in_place(runners: Sequence[_Runner], keys: set[str], cache: MeasurementCache) -> None:
    """Keep the times that these layers' kernels take between their neighbours."""
    found: dict[str, list[float]] = {}
    for _ in range(_TURNS):
        for runner in runners:
            runner.run()
            for key, taken in runner.profile():
                if key in keys:
                    found.setdefault(key, []).append(taken)
    for key, times in found.items():
        timing = Timing.of(times)
        facts = {**cache.facts(key), "runs": timing.runs, "noise": timing.noise, "in_place": True}
        cache.put(key, timing.quartile, **facts)


def _turns(runners: Sequence[_Runner], seconds: float) -> list[tuple[float, ...]]:
    """For each turn the fastest run of each in it, in seconds; the one goes first in one turn, the other in the next.

    Only runs of one turn are to be compared: a virtual machine's cores may share a real one for seconds on end.
    """
    found: list[tuple[float, ...]] = []
    end = time.perf_counter() + seconds
    while len(found) < _TURNS or time.perf_counter() < end:
        best: dict[_Runner, float] = {}
        for runner in runners if len(found) % 2 else reversed(runners):
            runner.run()
            times = []
            for _ in range(_RUNS):
                start = time.perf_counter()
                runner.run()
                times.append(time.perf_counter() - start)
            best[runner] = min(times)
        found.append(tuple(best[runner] for runner in runners))
    return found


class _Runner:
    """Runs of a graph's plan on random inputs, with the thread settings that a session would have."""

    def __init__(self, graph: Graph, options: SelectionOptions) -> None:
        plan = Executable(graph, options, lambda same: same).ready().plan
        lead = leading(d.candidate.backend.name for d in plan.selection.decisions)
        self._settings = settings_of(options.backends, options.threads, lead=lead)
        self._inputs: list[Any] = []
        random = np.random.default_rng(0)
        for value in graph.inputs:
            if not isinstance(value.type, TensorType):
                raise ValueError(f"input {value.name!r} is no tensor")
            self._inputs.append(random_array(value.type, random))
        self._context = Context(plan)
        self.key = plan_key(plan.selection, options)
        self._keys: dict[object, str] = {}
        for operation in plan.program.operations:
            key = _key(operation)
            if key is not None:
                self._keys[operation] = key
        #: Measurement keys of its layers.
        self.layers = set(self._keys.values())

    def run(self) -> None:
        """One run."""
        apply_threads(self._settings)
        with np.errstate(all="ignore"):
            self._context.run(self._inputs)

    def profile(self) -> list[tuple[str, float]]:
        """Keys and seconds of the layers of one run, step by step; by a device's own clock where it has one."""
        apply_threads(self._settings)
        with np.errstate(all="ignore"):
            self._context.take(self._inputs)
            times = self._context.profile()
        return [
            (self._keys[t.operation], t.seconds if t.device_seconds is None else t.device_seconds)
            for t in times
            if t.operation in self._keys
        ]


def _key(operation: Operation) -> str | None:
    """What the time of an operation is kept under, None when it is kept nowhere."""
    if operation.kind is Kind.KERNEL and operation.why != "conversion":
        candidate, problem = operation.candidate, operation.problem
        timed = candidate is not None and problem is not None and operation.late is None
        return measurement_key(problem, candidate) if timed else None  # type: ignore[arg-type]
    (source,), (target,) = operation.inputs, operation.outputs
    places = []
    for operand in (source, target):
        if operand is None or not isinstance(operand.type, TensorType) or not operand.type.is_static:
            return None
        places.append((operand.type.layout.name, operand.type.device))
    return conversion_key(source.type, *places)  # type: ignore[union-attr,arg-type]
