"""Random graphs through the executor: hunting for one that fails, making it smaller, and trying it again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeAlias

import numpy as np

from orpheus_conformance.aside import judge_aside
from orpheus_conformance.engine import Options, Row
from orpheus_conformance.plan.graphs import graph_of, known_ops, make_graph, mark_of
from orpheus_conformance.plan.reference import Unjudged
from orpheus_conformance.plan.trial import PASSES, Bench, attempted, verdict_of
from orpheus_conformance.recipe import GraphRecipe
from orpheus_conformance.verdict import FAILED, INVALID, PASSED, UNJUDGED, Verdict
from orpheus_core.graph import Graph
from orpheus_core.importer import to_onnx
from orpheus_core.plugin import Backend
from orpheus_core.types import Array, DType, TensorType

#: Steps of the largest random graph.
STEPS = 16
#: Judges a graph; gives it, marked, with what is wrong or nothing.
Attempt: TypeAlias = Callable[[GraphRecipe], tuple[GraphRecipe, str]]


class Hunt:
    """Random graphs of one backend, until one fails or time is over. ``note`` is told of each that is about to run."""

    def __init__(
        self,
        backend: Backend,
        kernels: tuple[str, ...],
        options: Options,
        note: Callable[[GraphRecipe], object],
    ) -> None:
        self._backend, self._kernels, self._options, self._note = backend, kernels, options, note
        self._bench = Bench(backend)
        self._ops = known_ops(k.op for k in backend.kernels)
        self._dtypes = _dtypes(backend)
        self.met: Counter[str] = Counter()
        self.alone = 0

    @property
    def possible(self) -> bool:
        """Whether there is any graph of these operators and element types."""
        return bool(self._dtypes) and make_graph(0, STEPS, self._ops, DType.FLOAT32) is not None

    def recipes(self) -> Iterator[GraphRecipe]:
        """The graphs to try, by the run's seed."""
        for seed in range(
            self._options.seed * 100_003, self._options.seed * 100_003 + self._options.examples
        ):
            rng = np.random.default_rng((seed, 1))
            dtype = self._dtypes[int(rng.integers(len(self._dtypes)))]
            yield GraphRecipe(
                self._backend.name, self._kernels, seed, int(rng.integers(1, STEPS + 1)), self._ops, dtype.value,
                together=seed % 4 == 0, threads=1 + seed % 3,
            )  # fmt: skip

    def attempt(self, recipe: GraphRecipe, row: Row) -> tuple[GraphRecipe, str]:
        """Judge a graph with every pass and with none, counted in ``row``; gives what failed and how."""
        graph = graph_of(recipe)
        if graph is None:
            row.invalid += 1
            return recipe, ""
        recipe = replace(recipe, mark=mark_of(graph))
        model, feeds = to_onnx(graph), _feeds(graph, recipe.seed)
        try:
            expected = self._bench.expect(model, feeds)
        except Unjudged as error:
            row.unjudged[str(error)] += 1
            return recipe, ""
        for words, passes in PASSES.items():
            tried = replace(recipe, passes=words)
            self._note(tried)
            outcome = attempted(
                self._bench, model, feeds, expected, passes, together=recipe.together, threads=recipe.threads
            )
            if outcome.fault:
                row.executed += 1
                row.cells[recipe.dtype, FAILED] += 1
                return tried, outcome.fault
            self.met.update(outcome.ran)
            self.alone += bool(outcome.ran) and outcome.alone
            if outcome.ran:
                row.executed += 1
                row.passed += 1
                row.dtypes[recipe.dtype] += 1
                row.cells[recipe.dtype, PASSED] += 1
            else:
                row.invalid += 1
        return recipe, ""

    def smaller(
        self, recipe: GraphRecipe, fault: str, attempt: Attempt | None = None
    ) -> tuple[GraphRecipe, str]:
        """The least steps that still fail, then one output of it if that fails too, by :meth:`attempt` or another."""
        until = time.perf_counter() + self._options.shrink_seconds
        attempt = attempt or (lambda tried: self.attempt(tried, Row("", GraphRecipe.tier)))
        fewer = (replace(recipe, steps=n) for n in range(1, recipe.steps))
        recipe, fault = _first(fewer, attempt, until) or (recipe, fault)
        graph = graph_of(recipe)
        count = 0 if graph is None else len(graph.outputs)
        single = (replace(recipe, outputs=(n,)) for n in range(count)) if count > 1 else iter(())
        return _first(single, attempt, until) or (recipe, fault)


def _first(recipes: Iterator[GraphRecipe], attempt: Attempt, until: float) -> tuple[GraphRecipe, str] | None:
    for recipe in recipes:
        if time.perf_counter() > until:
            return None
        found, fault = attempt(recipe)
        if fault:
            return found, fault
    return None


def alone(recipe: GraphRecipe, backend: Backend) -> tuple[GraphRecipe, str]:
    """An :data:`Attempt` in a process of its own, where nothing is left of earlier graphs."""
    graph = graph_of(recipe)
    if graph is None:
        return recipe, ""
    recipe = replace(recipe, mark=mark_of(graph))
    verdict = judge_aside(recipe, backend)
    return recipe, verdict.message if verdict.outcome == FAILED else ""


def again(recipe: GraphRecipe, backend: Backend) -> Verdict:
    """The verdict on a graph that failed once, of a recipe that :func:`..whole.check` let through."""
    graph = graph_of(recipe)
    if graph is None:
        return Verdict(INVALID, "no graph comes of it")
    bench, model, feeds = Bench(backend), to_onnx(graph), _feeds(graph, recipe.seed)
    try:
        expected = bench.expect(model, feeds)
    except Unjudged as error:
        return Verdict(UNJUDGED, str(error))
    given = (bench, model, feeds, expected, PASSES[recipe.passes])
    outcome = attempted(*given, together=recipe.together, threads=recipe.threads)
    return verdict_of(outcome, "graph")


def _dtypes(backend: Backend) -> list[DType]:
    """Float types to make graphs of: those that a kernel names, or float32 where none is left out."""
    named = {t for k in backend.kernels for types in k.dtypes.values() for t in types}
    if any(not k.dtypes for k in backend.kernels):
        named.add("float32")
    return [d for d in (DType.FLOAT32, DType.FLOAT64, DType.FLOAT16) if d.value in named]


def _feeds(graph: Graph, seed: int) -> dict[str, Array]:
    rng = np.random.default_rng((seed, 2))
    feeds = {}
    for value in graph.inputs:
        assert isinstance(value.type, TensorType)
        shape = tuple(d if isinstance(d, int) else 1 for d in value.type.shape or ())
        feeds[value.name] = np.asarray(rng.normal(size=shape)).astype(value.type.dtype.numpy)
    return feeds
