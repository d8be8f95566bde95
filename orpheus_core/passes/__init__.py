"""Simplification: one rewrite a file, each a pure ``run(graph) -> Graph``, and the order they run in.

A pass returns the very Graph it was given when it changed nothing, and applied to its own result it
changes nothing. A pass keeps the graph's input and output Values; it may use that inputs, also those with
defaults, are not constant.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from orpheus_core.errors import UsageError
from orpheus_core.graph import Graph
from orpheus_core.passes import fold_constants
from orpheus_core.passes.evaluate import Evaluator
from orpheus_core.passes.fold_constants import Budget
from orpheus_core.passes.rewriting import forget
from orpheus_core.plugin import PassSpec, resolve

__all__ = ["PIPELINE", "Evaluator", "Observer", "describe", "order", "simplify"]

#: Called after each pass that ran, with its name and the graph before and after (the same object when
#: nothing changed).
Observer: TypeAlias = Callable[[str, Graph, Graph], None]

#: The core's passes in the order they run; a name is a module of this package.
PIPELINE: tuple[str, ...] = (
    "eliminate_dead",
    "fold_constants",
    "fold_shapes",
    "fold_control_flow",
    "remove_identity",
    "eliminate_common",
    "resolve_auto_pad",
    "eliminate_reshapes",
    "eliminate_transposes",
    "fold_pad",
    "recognize_activations",
    "recognize_layer_norm",
    "fold_scale",
    "fold_batch_norm",
    "fuse_scale_shift",
    "fuse_conv",
    "fuse_gemm",
    "merge_siblings",
)

# From this pass on, what is fused no longer folds elsewhere: the passes before it settle first.
_FIRST_FUSION = "fuse_scale_shift"
# Every pass feeds some other; graphs seen in the wild settle in three rounds.
_ROUNDS = 8


def describe(name: str) -> str:
    """What a pass does: the first paragraph of its docstring; UsageError for an unknown name."""
    _check_known([name], PIPELINE)
    text = importlib.import_module(f"{__name__}.{name}").__doc__ or ""
    return " ".join(text.strip().split("\n\n")[0].split())


def simplify(
    graph: Graph,
    *,
    enable: Iterable[str] | None = None,
    disable: Iterable[str] = (),
    extra: Sequence[PassSpec] = (),
    evaluator: Evaluator | None = None,
    observer: Observer | None = None,
) -> Graph:
    """Run the passes in order, again and again until none changes the graph (at most eight rounds).

    The fusing passes join in once those before them have settled.

    ``enable`` names the passes to run (default: all, ``extra`` ones of plugins included), ``disable`` those
    to leave out. ``evaluator`` computes nodes whose inputs are constant; without it only shape-like operators
    are folded. Raises UsageError for a name that is not a pass.
    """
    known = order(extra)
    enabled = set(known) if enable is None else set(enable)
    disabled = set(disable)
    _check_known(enabled | disabled, known)
    steps = {n: _load(n, reference) for n, reference in known.items() if n in enabled - disabled}
    if "fold_constants" in steps:
        budget = Budget.of(graph)
        steps["fold_constants"] = partial(fold_constants.run, evaluator=evaluator, budget=budget)
    names = list(known)
    early = set(names[: names.index(_FIRST_FUSION)])
    try:
        last: dict[str, Graph] = {}
        graph = _settle(graph, {n: run for n, run in steps.items() if n in early}, last, observer)
        return _settle(graph, steps, last, observer)
    finally:
        forget()


def _settle(
    graph: Graph,
    steps: Mapping[str, Callable[[Graph], Graph]],
    last: dict[str, Graph],
    observer: Observer | None,
) -> Graph:
    """The graph that no step changes any more; ``last`` holds what each step gave last."""
    for _ in range(_ROUNDS):
        before_round = graph
        for name, run in steps.items():
            if last.get(name) is graph:
                continue
            after = run(graph)
            if observer is not None:
                observer(name, graph, after)
            graph = last[name] = after
        if graph is before_round:
            break
    return graph


def order(extra: Sequence[PassSpec]) -> dict[str, str | None]:
    """Pass names in the order they run, each with the reference to a plugin's function, None for the core's own.

    Raises UsageError for a name that is taken, or a place that is not there.
    """
    found: list[tuple[str, str | None]] = [(name, None) for name in PIPELINE]
    for spec in extra:
        names = [name for name, _ in found]
        if spec.name in names:
            raise UsageError(f"a plugin adds a pass {spec.name!r}, but there is one already; rename it")
        if spec.after is None:
            found.append((spec.name, spec.run))
            continue
        _check_known([spec.after], names)
        found.insert(names.index(spec.after) + 1, (spec.name, spec.run))
    return dict(found)


def _load(name: str, reference: str | None) -> Callable[[Graph], Graph]:
    run: Callable[[Graph], Graph] = resolve(reference or f"{__name__}.{name}:run")
    return run


def _check_known(names: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UsageError(f"there is no pass {', '.join(map(repr, unknown))}; there are {', '.join(known)}")
