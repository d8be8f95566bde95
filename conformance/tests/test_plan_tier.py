from __future__ import annotations

import builtins
import pickle

import numpy as np
import pytest
from graph_kernels import seal, seal_forgets_the_last
from orpheus_conformance.engine import Options, is_green, run
from orpheus_conformance.plan.graphs import make_graph
from orpheus_conformance.plan.reference import Reference
from orpheus_conformance.plan.study import jobs
from orpheus_conformance.plan.trial import Bench
from orpheus_conformance.plan.witness import Record, witnessed
from orpheus_conformance.subject import subjects

from orpheus_core import discovery
from orpheus_core.importer import to_onnx
from orpheus_core.plugin import Backend, Format, Kernel, Rule
from orpheus_core.session import InferenceSession
from orpheus_core.types import DType

FLOATS = {"T": ("float32", "float64")}


def kernel(op, code, **more):
    form = "prepare" if code[0].isupper() else "run"
    return Kernel(op=op, name="k", dtypes=FLOATS, **{form: f"graph_kernels:{code}"}, **more)


def toy(*kernels, **more):
    return Backend(name="toy", api=1, kernels=kernels, **more)


def rows(backend, **options):
    options.setdefault("plan_seconds", 60.0)
    found = jobs(backend, subjects(backend), Options(**options))
    return [job.run() for job in found[:1]]


ORDINARY = (kernel("Relu", "relu"), kernel("Neg", "neg"), kernel("Add", "add"), kernel("MatMul", "matmul"))


@pytest.mark.parametrize("seed", range(3))
def test_a_right_backend_passes_alone_and_beside_the_reference(seed):
    (row,) = rows(toy(*ORDINARY), seed=seed)
    assert (row.outcome, row.message[:18]) == ("passed", "4 of 4 kernels met")
    alone = int(row.message.partition("; ")[2].split()[0])
    assert 5 < alone < row.passed
    assert row.executed == row.passed > 40
    assert set(row.dtypes) == {"float32", "float64"}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (kernel("Relu", "relu_by_the_reference"), "calls the reference"),
        (kernel("MatMul", "matmul_keeps_weights"), "expected"),
        (kernel("Relu", "relu_slightly_off"), "expected"),
    ],
)
def test_a_wrong_kernel_is_caught_in_a_graph(wrong, says, seed):
    others = [k for k in ORDINARY if k.op != wrong.op]
    (row,) = rows(toy(wrong, *others), seed=seed)
    assert row.failed
    assert says in row.message
    assert "random graph" in row.message


def test_a_seal_is_used_and_one_that_forgets_a_step_is_caught():
    right = (kernel("Relu", "Plain"), kernel("Neg", "neg"))
    (row,) = rows(toy(*right, seal=f"graph_kernels:{seal.__name__}"))
    assert row.outcome == "passed"
    (row,) = rows(toy(*right, seal=f"graph_kernels:{seal_forgets_the_last.__name__}"))
    assert row.failed


def test_a_team_that_is_not_complete_is_caught():
    (row,) = rows(toy(kernel("Relu", "HalfOfTheTeam")))
    assert row.failed
    assert row.case.threads > 1
    assert f"threads={row.case.threads}" in row.message
    assert f'"threads":{row.case.threads}' in row.case.line()


def test_another_layout_is_right_through_the_conversions_of_a_plan():
    blocked = (Format(("NCHW16c",), ("NCHW16c",)),)
    (row,) = rows(toy(kernel("Relu", "Plain", formats=blocked, where=(Rule("X.rank", "==", 4),))))
    assert row.outcome == "passed", row.message
    assert row.executed > 20


def test_a_session_that_runs_another_kernel_than_planned_is_noticed(monkeypatch):
    """As a core, or a backend that swaps code, that says one kernel and calls another."""
    two = (kernel("Relu", "relu"), Kernel(op="Neg", name="k", run="graph_kernels:neg", dtypes=FLOATS))
    bench = Bench(toy(*two))
    graph = make_graph(5, 12, ["Relu"], DType.FLOAT32)
    feeds = {v.name: np.ones(v.type.static_shape, np.float32) for v in graph.inputs}
    model = to_onnx(graph)
    expected = bench.expect(model, feeds)
    assert bench.attempt(model, feeds, expected, ()).fault == ""
    # What notes "toy:Relu/k" now notes another kernel's name, as if that had run.
    kernels = bench._noting[0].kernels
    import orpheus_conformance.plan.witness as witness

    real = witness._stand_ins[kernels[0].run.partition(":")[2]]
    swapped = Record()
    (other,) = witnessed(toy(kernel("Relu", "relu")), swapped, watch=False).kernels

    def another(X):
        bench._record.ran.append("toy:Relu/another")
        return np.maximum(X, 0)

    monkeypatch.setitem(witness._stand_ins, other.run.partition(":")[2], another)
    backend = toy(other, kernels[1])
    monkeypatch.setattr(bench, "_noting", (backend, *bench._noting[1:]))
    assert real is not another
    fault = bench.attempt(model, feeds, expected, ()).fault
    assert "other kernels ran than planned" in fault
    assert "toy:Relu/another in place of toy:Relu/k" in fault


def test_the_reference_backend_passes():
    (row,) = rows(discovery.get("numpy"), examples=30, seed=9)
    assert row.outcome == "passed", row.message


def test_bounds_follow_what_a_graph_does_to_errors():
    """Sums of one more term allow more; a saturated function forgives, a small variance does not."""
    graph = make_graph(3, 8, ["MatMul", "Tanh"], DType.FLOAT32)
    feeds = {v.name: np.ones(v.type.static_shape, np.float32) for v in graph.inputs}
    single = Reference().expect(graph, feeds)
    double = Reference().expect(make_graph(3, 8, ["MatMul", "Tanh"], DType.FLOAT64), {
        n: a.astype(np.float64) for n, a in feeds.items()
    })  # fmt: skip
    assert all(a.bound > 1e3 * b.bound > 0 for a, b in zip(single, double))
    assert all(a.bound < 1e-3 for a in single)


def test_a_graph_of_fewer_steps_begins_the_same():
    long, short = (make_graph(11, n, ["Relu", "Add", "Conv"], DType.FLOAT32) for n in (9, 4))
    names = [n.name for n in long.nodes]
    assert [v.name for v in long.inputs] == [v.name for v in short.inputs]
    assert {n.name for n in short.nodes} <= {*names, *(n.name for n in short.nodes)}
    assert make_graph(0, 5, ["StringNormalizer"], DType.FLOAT32) is None


def test_networks_of_the_zoo_run_on_the_promised_kernels():
    found = jobs(toy(*ORDINARY), subjects(toy(*ORDINARY)), Options(plan_seconds=60))
    networks = {job.kernel: job for job in found}
    row = networks["toy:zoo/mobilenet-v2"].run()
    assert row.outcome == "passed", row.message
    assert "steps ran on toy" in row.message


def test_a_wrong_kernel_is_caught_in_a_network():
    wrong = toy(kernel("Relu", "relu_slightly_off"))
    row = {j.kernel: j for j in jobs(wrong, subjects(wrong), Options(plan_seconds=60))}[
        "toy:zoo/wrn-40-2"
    ].run()
    assert row.failed
    assert "allowed error" in row.message


def test_without_the_zoo_the_row_says_so(monkeypatch):
    real = builtins.__import__

    def absent(name, *args):
        if name.startswith("orpheus_experiments"):
            raise ImportError("no module named orpheus_experiments")
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", absent)
    last = jobs(toy(*ORDINARY), subjects(toy(*ORDINARY)), Options())[-1].run()
    assert (last.kernel, last.outcome) == ("toy:zoo", "untested")
    assert "not available" in last.message


def test_when_time_is_over_rows_are_untested_and_not_passed():
    found = list(run(toy(*ORDINARY), Options(tiers=("plan",), plan_seconds=0)))
    assert {r.outcome for r in found} == {"untested"}
    assert not is_green(found)


def test_a_witness_is_the_backend_itself_but_for_its_code():
    record = Record()
    backend = toy(kernel("Relu", "relu"))
    noting = witnessed(backend, record, watch=True)
    assert pickle.loads(pickle.dumps(noting)) == noting
    graph = make_graph(5, 12, ["Relu"], DType.FLOAT32)
    feeds = {v.name: np.ones(v.type.static_shape, np.float32) for v in graph.inputs}
    with discovery.override(noting, keep_installed=True):
        InferenceSession(to_onnx(graph), providers=["toy", "numpy"], enable_passes=()).run(None, feeds)
    assert set(record.ran) == {"toy:Relu/k"}
