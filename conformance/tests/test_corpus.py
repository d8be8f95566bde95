from __future__ import annotations

import numpy as np
import pytest
from orpheus_conformance.case import Case
from orpheus_conformance.corpus.cases import find_cases, impossible
from orpheus_conformance.corpus.compare import difference
from orpheus_conformance.engine import Options, run
from orpheus_conformance.oracle import oracle_for
from orpheus_conformance.subject import find_subject
from orpheus_conformance.verdict import Court

from orpheus_core.plugin import Backend, Kernel, Rule

CORPUS = Options(tiers=("corpus",))


def toy(*kernels):
    return Backend(name="toy", api=1, kernels=kernels)


def kernel(op, code, **more):
    return Kernel(op=op, name="k", run=f"graph_kernels:{code}", **{"dtypes": {"T": ("float32",)}, **more})


def rows(*kernels):
    return {r.kernel: r for r in run(toy(*kernels), CORPUS)}


def test_a_right_kernel_passes_and_what_it_refuses_is_counted_apart():
    found = rows(kernel("Add", "add", where=(Rule("A.rank", "==", 3),)))
    row = found["toy:Add/k"]
    assert row.outcome == "passed"
    assert row.executed == row.passed >= 2
    assert row.refused.total() >= 5
    assert any("float32" in reason for reason in row.refused)
    assert row.message.startswith(f"{row.passed} passed, 0 failed, {row.refused.total()} not supported")


def test_a_wrong_kernel_fails_by_name_and_its_case_replays():
    row = rows(kernel("Softmax", "softmax_of_the_last_axis"))["toy:Softmax/k"]
    assert row.failed
    assert "test_softmax_axis_0" in row.message
    assert row.passed >= 3
    case = Case.parse(row.case.line())
    verdict = Court(
        find_subject(toy(kernel("Softmax", "softmax_of_the_last_axis")), case.kernel), oracle_for("toy")
    )(case)
    assert verdict.outcome == "failed"


def test_what_declines_by_exception_or_asks_the_reference_does_not_pass():
    row = rows(kernel("Relu", "no_device"))["toy:Relu/k"]
    assert row.failed
    assert "OSError" in row.message
    row = rows(kernel("Relu", "relu_by_the_reference"))["toy:Relu/k"]
    assert row.failed
    assert "calls the reference" in row.message
    assert row.passed == 0


def test_a_backend_that_refuses_everything_has_passed_nothing():
    row = rows(kernel("Relu", "relu", where=(Rule("X.rank", "==", 9),)))["toy:Relu/k"]
    assert (row.outcome, row.executed) == ("refused", 0)
    assert all("needs X.rank == 9" in reason for reason in row.refused)


def test_in_a_process_of_its_own_a_crash_is_a_row_and_the_run_goes_on():
    backend = toy(kernel("Add", "add"), kernel("Relu", "dies"))
    options = Options(tiers=("plan", "corpus"), aside=True, plan_seconds=2)
    found = {(r.kernel, r.tier): r for r in run(backend, options)}
    crashed = found["toy:Relu/k", "corpus"]
    assert (crashed.outcome, crashed.kind) == ("failed", "crash")
    assert "SIGABRT" in crashed.message
    assert found["toy:Add/k", "corpus"].outcome == "passed"
    assert found["toy", "corpus"].outcome == "inapplicable"
    assert found["toy", "plan"].kind == "crash"


def test_graphs_are_tried_when_every_operator_is_there():
    found = rows(kernel("Neg", "neg"), kernel("Relu", "relu"))
    assert found["toy"].outcome in ("passed", "refused", "inapplicable")
    assert found["toy"].failed is False


@pytest.mark.parametrize("name", impossible())
def test_impossible_cases_exist(name):
    ops = {"Bernoulli", "RandomUniformLike", "Greater", "Less", "Cast"}
    assert name in {case.name for case in find_cases(ops)}


def test_only_files_that_speak_of_an_operator_are_read():
    assert {c.model.graph.node[0].op_type for c in find_cases({"Hardmax"})} == {"Hardmax"}


@pytest.mark.parametrize(
    ("got", "want", "right"),
    [
        (np.float32([1, 2]), np.float32([1, 2.0000002]), True),
        (np.float32([1e-5, 100]), np.float32([0, 100]), True),
        (np.float32([1e-3, 100]), np.float32([0, 100]), False),
        (np.float32([np.nan, 1]), np.float32([np.nan, 1]), True),
        (np.float32([np.nan, 1]), np.float32([0, 1]), False),
        (np.float32([np.inf]), np.float32([-np.inf]), False),
        (np.int64([1]), np.int64([2]), False),
        (np.float64([1]), np.float32([1]), False),
        (np.float32([[1]]), np.float32([1]), False),
        ([np.float32([1])], [np.float32([1]), np.float32([1])], False),
        (None, None, True),
    ],
)
def test_comparing(got, want, right):
    assert (difference(got, want, 1e-3, 1e-7, terms=16, factor=1.0) == "") is right
