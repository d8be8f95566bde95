"""Tuning: measure every candidate of every layer, keep the times, and select again with them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

from orpheus_core.graph import Graph, Node
from orpheus_core.ops.spec import find_spec
from orpheus_core.plugin import Problem
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.candidates import Candidate, problem_of
from orpheus_core.selection.conversion import HOME, Place, conversion_key, measure_conversion
from orpheus_core.selection.measure import can_measure, measure
from orpheus_core.selection.options import Policy, SelectionOptions
from orpheus_core.selection.selector import choices_for, constant_bytes
from orpheus_core.selection.signature import measurement_key, problem_signature
from orpheus_core.session.session import InferenceSession
from orpheus_core.session.threads import apply_threads, settings_of
from orpheus_core.session.whole import TunedPlan, compare_plans
from orpheus_core.types import TensorType

#: What a network's packed constants may take, in bytes of the constants: Winograd's F(4, 3) takes 4 times, F(2, 3) 1.8.
_PACKED = 3

#: Time for comparing whole plans, in times of that for a candidate.
_WHOLE = 20

#: Told after each layer: how many are done, of how many, and the layer's node.
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class TunedKernel:
    """One candidate: lower quartile of its seconds (None when it failed), fastest and slowest call, number of calls."""

    kernel: str
    seconds: float | None
    low: float = 0.0
    high: float = 0.0
    runs: int = 0


@dataclass(frozen=True)
class TunedLayer:
    """One distinct layer, the nodes that are it, and its candidates, fastest first."""

    nodes: tuple[str, ...]
    op: str
    kernels: tuple[TunedKernel, ...]
    kept: bool


@dataclass(frozen=True)
class TuneReport:
    """What was measured, what could not be, where the times were kept; of each policy, whether its plan is worth it."""

    layers: tuple[TunedLayer, ...]
    unmeasured: tuple[str, ...]
    path: str
    plans: tuple[TunedPlan, ...] = ()


def tune(
    session: InferenceSession,
    *,
    seconds: float = 0.05,
    again: bool = False,
    progress: Progress | None = None,
) -> TuneReport:
    """Measure every candidate of every layer of the session's latest plan and keep the times on disk.

    Layers that are alike are measured once; times that are kept already are not taken again unless ``again``.
    ``seconds`` is the time given to each candidate. Nodes of open shape and control flow cannot be measured alone.
    Sessions made afterwards choose by these times, with ``policy="cost"`` among all they name. At the end the plans
    they would take are timed beside the untuned one, and where that is not slower, sessions keep it.
    Raises UsageError while there is no plan.
    """
    plan = session.latest_plan()
    cache = MeasurementCache() if session.options.cache is None else session.options.cache
    apply_threads(settings_of(session.options.backends, session.threads, lead=session.lead))
    options = replace(session.options, policy="cost", cache=cache, pins={})
    graph = session.graph if session.executable.is_static else plan.graph
    options = replace(options, network_bytes=constant_bytes(graph))
    others = _PACKED * options.network_bytes
    groups: dict[str, tuple[Problem, Node, list[str]]] = {}
    unmeasured = []
    for node in _with_parts(graph):
        problem = problem_of(node, threads=options.threads, network_bytes=options.network_bytes)
        name = node.name or next((v.name for v in node.results), "")
        if not can_measure(problem):
            unmeasured.append(name)
            continue
        groups.setdefault(problem_signature(problem), (problem, node, []))[2].append(name)
    layers = []
    for done, (problem, node, names) in enumerate(groups.values()):
        layers.append(_tune_layer(problem, node, names, options, cache, seconds, again, others))
        if progress is not None:
            progress(done + 1, len(groups), names[0])
    plans = tuple(
        compare_plans(graph, options, cache, policy, _WHOLE * seconds) for policy in get_args(Policy)
    )
    cache.save()
    return TuneReport(tuple(layers), tuple(unmeasured), str(cache.path), plans)


def _with_parts(graph: Graph) -> list[Node]:
    """Every node, and the parts a fused one could be computed in, since selection weighs both."""
    found = []
    for node in graph.nodes:
        found.append(node)
        spec = find_spec(node.domain, node.op, node.version) if node.domain else None
        if spec is not None and spec.decompose is not None:
            body = spec.decompose(node)
            inner = dict(zip(body.inputs, (v for v in node.inputs if v is not None)))
            found.extend(body.substitute(inner).nodes)
    return found


def _tune_layer(
    problem: Problem,
    node: Node,
    names: Sequence[str],
    options: SelectionOptions,
    cache: MeasurementCache,
    seconds: float,
    again: bool,
    others: int,
) -> TunedLayer:
    candidates = [
        s.candidate for s in choices_for(node, options).scored if s.candidate.backend.name != "core"
    ]
    _measure_conversions(problem, candidates, options, cache)
    keys = [measurement_key(problem, c) for c in candidates]
    known = [cache.get(k) for k in keys]
    if candidates and all(k is not None for k in known) and not again:
        rows = [TunedKernel(c.label, k) for c, k in zip(candidates, known)]
        return _layer(names, node, rows, kept=True)
    rows = []
    timings = measure(problem, candidates, seconds=seconds, others=others)
    for candidate, key, timing in zip(candidates, keys, timings):
        if timing is None:
            rows.append(TunedKernel(candidate.label, None))
            continue
        facts: dict[str, Any] = {
            "kernel": candidate.label,
            "layer": problem_signature(problem),
            "runs": timing.runs,
            "noise": timing.noise,
        }
        cache.put(key, timing.quartile, **facts)
        rows.append(TunedKernel(candidate.label, timing.quartile, timing.low, timing.high, timing.runs))
    return _layer(names, node, rows, kept=False)


def _layer(names: Sequence[str], node: Node, rows: list[TunedKernel], *, kept: bool) -> TunedLayer:
    rows.sort(key=lambda r: (r.seconds is None, r.seconds or 0.0))
    return TunedLayer(tuple(names), node.op_id, tuple(rows), kept)


def _measure_conversions(
    problem: Problem, candidates: Sequence[Candidate], options: SelectionOptions, cache: MeasurementCache
) -> None:
    """Time the ways between the plain host layout and every place a candidate wants or leaves an operand."""
    for candidate in candidates:
        device, fmt = candidate.backend.device, candidate.format
        for types, layout_of in ((problem.inputs, fmt.input), (problem.outputs, fmt.output)):
            for index, type_ in enumerate(types):
                place: Place = (layout_of(index), device)
                if not isinstance(type_, TensorType) or place == HOME:
                    continue
                for source, target in ((HOME, place), (place, HOME)):
                    key = conversion_key(type_, source, target)
                    if cache.get(key) is None:
                        taken = measure_conversion(type_, source, target, options)
                        if taken is not None and taken > 0:
                            cache.put(key, taken, conversion=f"{type_} {source[0]} -> {target[0]}")
