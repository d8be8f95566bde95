from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import sys

import pytest
from orpheus_conformance import regressions
from orpheus_conformance.case import Case, Operand
from orpheus_conformance.conform.flight import Flight

WRONG = (
    '{"op":"LeakyRelu","version":16,"inputs":[{"$operand":{"dtype":"float32","shape":[2],"data":[1.0,-1.0]}}],'
    '"attributes":{"alpha":2.0},"tier":"exact","kernel":"toy:LeakyRelu/k"}'
)
RIGHT = WRONG.replace('"alpha":2.0', '"alpha":0.5')


@pytest.fixture
def leaky(toy):
    return toy("LeakyRelu", "wrong_kernels:leaky_by_maximum")


@pytest.mark.parametrize("isolate", [(), ("--isolate",)])
def test_a_replay_tells_what_came_and_what_was_expected(leaky, orpheus, isolate):
    code, out, err = orpheus("conform", "replay", WRONG, *isolate)
    assert code == 1, err
    assert "LeakyRelu, opset version 16, tier exact, kernel toy:LeakyRelu/k" in out
    assert "  alpha = 2.0" in out
    assert "  input 0: float32[2], the values [1.0, -1.0]" in out
    assert "  got       float32[2] [ 2. -1.]" in out
    assert re.search(r"  expected  float\d\d\[2\] \[ 1. -2.\]", out)
    assert "  [0]  got 2.0, expected 1.0, error 1, allowed 0" in out
    assert out.splitlines()[-1].startswith("FAILED: output 0: 2 of 2 elements wrong")


def test_a_case_that_passes_ends_with_0(leaky, orpheus, monkeypatch):
    assert orpheus("conform", "replay", RIGHT)[:2][0] == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(RIGHT + "\n"))
    code, out, _ = orpheus("conform", "replay", "-")
    assert code == 0
    assert out.splitlines()[-1] == "passed"


def test_the_bound_is_told_where_there_is_one(toy, orpheus):
    toy("MatMul", "wrong_kernels:matmul_in_half")
    line = Case(
        "MatMul",
        13,
        (Operand("float32", (1, 40)), Operand("float32", (40, 1))),
        kernel="toy:MatMul/k",
        seed=1,
    ).line()
    code, out, _ = orpheus("conform", "replay", line)
    assert code == 1
    assert float(re.search(r"error \S+, allowed (\S+)", out)[1]) > 0


def test_what_is_refused_is_not_passed(toy, orpheus):
    toy("LeakyRelu", "wrong_kernels:leaky", supports="wrong_kernels:refuses_all")
    code, out, _ = orpheus("conform", "replay", RIGHT)
    assert code == 1
    assert out.splitlines()[-1] == "refused: needs a machine that is not built yet"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not a case: the line is not JSON"),
        (RIGHT.replace("LeakyRelu", "Leaky", 1), "operator Leaky has no problem space"),
        (RIGHT.replace("LeakyRelu/k", "LeakyRelu/z"), "backend toy has no kernel 'toy:LeakyRelu/z'"),
        (RIGHT.replace("toy:", "yot:"), "backend 'yot' is not installed"),
        (RIGHT.replace(',"kernel":"toy:LeakyRelu/k"', ""), "it names no kernel"),
        (RIGHT.replace('"exact"', '"speed"'), "no tier of generated cases is called 'speed'"),
        (RIGHT.replace("float32", "int8"), "does not allow this layer"),
        (RIGHT.replace('"alpha"', '"beta"'), "LeakyRelu has no attribute beta"),
        (RIGHT.replace('"tier"', '"seed":-1,"tier"'), "seed -1 is below 0"),
        (RIGHT.replace('"tier"', '"threads":0,"tier"'), "threads 0 below 1"),
        ("[]", "expected a JSON object, got list"),
    ],
)
def test_a_line_that_cannot_be_judged_ends_with_2(leaky, orpheus, line, says):
    code, _, err = orpheus("conform", "replay", line)
    assert code == 2
    assert says in err


def test_a_line_stands_between_apostrophes():
    case = Case("Foo", 1, (Operand("string", (1,), data=("it's",)),))
    assert "'" not in case.quoted()
    assert Case.parse(case.quoted()) == case
    assert shlex.split(f"'{case.quoted()}'") == [case.quoted()]


def test_failures_are_kept_and_run_first(leaky, conform, tmp_path):
    kept = tmp_path / "regressions.jsonl"
    code, _, err = conform("toy", "--regressions", kept, examples=60)
    assert code == 1
    lines = kept.read_text().splitlines()
    assert f"{len(lines)} case" in err
    assert len(lines) == len(set(lines)) > 0
    # The same failures again are not added again, and the file is found without being named.
    code, out, _ = conform("toy", examples=60)
    assert kept.read_text().splitlines() == lines
    told = re.findall(r"^FAILED  toy:LeakyRelu/k, (\w+)", out, re.M)
    assert told[: len(lines)] == ["regressions"] * len(lines)
    assert f"({kept.name}, line 1)" in out


def test_a_kept_case_that_passes_is_a_passed_row(toy, conform, tmp_path):
    toy("LeakyRelu", "wrong_kernels:leaky")
    (tmp_path / "regressions.jsonl").write_text(WRONG + "\n\n" + WRONG.replace("toy:", "numpy:") + "\n")
    code, out, _ = conform("toy", tiers=("exact",))
    assert code == 0
    assert "toy: 2 passed" in out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("no JSON", "line 2: not a case"),
        (RIGHT.replace("LeakyRelu/k", "LeakyRelu/z"), "line 2: backend toy has no kernel"),
        (RIGHT.replace("LeakyRelu", "Leaky", 1), "line 2: operator Leaky has no problem space"),
    ],
)
def test_a_kept_line_that_cannot_be_judged_ends_with_2(leaky, orpheus, tmp_path, line, says):
    file = tmp_path / "regressions.jsonl"
    file.write_text(f"{RIGHT}\n{line}\n")
    code, _, err = orpheus("conform", "toy")
    assert code == 2
    assert says in err
    assert "mend the line or remove it" in err


def test_reading_no_file_gives_no_cases(leaky, tmp_path):
    assert regressions.read(tmp_path / "absent.jsonl", leaky) == ()


def test_a_case_that_took_the_process_down_is_told_by_the_next_run(tmp_path, capsys):
    code = (
        "import os, sys, pathlib; from orpheus_conformance.conform.flight import Flight\n"
        "from orpheus_conformance.case import Case\n"
        "flight = Flight('toy', pathlib.Path(sys.argv[1])); flight.__enter__(); flight.note(Case.parse(sys.argv[2]))\n"
        "os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), RIGHT], check=False, env={**os.environ})
    capsys.readouterr()
    with Flight("toy", tmp_path):
        told = capsys.readouterr().err
    assert f"did not survive this case; see it with: orpheus conform replay '{RIGHT}' --isolate" in told
    with Flight("toy", tmp_path) as flight:
        assert capsys.readouterr().err == ""
        flight.note(Case.parse(RIGHT))
        assert flight.lost() == []  # this process is alive
    assert list(tmp_path.iterdir()) == []
