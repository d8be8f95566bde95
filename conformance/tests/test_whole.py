"""Failures that are not of one layer: each is a line that replays, and passes once the kernel is mended."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from orpheus_conformance.aside import judge_aside
from orpheus_conformance.case import Case, CaseError
from orpheus_conformance.engine import Options, run
from orpheus_conformance.expect import Expectation
from orpheus_conformance.plan.graphs import graph_of, mark_of
from orpheus_conformance.recipe import CorpusRecipe, GraphRecipe, NetworkRecipe, read_line
from orpheus_conformance.runner import Run
from orpheus_conformance.whole import judge_whole

from orpheus_core import discovery
from orpheus_core.plugin import Backend, Kernel, Rule

FLOATS = {"T": ("float32", "float64")}
PLAN, CORPUS = Options(tiers=("plan",), plan_seconds=60.0), Options(tiers=("corpus",))


def kernel(op, code, **more):
    form = "prepare" if code[0].isupper() else "run"
    return Kernel(op=op, name="k", **{"dtypes": FLOATS, form: f"graph_kernels:{code}", **more})


def toy(*kernels, **more):
    return Backend(name="toy", api=1, kernels=kernels, **more)


def first(backend, options=PLAN):
    return next(iter(run(backend, options)))


ORDINARY = (kernel("Relu", "relu"), kernel("Neg", "neg"), kernel("MatMul", "matmul"))
OFF = (kernel("Relu", "relu_slightly_off"), *ORDINARY[1:])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (toy(*OFF), toy(*ORDINARY)),
        (toy(kernel("Relu", "relu_by_the_reference"), *ORDINARY[1:]), toy(*ORDINARY)),
        (
            toy(kernel("Relu", "Plain"), ORDINARY[1], seal="graph_kernels:seal_forgets_the_last"),
            toy(kernel("Relu", "Plain"), ORDINARY[1], seal="graph_kernels:seal"),
        ),
    ],
)
def test_a_failing_graph_is_small_replays_and_passes_when_mended(wrong, right, seed):
    row = first(wrong, replace(PLAN, seed=seed))
    assert row.failed
    recipe = read_line(row.case.line())
    assert recipe == row.case
    assert len(graph_of(recipe).nodes) <= 8
    assert judge_aside(recipe, wrong).outcome == "failed"
    assert judge_aside(recipe, right).outcome == "passed"


def test_what_hangs_on_earlier_graphs_is_not_told_as_failing_alone():
    """The kernel keeps weights by their shape, from one session to the next."""
    wrong = toy(*ORDINARY[:2], kernel("MatMul", "matmul_keeps_weights"))
    row = first(wrong, replace(PLAN, shrink_seconds=4.0))
    assert row.failed
    comes_again = judge_aside(read_line(row.case.line()), wrong).outcome == "failed"
    assert comes_again is not row.message.startswith("comes and goes")


def test_a_failing_network_replays():
    wrong = toy(kernel("Relu", "relu_slightly_off"))
    row = next(r for r in run(wrong, PLAN) if r.kernel == "toy:zoo/wrn-40-2")
    recipe = read_line(row.case.line())
    assert isinstance(recipe, NetworkRecipe)
    assert judge_whole(recipe, wrong).outcome == "failed"
    assert judge_whole(recipe, toy(kernel("Relu", "relu"))).outcome == "passed"


def test_some_kernels_of_a_backend_are_named_in_the_line():
    backend = toy(*OFF)
    row = first(backend, replace(PLAN, ops=("Relu",)))
    assert row.case.kernels == ("toy:Relu/k",)
    assert row.case.ops == ("Relu",)
    assert judge_whole(row.case, backend).outcome == "failed"


@pytest.fixture
def offered():
    with discovery.override(keep_installed=True):
        yield discovery.register


def test_the_command_prints_the_line_and_replays_it(offered, conform, orpheus):
    offered(toy(*OFF))
    code, out, _ = conform("toy", "--op", "Relu", tiers=("plan",), examples=40)
    assert code == 1
    line = re.findall(r"FAILED  toy, plan: .*\n  orpheus conform replay '(.*)'", out)[0]
    code, out, _ = orpheus("conform", "replay", line)
    assert code == 1
    assert out.startswith("random graph ")
    assert "relu" in out
    assert "FAILED: output 0" in out
    assert orpheus("conform", "replay", line, "--isolate")[0] == 1
    offered(toy(*ORDINARY))
    code, out, _ = orpheus("conform", "replay", line)
    assert (code, out.splitlines()[-1]) == (0, "passed")


def test_a_kept_line_runs_first(offered, conform, tmp_path):
    kept = tmp_path / "regressions.jsonl"
    kept.touch()
    offered(toy(*OFF))
    assert conform("toy", tiers=("plan",), examples=40)[0] == 1
    recipes = [json.loads(line) for line in kept.read_text().splitlines()]
    assert "graph" in {tag for r in recipes for tag in r}
    for flag in ((), ("--isolate",)):
        code, out, _ = conform("toy", *flag, tiers=("plan",), examples=1)
        assert code == 1
        assert "FAILED  toy, regressions: " in out
        assert f"({kept.name}, line 1)" in out
    offered(toy(*ORDINARY))
    code, out, _ = conform("toy", tiers=("plan",), examples=1)
    assert code == 0, out
    # A run of other kernels leaves it out.
    offered(toy(kernel("Softmax", "softmax_of_the_last_axis")))
    assert "regressions" not in conform("toy", "--op", "Softmax", tiers=("layouts",), examples=1)[1]


GRAPH = GraphRecipe("toy", seed=3, steps=4, ops=("Relu",))
GRAPH = replace(GRAPH, mark=mark_of(graph_of(GRAPH)))


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        (replace(GRAPH, mark=GRAPH.mark ^ 1), "makes another graph of the line"),
        (replace(GRAPH, kernels=("toy:Gone/k",)), "backend toy has no kernel toy:Gone/k"),
        (replace(GRAPH, ops=("Gone",)), "no random graph is made of Gone"),
        (replace(GRAPH, dtype="int7"), "no random graph is of element type 'int7'"),
        (replace(GRAPH, steps=10**9), "at most 16 steps"),
        (replace(GRAPH, seed=-1), "a seed from 0 on"),
        (replace(GRAPH, threads=0), "a thread"),
        (replace(GRAPH, passes="some"), "passes cannot be 'some'"),
        (replace(GRAPH, backend="yot"), "backend 'yot' is not installed"),
        (NetworkRecipe("toy", name="lenet"), "no network is called 'lenet'"),
        (CorpusRecipe("toy", name="test_gone"), "ONNX has no case 'test_gone' of these operators"),
        ('{"graph":[]}', "graph cannot be []"),
        ('{"graph":{"seed":1}}', "graph names no backend"),
        ('{"graph":{"backend":"toy","speed":1}}', "graph has no field speed"),
        ('{"graph":{"backend":"toy","seed":"1"}}', "graph.seed cannot be '1'"),
        ('{"graph":{"backend":"toy","ops":[1]}}', r"graph.ops cannot be [1]"),
        ('{"graph":{"backend":""}}', "it names no kernel"),
    ],
)
def test_a_line_that_cannot_be_made_again_ends_with_2(offered, orpheus, recipe, says):
    offered(toy(*ORDINARY))
    code, _, err = orpheus("conform", "replay", recipe if isinstance(recipe, str) else recipe.line())
    assert code == 2
    assert says in err


def test_lines_of_layers_are_still_cases():
    line = '{"op":"Relu","version":14,"inputs":[]}'
    assert isinstance(read_line(line), Case)
    with pytest.raises(CaseError, match="not JSON"):
        read_line("{")


# ONNX's own cases.

WRONG_SOFTMAX = toy(kernel("Softmax", "softmax_of_the_last_axis"))


def test_a_failing_case_is_the_same_in_a_process_of_its_own():
    here = first(WRONG_SOFTMAX, CORPUS)
    there = first(WRONG_SOFTMAX, replace(CORPUS, aside=True))
    assert here.failed
    assert (there.message, there.case, there.kind) == (here.message, here.case, here.kind)
    assert isinstance(there.case, Case)


def test_a_case_that_is_no_layer_of_its_own_replays_by_name():
    asks = toy(kernel("Relu", "relu_by_the_reference"))
    recipe = CorpusRecipe("toy", ("toy:Relu/k",), "test_relu", True)
    assert read_line(recipe.line()) == recipe
    assert "calls the reference" in judge_aside(recipe, asks).message
    assert judge_aside(recipe, toy(kernel("Relu", "relu"))).outcome == "passed"
    other = toy(kernel("Relu", "relu", where=(Rule("X.rank", "==", 9),)))
    assert judge_aside(recipe, other).outcome == "refused"


def test_graphs_of_several_nodes_replay_by_name():
    wrong = toy(
        *(kernel(op, code, dtypes={}) for op, code in (("Neg", "relu"), ("Abs", "relu"), ("Add", "neg")))
    )
    found = [r for r in run(wrong, CORPUS) if r.failed]
    assert found
    for row in found:
        assert judge_aside(read_line(row.case.line()), wrong).outcome == "failed" or isinstance(
            row.case, Case
        )


@pytest.mark.parametrize("aside", [False, True])
def test_a_declared_defect_is_expected_there_too(aside):
    witness = first(WRONG_SOFTMAX, CORPUS).case
    entry = Expectation(
        "x", "toy:Softmax/k", (Rule("axis", "!=", -1),), "notyet", "wrong", "axes", "", witness
    )
    with Run(WRONG_SOFTMAX, replace(CORPUS, aside=aside), expectations=(entry,)) as judged:
        rows = {(r.kernel, r.tier): r for r in judged.rows()}
    row = rows["toy:Softmax/k", "corpus"]
    assert row.expected["axes"] >= 2
    assert not row.failed or "axis" not in row.message


def test_a_crash_has_its_case_and_the_run_goes_on(offered, orpheus):
    backend = toy(kernel("Relu", "dies"), kernel("Add", "add"))
    found = {
        (r.kernel, r.tier): r for r in run(backend, replace(CORPUS, tiers=("plan", "corpus"), aside=True))
    }
    graph, crashed = found["toy", "plan"], found["toy:Relu/k", "corpus"]
    assert (graph.outcome, graph.kind) == (crashed.outcome, crashed.kind) == ("failed", "crash")
    assert isinstance(graph.case, GraphRecipe)
    assert crashed.case == CorpusRecipe("toy", ("toy:Relu/k",), "test_relu", True)
    assert found["toy:Add/k", "corpus"].outcome == "passed"
    assert not found["toy", "corpus"].failed
    offered(backend)
    for row in (graph, crashed):
        code, out, _ = orpheus("conform", "replay", row.case.line(), "--isolate")
        assert code == 4
        assert "FAILED (crash): the process ended by SIGABRT" in out


@pytest.mark.parametrize(
    ("module", "kind", "says"),
    [("fatal_import", "crash", "SIGABRT"), ("slow_import", "timeout", "gave no result within 2 s")],
)
def test_a_kernel_that_does_not_survive_its_import_is_a_row(module, kind, says):
    backend = toy(
        kernel("Neg", "neg"),
        Kernel(op="Relu", name="k", dtypes=FLOATS, run=f"{module}:relu"),
        kernel("Add", "add"),
    )
    options = Options(tiers=("contract",), aside=True, time_limit=2.0)
    rows = list(run(backend, options))
    assert [(r.kernel, r.outcome) for r in rows] == [
        ("toy", "passed"), ("toy:Neg/k", "passed"), ("toy:Relu/k", "failed"), ("toy:Add/k", "passed"),
    ]  # fmt: skip
    assert rows[2].kind == kind
    assert says in rows[2].message
