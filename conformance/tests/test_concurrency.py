from __future__ import annotations

import pytest
from orpheus_conformance.case import Case
from orpheus_conformance.engine import Options, is_green, run
from orpheus_conformance.oracle import oracle_for
from orpheus_conformance.plan.study import jobs
from orpheus_conformance.subject import find_subject, subjects
from orpheus_conformance.verdict import Court

from orpheus_core.plugin import Backend, Kernel
from orpheus_core.types import Device

FLOATS = {"T": ("float32", "float64")}


def toy(code, **more):
    kernel = Kernel(op="Relu", name="k", prepare=f"graph_kernels:{code}", dtypes=FLOATS, **more)
    return Backend(name="toy", api=1, kernels=(kernel,))


def concurrency(backend, seed=0):
    (row,) = run(backend, Options(tiers=("concurrency",), seed=seed))
    return row


@pytest.mark.parametrize("seed", range(3))
def test_a_declared_overlap_that_does_not_hold_is_caught_and_replays(seed):
    backend = toy("Scratch", overlap=True)
    row = concurrency(backend, seed)
    assert row.failed
    case = Case.parse(row.case.line())
    assert Court(find_subject(backend, case.kernel), oracle_for("toy"))(case).outcome == "failed"


def test_a_declared_overlap_that_holds_passes():
    row = concurrency(toy("Plain", overlap=True))
    assert (row.outcome, row.executed) == ("passed", 40)


def test_what_does_not_overlap_is_held_apart_by_the_executors_lock():
    backend = toy("Scratch")
    row = concurrency(backend)
    assert (row.outcome, row.message) == ("inapplicable", "does not declare that calls may overlap")
    row = jobs(backend, subjects(backend), Options(examples=16, plan_seconds=30))[0].run()
    assert row.outcome == "passed", row.message


def test_a_layer_object_that_one_caller_binds_away_from_another_is_caught():
    backend = toy("BoundOnce")
    row = jobs(backend, subjects(backend), Options(plan_seconds=30))[0].run()
    assert row.failed
    assert "two callers disturb each other" in row.message


def device(**form):
    kernel = Kernel(op="Relu", name="d", dtypes={"T": ("float32",)}, **form)
    return Backend(
        name="toy", api=1, kernels=(kernel,), device=Device("toy"), runtime="toy_device:Runtime",
        probe="graph_kernels:ready",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("form", "says"),
    [
        ({"run": "toy_device:relu_writes_past_its_output", "writes_out": True}, "output 0 on the device"),
        ({"prepare": "toy_device:OverrunsItsWorkspace"}, "workspace"),
    ],
)
def test_memory_of_a_device_is_guarded_as_well(form, says):
    row = next(r for r in run(device(**form), Options(tiers=("bounded",))) if r.failed)
    assert says in row.message
    assert "bytes outside were written to" in row.message


def test_a_probe_that_says_ready_and_nothing_runs_is_seen():
    broken = Kernel(op="Relu", name="k", run="graph_kernels:no_device", dtypes=FLOATS)
    backend = Backend(name="toy", api=1, kernels=(broken,), probe="graph_kernels:ready")
    told = [r.message for r in run(backend, Options(tiers=("contract",))) if r.failed]
    assert any("the probe says Ready, but nothing runs" in m and "libdevice.so" in m for m in told)
    honest = device(run="toy_device:relu", writes_out=True)
    rows = list(run(honest, Options(tiers=("contract", "exact"))))
    assert is_green(rows), [r.message for r in rows]
