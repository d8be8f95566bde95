"""Layers that are alike are judged once, others each for themselves, pinned or not."""

from __future__ import annotations

import pickle
from collections.abc import Mapping

import numpy as np
import pytest

from orpheus_core.graph import Node, Value
from orpheus_core.ops import make_node
from orpheus_core.plugin import API, Backend, Kernel, Problem, Rule
from orpheus_core.selection.alike import Alike
from orpheus_core.selection.candidates import candidates, problem_of
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.refusal import RefusalCode
from orpheus_core.selection.selector import choices_for
from orpheus_core.types import DType, TensorType

JUDGED: list[str] = []


def cost(problem: Problem) -> float:
    """Seconds by size, and a note that it was asked."""
    JUDGED.append(problem.op)
    type_ = problem.inputs[0]
    assert isinstance(type_, TensorType)
    return float(type_.size or 0)


def never(*_: object) -> None:
    """Selection calls no kernel."""


KERNELS = tuple(
    Kernel(op=op, name="k", run=f"{__name__}:never", cost=f"{__name__}:cost") for op in ("Relu", "Add")
)
BACKEND = Backend(name="b", api=API, kernels=KERNELS)


def node(size: int, constant: np.ndarray | None = None) -> Node:
    type_ = TensorType(DType.FLOAT32, (1, size))
    inputs = [Value("x", type_)] + ([] if constant is None else [Value.constant("w", constant)])
    return make_node("Relu" if constant is None else "Add", inputs, [Value("y", type_)])


@pytest.mark.parametrize("pins", [{}, {"Relu": "k"}, {"*": "b"}])
def test_unlike_layers_have_costs_of_their_own(pins: Mapping[str, str]) -> None:
    options = SelectionOptions(backends=(BACKEND,), pins=pins)
    alike = Alike(options.backends, None)
    JUDGED.clear()
    found = [choices_for(node(size), options, alike).scored[0].seconds for size in (16, 32, 16)]
    assert found == [16, 32, 16]
    assert len(JUDGED) == 2


@pytest.mark.parametrize(("size", "judged"), [(16, 1), (1, 2)])
def test_values_of_weights_do_not_matter_and_those_of_few_floats_do(size: int, judged: int) -> None:
    options = SelectionOptions(backends=(BACKEND,))
    alike = Alike(options.backends, None)
    JUDGED.clear()
    for value in (1, 2):
        choices_for(node(16, np.full((1, size), value, np.float32)), options, alike)
    assert len(JUDGED) == judged


def test_equal_rules_refuse_in_their_own_words() -> None:
    rules = {"true": True, "one": 1, "again": True, "two": 2}
    kernels = tuple(
        Kernel(op="Add", name=name, run=f"{__name__}:never", where=(Rule("B.constant", "==", value),))
        for name, value in rules.items()
    )
    backend = Backend(name="rules", api=API, kernels=kernels)
    b = Value("b", TensorType(DType.FLOAT32, (1, 4)))
    found, refused = candidates(problem_of(make_node("Add", [b, b], [Value("y", b.type)])), [backend])
    assert not found
    assert [r.text for r in refused] == [
        f"needs B.constant == {value!r}, has False" for value in rules.values()
    ]


def broken(problem: Problem) -> str | None:
    """A limit that fails."""
    raise ZeroDivisionError(problem.op)


def test_a_broken_limit_is_told_of_every_kernel_that_has_it() -> None:
    kernels = [Kernel(op="Add", name=n, run=f"{__name__}:never", supports=f"{__name__}:broken") for n in "ab"]
    whole = Kernel(op="Add", name="c", run=f"{__name__}:never")
    problem = problem_of(node(4, np.ones((1, 4), np.float32)))
    found, refused = candidates(problem, [Backend(name="b", api=API, kernels=(*kernels, whole))])
    assert [c.kernel.name for c in found] == ["c"]
    assert [(r.kernel, r.code) for r in refused] == [
        ("b:Add/a", RefusalCode.BROKEN),
        ("b:Add/b", RefusalCode.BROKEN),
    ]


def test_a_type_keeps_its_place_in_tables_of_other_processes() -> None:
    type_ = TensorType(DType.FLOAT32, (1, "N"))
    hash(type_)
    copy = pickle.loads(pickle.dumps(type_))
    assert copy == type_
    assert "_hash" not in vars(copy)
    assert {type_: 1}[copy] == 1
