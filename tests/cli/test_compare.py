"""``compare``: verdicts, and backends that are wrong, crash, hang or are not usable."""

from __future__ import annotations

import json

import numpy as np
import pytest

QUICK = ("--runs", 3, "--min-time", 0)


@pytest.fixture
def compare(orpheus, relu_model):
    """``compare(LIST, ...)`` on one Relu; gives the exit code and the rows by name."""

    def run(backends: str | None, *arguments: object, **environment: str):
        chosen = () if backends is None else ("-b", backends)
        done = orpheus("compare", relu_model, *chosen, *QUICK, *arguments, "--json", **environment)
        rows = json.loads(done.out)["models"][0]["variants"] if done.out else []
        return done.code, {row["backend"]: row for row in rows}

    run.install = orpheus.install
    return run


def test_two_right_backends(compare, toy) -> None:
    compare.install("one", toy("one"))
    compare.install("two", toy("two", "return np.where(x > 0, x, np.float32(0))"))
    code, rows = compare("one,two")
    assert code == 0, rows
    assert rows["one"]["verdict"] == "reference" and rows["two"]["verdict"] == "pass"
    for row in rows.values():
        assert row["runs"] >= 3 and 0 < row["p10"] <= row["median"] <= row["p90"]
        assert (row["load"] > 0 and row["peak_bytes"] is None) or row["peak_bytes"] > 2**20
        assert row["max_error"] == 0 and row["weight_bytes"] == 0
        assert row["backend"] in row["plan"]


def test_a_wrong_backend_fails_with_1(compare, toy) -> None:
    compare.install("right", toy("right"))
    compare.install("wrong", toy("wrong", "return np.maximum(x, np.float32(0.001))"))
    code, rows = compare("right,wrong")
    assert code == 1
    assert rows["wrong"]["verdict"].startswith("FAIL")
    assert rows["wrong"]["max_error"] == pytest.approx(1e-3, rel=1e-3)
    assert compare("right,wrong", "--tolerance", "0.5")[0] == 0


@pytest.mark.parametrize(
    ("body", "status", "part"),
    [
        ("os.kill(os.getpid(), 11)", "crashed", "SIGSEGV"),
        ("os._exit(7)", "crashed", "code 7"),
        ("time.sleep(600)", "timed out", "no answer in 5 s"),
        ("raise RuntimeError('no luck')", "failed", "no luck"),
    ],
)
def test_a_backend_that_does_not_survive_costs_its_row_only(
    compare, toy, body: str, status: str, part: str
) -> None:
    compare.install("bad", toy("bad", body))
    compare.install("good", toy("good"))
    code, rows = compare("bad,good", "--timeout", 5)
    assert code == 4
    assert rows["bad"]["status"] == status and part in rows["bad"]["reason"]
    assert rows["good"]["verdict"] == "reference" and rows["good"]["runs"] >= 3


def test_a_backend_that_dies_while_it_is_timed(compare, toy) -> None:
    compare.install(
        "bad", toy("bad", "relu.n = getattr(relu, 'n', 0) + 1; relu.n < 4 or os._exit(7); return x * (x > 0)")
    )
    compare.install("good", toy("good"))
    code, rows = compare("good,bad")
    assert code == 4
    assert rows["bad"]["status"] == "crashed" and rows["good"]["runs"] >= 3


def test_backends_that_are_not_ready_are_rows(compare, toy) -> None:
    compare.install("good", toy("good"))
    compare.install("dead", toy("dead", probe="fake_dead:probe"))
    compare.install("bad", "raise SystemExit")
    code, rows = compare(None)
    assert code == 0, "what was not asked for by name may be absent"
    assert rows["dead"]["verdict"] == "skipped: unavailable: no such device"
    assert rows["bad"]["verdict"].startswith("skipped: broken")
    code, rows = compare("good,dead")
    assert code == 2, "what was asked for by name may not"
    assert rows["good"]["runs"] >= 3 and rows["dead"]["status"] == "skipped"


def test_nothing_ready_is_an_error(orpheus, relu_model, toy) -> None:
    orpheus.install("dead", toy("dead", probe="fake_dead:probe"))
    for arguments in (("-b", "dead"), ()):
        done = orpheus("compare", relu_model, *arguments, ORPHEUS_BACKENDS="dead")
        assert done.code == 2 and "no such device" in done.err
    done = orpheus("compare", relu_model, "-b", "nonesuch")
    assert done.code == 2 and "pip install orpheus-nonesuch" in done.err


def test_what_a_backend_prints_does_not_spoil_the_report(compare, toy) -> None:
    compare.install("loud", toy("loud", "print('noise'); os.system('echo noise'); return np.maximum(x, 0)"))
    code, rows = compare("loud")
    assert code == 0 and rows["loud"]["verdict"] == "reference"


def test_a_pinned_kernel_is_a_variant(orpheus, model) -> None:
    done = orpheus("compare", model, "-b", "numpy,numpy:Conv/direct", *QUICK, "--json")
    assert done.code == 0, done.err
    first, second = json.loads(done.out)["models"][0]["variants"]
    assert (first["verdict"], second["verdict"]) == ("reference", "pass")
    assert second["relative_error"] < 1e-4
    bad = orpheus("compare", model, "-b", "numpy,numpy:Conv/nonesuch", *QUICK)
    assert bad.code == 2 and "nonesuch" in bad.out


def test_the_table_and_several_models(orpheus, model, relu_model, tmp_path) -> None:
    done = orpheus("compare", relu_model, relu_model, "-b", "numpy", *QUICK)
    assert done.code == 0, done.err
    assert done.out.count("median ms") == 2 and done.out.count("reference") == 2
    np.save(tmp_path / "x.npy", np.ones((2, 3, 8, 8), np.float32))
    done = orpheus("compare", model, "-b", "numpy", *QUICK, "-i", f"x={tmp_path / 'x.npy'}", "--threads", 1)
    assert done.code == 0, done.err


def test_wrong_inputs_are_the_callers_fault(orpheus, model) -> None:
    done = orpheus("compare", model, "-b", "numpy", "--shape", "z:[1]")
    assert done.code == 2 and "'z'" in done.err


def test_an_operator_that_a_backend_lacks(orpheus, model, toy) -> None:
    orpheus.install("toy", toy("toy"))
    done = orpheus("compare", model, "-b", "toy", *QUICK, "--json", ORPHEUS_BACKENDS="toy")
    assert done.code == 3
    (row,) = json.loads(done.out)["models"][0]["variants"]
    assert row["status"] == "unsupported" and "Conv" in row["reason"]


def test_tolerances_of_all_and_of_single_outputs(compare, toy) -> None:
    compare.install("right", toy("right"))
    compare.install("wrong", toy("wrong", "return np.maximum(x, np.float32(0.001))"))
    code, rows = compare("right,wrong", "--atol", "0.01")
    (found,) = rows["wrong"]["outputs"]
    assert code == 0 and found["output"] == "y" and found["passed"]
    assert (
        found["max"] == pytest.approx(1e-3, rel=1e-3)
        and 0 < found["mean"] < found["max"]
        and found["ulps"] > 1e6
    )
    assert compare("right,wrong", "--atol", "y=0.01")[0] == 0
    assert compare("right,wrong", "--atol", "0.01", "--atol", "y=0.0001")[0] == 1
    assert compare("right,wrong", "--rtol", "0.5", "--stat", "elemwise")[0] == 1, "a share of zero is zero"
    assert compare("right,wrong", "--rtol", "0.01", "--stat", "y=mean")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--atol", "z=1"), "no output 'z' to set a tolerance for; it has y"),
        (("--atol", "-1"), "from zero up"),
        (("--rtol", "y=few"), "from zero up"),
        (("--stat", "worst"), "elemwise, max, mean, median"),
        (("--rtol", "1", "--rtol", "2"), "given twice"),
        (("--rtol", "1", "--tolerance", "2"), "give one of them"),
    ],
)
def test_bad_tolerances_are_told(orpheus, relu_model, toy, arguments, part: str) -> None:
    orpheus.install("right", toy("right"))
    done = orpheus("compare", relu_model, "-b", "right", *QUICK, *arguments)
    assert done.code == 2 and part in done.err


def test_nan_fails_when_it_is_asked_to(compare, toy) -> None:
    for name in ("one", "two"):
        compare.install(name, toy(name, "y = np.maximum(x, 0); y[0, 0] = np.nan; return y"))
    assert compare("one,two")[0] == 0
    code, rows = compare("one,two", "--nan", "fail")
    assert code == 1 and "NaN" in rows["two"]["verdict"]
