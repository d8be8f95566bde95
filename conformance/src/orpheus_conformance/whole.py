"""Judging a recipe again: whole graphs and ONNX's own cases, as :class:`.verdict.Court` judges layers."""

from __future__ import annotations

from dataclasses import replace

from orpheus_conformance.case import CaseError
from orpheus_conformance.recipe import CorpusRecipe, GraphRecipe, NetworkRecipe, Recipe
from orpheus_conformance.subject import subjects
from orpheus_conformance.verdict import Verdict
from orpheus_core.plugin import Backend
from orpheus_core.types import DType


def judge_whole(recipe: Recipe, backend: Backend) -> Verdict:
    """The verdict on a recipe, in this process. CaseError when it cannot be made again."""
    check(recipe, backend)
    limited = _limited(recipe, backend)
    if isinstance(recipe, GraphRecipe):
        from orpheus_conformance.plan import random_graphs

        return random_graphs.again(recipe, limited)
    if isinstance(recipe, NetworkRecipe):
        from orpheus_conformance.plan import networks

        return networks.again(recipe, limited)
    assert isinstance(recipe, CorpusRecipe)
    from orpheus_conformance.corpus import study

    return study.again(recipe, limited)


def _limited(recipe: Recipe, backend: Backend) -> Backend:
    if not recipe.kernels:
        return backend
    kernels = tuple(s.kernel for s in subjects(backend) if s.id in recipe.kernels)
    return replace(backend, kernels=kernels)


def check(recipe: Recipe, backend: Backend) -> None:
    """CaseError when a recipe speaks of what is not there (any more), or would make another graph."""
    known = {s.id for s in subjects(backend)}
    gone = [name for name in recipe.kernels if name not in known]
    if gone:
        raise CaseError(f"backend {backend.name} has no kernel {', '.join(gone)}; see: orpheus backends")
    if isinstance(recipe, (GraphRecipe, NetworkRecipe)):
        from orpheus_conformance.plan.trial import PASSES

        if recipe.passes not in PASSES:
            raise CaseError(f"not a case: passes cannot be {recipe.passes!r}; {' or '.join(PASSES)}")
    if isinstance(recipe, GraphRecipe):
        _check_graph(recipe)
    elif isinstance(recipe, NetworkRecipe):
        from orpheus_conformance.plan.networks import NETWORKS

        if recipe.name not in NETWORKS:
            raise CaseError(f"no network is called {recipe.name!r}; there are {', '.join(NETWORKS)}")
    elif isinstance(recipe, CorpusRecipe):
        from orpheus_conformance.corpus.cases import find_case

        if find_case(recipe.name, {k.op for k in _limited(recipe, backend).kernels}) is None:
            raise CaseError(f"ONNX has no case {recipe.name!r} of these operators")


def _check_graph(recipe: GraphRecipe) -> None:
    from orpheus_conformance.plan.graphs import graph_of, known_ops, mark_of
    from orpheus_conformance.plan.random_graphs import STEPS

    strange = sorted(set(recipe.ops) - set(known_ops(recipe.ops)))
    if strange:
        raise CaseError(f"no random graph is made of {', '.join(strange)}")
    if recipe.dtype not in {d.value for d in DType if d.is_float}:
        raise CaseError(f"no random graph is of element type {recipe.dtype!r}")
    if recipe.seed < 0 or recipe.threads < 1 or not 0 < recipe.steps <= STEPS:
        raise CaseError(f"not a case: a graph has a seed from 0 on, a thread and at most {STEPS} steps")
    graph = graph_of(recipe)
    if graph is None or mark_of(graph) != recipe.mark:
        raise CaseError("this version of the suite makes another graph of the line; run the plan tier again")
