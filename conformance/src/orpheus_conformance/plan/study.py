"""The rows of the plan tier: random graphs, then the zoo's small networks, as long as its time lasts."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import onnx

from orpheus_conformance.engine import Job, Note, Options, Row, ignore
from orpheus_conformance.plan.graphs import graph_of
from orpheus_conformance.plan.networks import NETWORKS, network_row, zoo
from orpheus_conformance.plan.random_graphs import Hunt, alone
from orpheus_conformance.recipe import GraphRecipe, NetworkRecipe
from orpheus_conformance.subject import Subject
from orpheus_conformance.verdict import Judge
from orpheus_core.errors import OrpheusError
from orpheus_core.plugin import Backend

TIER = GraphRecipe.tier
#: The share of the time that random graphs may take when there are networks to come.
_SHARE = 0.5
#: Seconds that must be left for a network to be begun; the small ones take about a second.
_LEAST = 0.5


def jobs(
    backend: Backend,
    subjects: Sequence[Subject],
    options: Options,
    judges: Mapping[str, Judge] | None = None,
    note: Note = ignore,
) -> list[Job]:
    """One row of random graphs, and one a network of the zoo, or one that says why there is no zoo."""
    if not subjects:
        return []
    some = tuple(s.id for s in subjects) if len(subjects) < len(backend.kernels) else ()
    backend = replace(backend, kernels=tuple(s.kernel for s in subjects))
    seconds = options.plan_seconds
    left = _Time(min(15.0, 2 + 0.25 * len(subjects)) if seconds is None else seconds)
    left.left -= options.plan_spent
    found = [Job(backend.name, TIER, partial(_timed, left, _random, backend, some, options, left, note))]
    build, reason = zoo()
    if build is None:
        return [*found, Job(f"{backend.name}:zoo", TIER, partial(_untested, f"{backend.name}:zoo", reason))]
    for name in NETWORKS:
        recipe = NetworkRecipe(backend.name, some, name, options.seed)
        found.append(
            Job(recipe.kernel, TIER, partial(_timed, left, _network, backend, recipe, left, build, note))
        )
    return found


class _Time:
    """Seconds that are left of all."""

    def __init__(self, seconds: float) -> None:
        self.whole = self.left = seconds

    @property
    def over(self) -> str:
        return f"the plan tier's {self.whole:g} s were over (--plan-time gives it more)"


def _timed(left: _Time, run: Callable[..., Row], *given: object) -> Row:
    start = time.perf_counter()
    row = run(*given)
    row.seconds = time.perf_counter() - start
    left.left -= row.seconds
    return row


def _untested(kernel: str, reason: str) -> Row:
    return Row(kernel, TIER, "untested", reason)


def _random(backend: Backend, kernels: tuple[str, ...], options: Options, left: _Time, note: Note) -> Row:
    row, hunt = Row(backend.name, TIER), Hunt(backend, kernels, options, note)
    if not hunt.possible:
        row.outcome = "inapplicable"
        row.message = "no random graph is made of these operators and element types"
        return row
    deadline = time.perf_counter() + _SHARE * left.left
    for recipe in hunt.recipes():
        if time.perf_counter() > deadline:
            break
        found, fault = hunt.attempt(recipe, row)
        if fault:
            _failed(row, hunt, found, fault, backend)
            return row
    if not row.executed:
        over = time.perf_counter() > deadline
        row.outcome = "untested"
        row.message = left.over if over else "no random graph led to one of the kernels"
    else:
        met = f"{len(hunt.met)} of {len(backend.kernels)} kernels met"
        row.message = f"{met}; {hunt.alone} of {row.passed} runs by it alone"
    return row


def _failed(row: Row, hunt: Hunt, found: GraphRecipe, fault: str, backend: Backend) -> None:
    """The smallest form that fails in a process of its own too: what hangs on earlier graphs is not in its line."""
    row.outcome = "failed"
    row.case, words = hunt.smaller(found, fault)
    row.message = _told(row.case, words)
    try:
        if alone(row.case, backend)[1]:
            return
        if alone(found, backend)[1]:
            row.case, words = hunt.smaller(found, fault, lambda recipe: alone(recipe, backend))
            row.message = _told(row.case, words)
        else:
            row.message = f"comes and goes: {row.message}"
    except OrpheusError:
        pass  # a backend that is no data cannot go to another process


def _told(recipe: GraphRecipe, fault: str) -> str:
    text = " ".join(str(graph_of(recipe)).split())
    shown = text if len(text) <= 600 else text[:597] + "..."
    manner = f"with {recipe.passes}, threads={recipe.threads}"
    return f"{manner}: {fault}; random graph {recipe.seed} of {recipe.steps} steps, {recipe.dtype}: {shown}"


def _network(
    backend: Backend, recipe: NetworkRecipe, left: _Time, build: Callable[..., onnx.ModelProto], note: Note
) -> Row:
    if left.left < _LEAST:
        return _untested(recipe.kernel, left.over)
    return network_row(backend, recipe, build, note)
