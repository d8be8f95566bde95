"""What a replay tells of a case: the layer, and for each output what came, what was expected, and what was allowed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from orpheus_conformance.case import Case, Dictionary, Operand
from orpheus_conformance.case import Sequence as TensorSequence
from orpheus_conformance.plan.graphs import graph_of
from orpheus_conformance.recipe import CorpusRecipe, GraphRecipe, NetworkRecipe, Recipe
from orpheus_conformance.verdict import Court, Verdict
from orpheus_core.types import Array

_PLACES = 8
_ELEMENTS = 64


def explain(court: Court, case: Case) -> tuple[Verdict, str]:
    """The verdict on a case, and a few lines on how it came about. CaseError as :class:`.verdict.Court`."""
    told: list[str] = [*describe(case), f"judged by {court.oracle.name}"]

    def note(index: int, got: Any, right: Sequence[tuple[Any, Array | None]]) -> None:
        told.extend(_output(index, got, *right[0]))

    verdict = replace(court, note=note)(case)
    return verdict, "\n".join(told)


def describe(case: Case) -> list[str]:
    """The layer in words, a line each for the operator, attributes and inputs."""
    lines = [f"{case.op_id}, opset version {case.version}, tier {case.tier}, kernel {case.kernel}"]
    lines += [f"  {name} = {value!r}" for name, value in case.attributes.items()]
    lines += [f"  input {i}: {_operand(o)}" for i, o in enumerate(case.inputs) if o is not None]
    manner = {**case.variant, **({"threads": case.threads} if case.threads != 1 else {})}
    layouts = (*case.inputs_layout, *case.outputs_layout)
    if any(name != "plain" for name in layouts):
        manner["layouts"] = f"{', '.join(case.inputs_layout)} -> {', '.join(case.outputs_layout)}"
    return lines + [f"  {name}: {value}" for name, value in manner.items()]


def describe_whole(recipe: Recipe) -> list[str]:
    """A whole graph in words; a random one is printed."""
    if isinstance(recipe, CorpusRecipe):
        return [f"{recipe.name}, one of ONNX's own cases, on {recipe.kernel}"]
    if isinstance(recipe, NetworkRecipe):
        return [f"{recipe.name} of the zoo in its smallest form, seed {recipe.seed}, with {recipe.passes}"]
    assert isinstance(recipe, GraphRecipe)
    head = f"random graph {recipe.seed} of {recipe.steps} steps, {recipe.dtype}, with {recipe.passes}"
    head += f", threads={recipe.threads}" if recipe.threads != 1 else ""
    head += ", from several threads too" if recipe.together else ""
    return [head, *(f"  {line}" for line in str(graph_of(recipe)).splitlines())]


def _operand(operand: Any) -> str:
    if isinstance(operand, Operand):
        values = f"the values {list(operand.data)}" if operand.data is not None else f"{operand.kind} values"
        constant = ", a constant" if operand.constant else ""
        return f"{operand.dtype}{list(operand.shape)}, {values}{constant}"
    if isinstance(operand, TensorSequence):
        return f"a list of {len(operand.elements)} tensors of {operand.dtype}"
    if isinstance(operand, Dictionary):
        return f"a map of {operand.key} to {operand.value}, {len(operand.items)} items"
    return repr(operand)


def _output(index: int, got: Any, want: Any, bound: Array | None) -> list[str]:
    lines = [f"output {index}:"]
    if not (isinstance(got, np.ndarray) and isinstance(want, np.ndarray) and got.shape == want.shape):
        return [*lines, f"  got       {_shown(got)}", f"  expected  {_shown(want)}"]
    if got.size <= _ELEMENTS:
        lines += [f"  got       {_shown(got)}", f"  expected  {_shown(want)}"]
        if bound is not None and bound.size:
            lines.append(f"  allowed   {_shown(bound)}")
    return lines + _worst(got, want, bound)


def _worst(got: Array, want: Array, bound: Array | None) -> list[str]:
    """The elements that are furthest off, measured by what was allowed, at most a handful."""
    if got.dtype.kind not in "fiub" and got.dtype.name not in ("bfloat16",):
        return []
    with np.errstate(all="ignore"):
        mine, right = got.astype(np.float64), want.astype(np.float64)
        error = np.abs(mine - right)
        same = (mine == right) | (np.isnan(mine) & np.isnan(right))
        allowed = np.zeros(got.shape) if bound is None else np.broadcast_to(bound, got.shape)
        off = np.where(
            same, 0.0, np.nan_to_num(error / np.maximum(allowed, np.finfo(float).tiny), nan=np.inf)
        )
    places = np.argsort(-off, axis=None, kind="stable")[:_PLACES]
    lines = []
    for flat in places:
        if off.flat[flat] <= 0:
            break
        where = ",".join(map(str, np.unravel_index(flat, got.shape)))
        lines.append(
            f"  [{where}]  got {got.flat[flat]!s}, expected {want.flat[flat]!s}, error {error.flat[flat]:.3g}, "
            f"allowed {allowed.flat[flat]:.3g}"
        )
    return lines


def _shown(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        text = " ".join(repr(value).split())
    elif value.size <= _ELEMENTS:
        text = f"{value.dtype}{list(value.shape)} {' '.join(np.array2string(value, threshold=_ELEMENTS).split())}"
    else:
        text = f"{value.dtype}{list(value.shape)}"
    return text if len(text) <= 600 else text[:597] + "..."
