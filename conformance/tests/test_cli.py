from __future__ import annotations

import json
import re

import pytest
from orpheus_conformance.case import Case

from orpheus_core import discovery
from orpheus_core.plugin import Backend, Kernel


def test_a_right_backend_is_green_and_the_table_tells_what_was_shown(toy, conform):
    toy("Relu", "wrong_kernels:relu")
    code, out, err = conform("toy", tiers=("contract", "exact", "layouts", "refusal"))
    assert code == 0, out + err
    header, _, line = out.splitlines()[:3]
    told = dict(zip(re.split(r"\s{2,}", header), re.split(r"\s{2,}", line)))
    assert told["kernel"] == "toy:Relu/k"
    assert (told["passed"], told["failed"], told["inapplicable"]) == ("3", "-", "1")
    assert int(told["cases"]) >= 10
    assert told["element types"] == "float32 float64"
    assert re.search(
        r"^toy: 4 passed, 1 inapplicable; \d+ cases executed, \d+ refused with a reason", out, re.M
    )


def test_a_failure_is_told_in_a_line_that_replays(toy, conform, orpheus):
    toy("Relu", "wrong_kernels:relu_changes_its_input")
    code, out, _ = conform("toy")
    assert code == 1
    assert "FAILED  toy:Relu/k, bounded: input 0 was changed" in out
    lines = re.findall(r"orpheus conform replay '(.*)'", out)
    assert len(lines) == out.count("FAILED") > 0
    code, out, _ = orpheus("conform", "replay", lines[0])
    assert code == 1
    assert "FAILED: input 0 was changed" in out


def test_refused_is_not_passed(toy, conform):
    toy("Relu", "wrong_kernels:relu", supports="wrong_kernels:refuses_all")
    code, out, _ = conform("toy", tiers=("refusal",))
    assert code == 1
    assert "no case was executed" in out
    assert re.search(r"^toy: 1 refused; 0 cases executed, 10 refused with a reason", out, re.M)


def test_the_same_seed_gives_the_same_run(toy, conform):
    toy("MatMul", "wrong_kernels:matmul_in_half")
    runs = [conform("toy", "--seed", seed)[1].split("\n\n")[1] for seed in (3, 3)]
    assert runs[0] == runs[1]


def test_json_to_stdout_is_all_there_is_on_stdout(toy, conform):
    toy("Conv", "wrong_kernels:conv_ignores_group")
    code, out, _ = conform("toy", "--json")
    found = json.loads(out)
    assert code == 1
    assert found["green"] is False
    assert found["options"] == {"examples": 10, "seed": 0, "oracle": "auto"}
    failed = [row for row in found["rows"] if row["outcome"] == "failed"]
    assert failed
    assert Case.parse(failed[0]["case"]).op == "Conv"
    cells = found["matrix"]["Conv"]
    assert set(cells) == {"float32", "float64", "float16", "bfloat16"}
    assert cells["float16"] == {}
    assert sum(c.get("failed", 0) for c in cells.values()) == len(failed)


def test_json_to_a_file_leaves_the_table(toy, conform, tmp_path):
    toy("Relu", "wrong_kernels:relu")
    code, out, _ = conform("toy", "--json", tmp_path / "r.json")
    assert code == 0
    assert "toy:Relu/k" in out
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["green"] is True
    assert found["totals"]["executed"] == sum(row["executed"] for row in found["rows"]) > 0


def test_kernels_and_operators_can_be_chosen(conform):
    code, out, _ = conform("numpy", "--op", "Relu", "--kernel", "numpy:Relu/reference", examples=2)
    assert code == 0
    assert "numpy:Relu/reference" in out
    assert "Conv" not in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("nope",), "backend 'nope' is not installed"),
        (("conformance",), "is an extension"),
        (("toy", "--op", "Conv"), "backend toy has no Conv"),
        (("toy", "--kernel", "toy:Relu/z"), "backend toy has no toy:Relu/z"),
        (("toy", "--tier", "speed"), "no tier is called 'speed'"),
        (("toy", "--examples", "0"), "must be at least 1"),
        (("toy", "--examples", "x"), "must be at least 1, a whole number; got 'x'"),
        (("toy", "--seed", "-1"), "must be at least 0"),
        (("toy", "--time-limit", "x"), "must be a positive number; got 'x'"),
        (("toy", "--html", "no/such/page.html"), "cannot write no/such/page.html"),
        (("toy", "--json", "."), "cannot write ."),
        (("toy", "--expectations", "absent.toml"), "there is no file absent.toml"),
        (("toy", '{"op":"Relu"}'), "orpheus conform replay 'LINE'"),
        (("replay",), "the case is missing"),
    ],
)
def test_a_wrong_request_ends_with_2(toy, orpheus, arguments, says):
    toy("Relu", "wrong_kernels:relu")
    code, _, err = orpheus("conform", *arguments)
    assert code == 2
    assert says in err


def test_a_backend_that_is_unusable_here_ends_with_4(toy, orpheus):
    kernel = Kernel(op="Relu", name="k", run="wrong_kernels:relu")
    discovery.register(Backend(name="away", api=1, kernels=(kernel,), probe="wrong_kernels:not_here"))
    code, _, err = orpheus("conform", "away")
    assert code == 4
    assert "backend 'away' is unavailable: there is no such device; to fix: plug one in" in err
    line = '{"op":"Relu","version":14,"inputs":[{"$operand":{"dtype":"float32","shape":[1]}}],"kernel":"away:Relu/k"}'
    assert orpheus("conform", "replay", line)[0] == 4


def test_progress_is_silent_when_nobody_watches(toy, conform):
    toy("Relu", "wrong_kernels:relu")
    assert conform("toy")[2] == ""


def test_the_plan_tier_takes_the_time_it_is_given_and_says_how_to_give_more(toy, conform):
    toy("Relu", "wrong_kernels:relu")
    code, out, _ = conform("toy", "--plan-time", "1e-06", tiers=("plan",))
    assert code == 1
    assert "the plan tier's 1e-06 s were over (--plan-time gives it more)" in out
