"""What was measured of a whole plan: layers that are each the fastest alone need not be the fastest together.

Alone, a layer's operands lie where the measurement puts them; between its neighbours, where those leave them, in one
core's cache or another's, and neighbours that fit together run as one. So tuning times the plan that it leads to beside
the untuned one, and what it finds is kept under the plan's key.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace

from orpheus_core.graph import Graph
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.candidates import problem_of
from orpheus_core.selection.cost import Source
from orpheus_core.selection.decision import Selection
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.signature import problem_signature, where

#: A tuned plan is kept when it surely takes less than this share of the untuned one's time.
WORTH = 0.99
#: How sure that is.
_SURE = 0.95


def plan_key(selection: Selection, options: SelectionOptions) -> str:
    """The key of a plan on this machine: every layer with its kernel, whose results it reads, and what it has to beat.

    The untuned plan depends on the order of the backends, and on what the user leaves to choose from.
    """
    makers = {v: i for i, d in enumerate(selection.decisions) for v in d.node.results}
    facts = ["whole plan", *_beside(options)]
    for decision in selection.decisions:
        kernel, backend = decision.candidate.kernel, decision.candidate.backend
        reads = [makers.get(v) if v is not None else None for v in decision.node.inputs]
        facts += [
            problem_signature(decision.problem), str(reads), decision.candidate.label, f"v{kernel.version}",
            f"build {backend.version}", where(backend),
        ]  # fmt: skip
    return _digest(facts)


def network_key(graph: Graph, options: SelectionOptions) -> str:
    """The key of a network, whichever plan the times of its layers lead to: these change as others are tuned."""
    facts = ["whole network", options.policy, *_beside(options)]
    return _digest(facts + [problem_signature(problem_of(n, threads=options.threads)) for n in graph.nodes])


def _beside(options: SelectionOptions) -> tuple[str, ...]:
    order = ", ".join(backend.name for backend in options.backends)
    return order, options.memory, str(options.error_factor)


def _digest(facts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:32]


def untuned(options: SelectionOptions) -> SelectionOptions:
    """The options of the plan that a tuned one has to beat."""
    return replace(options, cache=None, policy="order")


def bound(ratios: Sequence[float]) -> float:
    """What the median of such ratios is below in 95 of 100 cases: an order statistic, whatever their distribution."""
    below = 0
    for rank in range(len(ratios)):
        below += math.comb(len(ratios), rank)
        if below >= _SURE * 2 ** len(ratios):
            return sorted(ratios)[rank]
    return math.inf


def is_worth(most: float) -> bool:
    """Whether a tuned plan is kept that takes ``most`` times the untuned one's time at the most."""
    return most < WORTH


def beaten(
    graph: Graph, selection: Selection, cache: MeasurementCache, options: SelectionOptions
) -> str | None:
    """Words on the plan of this selection, when it was measured and the untuned one was kept.

    Of a plan that was not measured itself, what was last found of its network holds.
    """
    if all(d.chosen.source is not Source.MEASURED for d in selection.decisions):
        return None
    key = plan_key(selection, options)
    if cache.get(key) is None:
        key = network_key(graph, options)
    tuned, static = cache.get(key), cache.number(key, "untuned")
    ratio, most = cache.number(key, "ratio"), cache.number(key, "most")
    if tuned is None or not most or is_worth(most):
        return None
    times = f"{static * 1e3:.2f} ms against {tuned * 1e3:.2f} ms tuned"
    return f"untuned, measured as a whole: {times}, ratio {ratio:.3f}, at most {most:.3f}"
