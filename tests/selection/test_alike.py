"""Layers that are alike are judged once, others each for themselves, pinned or not."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orpheus_core.graph import Graph, Node, Value
from orpheus_core.ops import ORPHEUS_DOMAIN, make_node
from orpheus_core.plugin import API, Backend, Kernel, Problem, Rule
from orpheus_core.selection.alike import Alike, judged_by
from orpheus_core.selection.cache import MeasurementCache
from orpheus_core.selection.candidates import candidates, problem_of
from orpheus_core.selection.options import SelectionOptions
from orpheus_core.selection.refusal import RefusalCode
from orpheus_core.selection.selector import choices_for, select
from orpheus_core.selection.signature import measurement_key
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


def near(problem: Problem) -> float:
    """Seconds by the bytes of the network's constants."""
    return float(problem.network_bytes)


def test_a_cost_sees_how_many_bytes_of_constants_the_network_has_and_a_measurement_does_not() -> None:
    kernel = Kernel(op="Add", name="k", run=f"{__name__}:never", cost=f"{__name__}:near")
    options = SelectionOptions(backends=(Backend(name="near", api=API, kernels=(kernel,)),))
    small, large = node(4, np.ones((1, 4), np.float32)), node(64, np.ones((1, 64), np.float32))
    for graph, wanted in ((graph_of(small), [16]), (graph_of(small, large), [272, 272])):
        _, selection = select(graph, options)
        assert [d.chosen.seconds for d in selection.decisions] == wanted
    keys = {
        measurement_key(d.problem, d.candidate)
        for d in (select(g, options)[1].decisions[0] for g in (graph_of(small), graph_of(small, large)))
    }
    assert len(keys) == 1


def graph_of(*nodes: Node) -> Graph:
    inputs = tuple(v for n in nodes for v in n.inputs if v is not None and v.const is None)
    return Graph(inputs, tuple(v for n in nodes for v in n.results), nodes)


def test_a_later_selection_asks_nothing_again_but_of_other_backends_and_under_other_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    backend = replace(BACKEND)  # an object of its own, of which nothing is known
    options = SelectionOptions(backends=(backend,))

    def asked(options: SelectionOptions = options) -> int:
        JUDGED.clear()
        _, selection = select(graph_of(node(16), node(32)), options)
        assert [d.chosen.seconds for d in selection.decisions] == [16, 32]
        return len(JUDGED)

    assert [asked(), asked()] == [2, 0]
    assert asked(replace(options, threads=2)) == 2
    assert asked(replace(options, backends=(replace(backend),))) == 2
    monkeypatch.setenv("ORPHEUS_ISA", "generic")
    assert [asked(), asked()] == [2, 0]
    monkeypatch.undo()
    assert asked() == 0


def test_options_that_leave_kernels_out_do_so_whatever_is_remembered() -> None:
    large = replace(KERNELS[0], name="large", expands=True)
    backend = Backend(name="b", api=API, kernels=(large, replace(KERNELS[0], cost=None)))
    options = SelectionOptions(backends=(backend,))
    for memory, names in (("normal", ["large", "k"]), ("low", ["k"]), ("normal", ["large", "k"])):
        _, selection = select(graph_of(node(1)), replace(options, memory=memory))  # type: ignore[arg-type]
        (decision,) = selection.decisions
        assert sorted(s.candidate.kernel.name for s in (decision.chosen, *decision.alternatives)) == sorted(
            names
        )


def test_measured_times_are_no_part_of_what_is_remembered(tmp_path: Path) -> None:
    backend = replace(BACKEND)
    options = SelectionOptions(backends=(backend,), cache=MeasurementCache(tmp_path / "m.json"))
    problem = problem_of(node(16))
    assert select(graph_of(node(16)), options)[1].decisions[0].chosen.seconds == 16
    (candidate,), _ = judged_by((backend,)).found[0]
    assert options.cache is not None
    options.cache.put(measurement_key(problem, candidate), 0.5)
    assert select(graph_of(node(16)), options)[1].decisions[0].chosen.seconds == 0.5
    assert select(graph_of(node(16)), replace(options, cache=None))[1].decisions[0].chosen.seconds == 16


FAILS: list[bool] = []


def shaky(problem: Problem) -> str | None:
    """A limit, or a cost, that fails while FAILS holds anything."""
    if FAILS:
        raise MemoryError(problem.op)
    return None


def shaky_cost(problem: Problem) -> float:
    """One second, unless it fails."""
    shaky(problem)
    return 1.0


@pytest.mark.parametrize("field", ["supports", "cost"])
def test_what_fails_is_asked_again(field: str) -> None:
    shakes: Any = {"supports": {"supports": f"{__name__}:shaky"}, "cost": {"cost": f"{__name__}:shaky_cost"}}[
        field
    ]
    backend = Backend(name="b", api=API, kernels=(KERNELS[0], replace(KERNELS[0], name="s", **shakes)))
    options = SelectionOptions(backends=(backend,))

    def found() -> tuple[int, list[str]]:
        decision = select(graph_of(node(16)), options)[1].decisions[0]
        scored = (decision.chosen, *decision.alternatives)
        return len(scored), sorted(s.source.value for s in scored)

    FAILS.append(True)
    failed = found()
    FAILS.clear()
    assert failed == {"supports": (1, ["cost model"]), "cost": (2, ["cost model", "rank"])}[field]
    assert found() == (2, ["cost model"] * 2)


def test_what_is_remembered_is_bounded() -> None:
    backend = replace(BACKEND)
    options = SelectionOptions(backends=(backend,))
    for size in range(1, 3000, 100):
        select(graph_of(*(node(n) for n in range(size, size + 100))), options)
    assert len(judged_by((backend,)).found) <= 1200
    first = judged_by((backend,))
    for _ in range(20):
        judged_by((replace(BACKEND),))
    assert judged_by((backend,)) is not first


def fused(size: int) -> Node:
    type_ = TensorType(DType.FLOAT32, (size, size))
    attributes = {"activation": "Relu"}
    a, b = Value("a", type_), Value("b", type_)
    return make_node("FusedMatMul", [a, b], [Value("y", type_)], attributes, domain=ORPHEUS_DOMAIN)


def test_the_parts_of_what_is_whole_are_weighed_only_where_another_backend_or_a_time_may_count(
    tmp_path: Path,
) -> None:
    def kernel(op: str, **more: object) -> Kernel:
        domain = ORPHEUS_DOMAIN if op.startswith("Fused") else ""
        return replace(KERNELS[0], op=op, domain=domain, **more)  # type: ignore[arg-type]

    parts = (kernel("MatMul"), kernel("Relu"))
    for whole in (False, True):
        backend = Backend(name="b", api=API, kernels=(kernel("FusedMatMul", whole=whole), *parts))
        options = SelectionOptions(backends=(backend,))
        JUDGED.clear()
        select(graph_of(fused(4)), options)
        assert ("MatMul" in JUDGED) is not whole
        JUDGED.clear()
        select(graph_of(fused(4)), replace(options, policy="cost"))
        assert whole is False or "MatMul" in JUDGED
    cache = MeasurementCache(tmp_path / "m.json")
    a, b, y = (v for v in (*fused(4).inputs, *fused(4).outputs) if v is not None)
    for part in (make_node("MatMul", [a, b], [y]), make_node("Relu", [y], [Value("z", y.type)])):
        (candidate,), _ = candidates(problem_of(part), [backend])
        cache.put(measurement_key(problem_of(part), candidate), 1e-3)
    _, selection = select(graph_of(fused(4)), replace(options, cache=cache))
    assert [d.node.op for d in selection.decisions] == ["MatMul", "Relu"]  # 2 ms beside 16 s
