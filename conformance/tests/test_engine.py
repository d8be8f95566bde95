from __future__ import annotations

import sys
from pathlib import Path

import pytest
from orpheus_conformance.case import Case
from orpheus_conformance.engine import Options, is_green, run
from orpheus_conformance.oracle import oracle_for
from orpheus_conformance.subject import find_subject
from orpheus_conformance.tiers import SURVEYS, TIERS
from orpheus_conformance.verdict import Court

from orpheus_core.errors import UsageError
from orpheus_core.plugin import Accuracy, Backend, Kernel, Rule
from orpheus_core.types import Device

sys.path.insert(0, str(Path(__file__).parent))
SEEDS = range(3)
GENERATED = (*SURVEYS, *TIERS)


def backend(op, function, **more):
    dtypes = {"T": ("float32", "float64")}
    kernel = Kernel(op=op, name="k", run=f"wrong_kernels:{function}", dtypes=dtypes, **more)
    return Backend(name="toy", api=1, kernels=(kernel,))


MUTANTS = {
    "group ignored": ("Conv", "conv_ignores_group", {}),
    "pads swapped": ("Conv", "conv_pads_off_by_one", {}),
    "NaN swallowed": ("Relu", "relu_swallows_nan", {}),
    "writes past the end": ("Relu", "relu_first_writes_past_the_end", {"writes_out": True}),
    "input changed": ("Relu", "relu_changes_its_input", {}),
    "half precision": ("MatMul", "matmul_in_half", {}),
    "declines by exception": ("Relu", "refuses_by_exception", {}),
    "absent code": ("Relu", "not_there", {}),
}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_caught_and_its_case_replays(name, seed):
    op, function, more = MUTANTS[name]
    mutant = backend(op, function, **more)
    failed = [row for row in run(mutant, Options(seed=seed, tiers=GENERATED)) if row.failed]
    assert failed
    for row in failed:
        if row.case is not None:
            case = Case.parse(row.case.line())
            verdict = Court(find_subject(mutant, case.kernel), oracle_for("toy"))(case)
            assert (verdict.outcome, verdict.message) == ("failed", row.message)


def test_who_declares_to_lose_nan_is_not_judged_on_it_and_its_row_says_so():
    careless = backend("Relu", "relu_swallows_nan", accuracy=Accuracy(special=False))
    rows = {row.tier: row for row in run(careless, Options(tiers=GENERATED))}
    assert (rows["special"].outcome, rows["special"].executed) == ("inapplicable", 0)
    assert "declares that NaN" in rows["special"].message
    assert is_green(list(rows.values()))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_right_kernel_passes_and_what_it_refuses_is_told(seed):
    right = backend("Relu", "relu", where=(Rule("X.rank", "in", (2, 4)), Rule("X.shape[1]", "==", 16)))
    rows = list(run(right, Options(seed=seed, tiers=GENERATED)))
    assert is_green(rows)
    assert {r.tier: r.executed for r in rows}["exact"] == 40
    refusal = next(r for r in rows if r.tier == "refusal")
    assert any("needs X.rank in (2, 4)" in reason for reason in refusal.refused)
    assert all(not r.refused for r in rows if r.tier == "exact")


def test_nothing_executed_is_a_failure():
    idle = backend("Relu", "relu", where=(Rule("X.rank", "==", 2), Rule("X.rank", "==", 3)))
    rows = list(run(idle, Options(tiers=GENERATED)))
    assert not is_green(rows)
    assert any("nothing was executed" in r.message for r in rows)


def test_an_unknown_operator_or_tier_is_a_usage_error():
    right = backend("Relu", "relu")
    with pytest.raises(UsageError, match="has no Conv"):
        list(run(right, Options(ops=("Conv",))))
    with pytest.raises(UsageError, match="no tier is called 'speed'"):
        list(run(right, Options(tiers=("speed",))))


@pytest.mark.parametrize(("function", "right"), [("relu", True), ("wrong_relu", False)])
def test_a_device_is_judged_through_its_runtime(function, right):
    kernel = Kernel(
        op="Relu", name="d", run=f"toy_device:{function}", writes_out=True, dtypes={"T": ("float32",)}
    )
    toy = Backend(name="toy", api=1, kernels=(kernel,), device=Device("toy"), runtime="toy_device:Runtime")
    assert is_green(list(run(toy, Options(tiers=GENERATED)))) is right
