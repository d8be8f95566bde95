from __future__ import annotations

import json
import re

import pytest

LINE = (
    '{"op":"LeakyRelu","version":16,"inputs":[{"$operand":{"dtype":"float32","shape":[1],"data":[1.0]}}],'
    '"attributes":{"alpha":2.0},"tier":"exact","kernel":"toy:LeakyRelu/k"}'
)
ENTRY = {
    "kernel": "toy:LeakyRelu/k",
    "when": "{ alpha = { '>' = 1 } }",
    "kind": "notyet",
    "outcome": "wrong",
    "reason": "the larger of two",
    "witness": LINE,
}


def toml(**changes):
    lines = ["[[expect]]"]
    for name, value in {**ENTRY, **changes}.items():
        if value is not None:
            lines.append(f"{name} = {value}" if name == "when" else f"{name} = '{value}'")
    return "\n".join(lines) + "\n"


@pytest.fixture
def leaky(toy):
    return toy("LeakyRelu", "wrong_kernels:leaky_by_maximum")


def test_a_declared_defect_is_expected_and_the_run_green(leaky, conform, tmp_path):
    assert conform("toy", examples=60)[0] == 1
    (tmp_path / "conformance.toml").write_text(toml())
    code, out, err = conform("toy", "--json", "r.json", examples=60)
    assert code == 0, out + err
    assert "expected  toy:LeakyRelu/k: the larger of two" in out
    found = json.loads((tmp_path / "r.json").read_text())
    assert found["expectations"][0]["kind"] == "notyet"
    covered = [row for row in found["rows"] if row["tier"] in ("exact", "bounded")]
    assert all(row["outcome"] == "passed" and row["expected"]["the larger of two"] for row in covered)


def test_a_defect_that_is_gone_makes_the_run_red(toy, conform, tmp_path):
    toy("LeakyRelu", "wrong_kernels:leaky")
    (tmp_path / "conformance.toml").write_text(toml())
    code, out, _ = conform("toy")
    assert code == 1
    assert "the declared defect is gone (the larger of two): remove the entry" in out
    assert "conformance.toml: expect 1" in out


def test_a_witness_that_fails_otherwise_makes_the_run_red(leaky, conform, tmp_path):
    (tmp_path / "conformance.toml").write_text(toml(outcome="raises:ValueError"))
    code, out, _ = conform("toy")
    assert code == 1
    assert "the witness fails otherwise than declared, wrong and not raises:ValueError" in out


def test_an_exception_can_be_declared(toy, conform, tmp_path):
    toy("LeakyRelu", "wrong_kernels:leaky_raises")
    (tmp_path / "conformance.toml").write_text(toml(outcome="raises:NotImplementedError"))
    code, out, _ = conform("toy")
    assert code == 0, out


def test_a_crash_can_be_declared_and_its_witness_harms_nothing(toy, conform, tmp_path):
    toy("LeakyRelu", "wrong_kernels:leaky_crashes")
    (tmp_path / "conformance.toml").write_text(toml(outcome="crash"))
    code, out, _ = conform("toy")
    assert code == 0, out


def test_what_is_outside_when_is_judged_all_the_same(leaky, conform, tmp_path):
    (tmp_path / "conformance.toml").write_text(toml(when="{ alpha = 2.0, dtype = 'float32' }"))
    code, out, _ = conform("toy", examples=60)
    assert code == 1
    assert "FAILED  toy:LeakyRelu/k, " in out


def test_no_kernel_is_excused_as_a_whole(leaky, conform, tmp_path):
    (tmp_path / "conformance.toml").write_text(toml(when="{ dtype = { in = ['float32', 'float64'] } }"))
    code, out, _ = conform("toy")
    assert code == 1
    assert "declared defects cover every case, and nothing was run; narrow them" in out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[[expect]\n", "not TOML"),
        ("[expected]\n", "unknown key expected"),
        ("expect = 3\n", "expect is a list of tables"),
        (toml(colour="red"), "expect 1: unknown key colour"),
        (toml(reason=None), "expect 1: reason is missing"),
        (toml(witness=None), "expect 1: witness is missing"),
        (toml(reason=" "), "expect 1: reason cannot be ' '"),
        (toml(kind="someday"), "kind cannot be 'someday'; it is one of notimpl, notyet, never"),
        (toml(outcome="odd"), "outcome cannot be 'odd'; it is wrong, raises:TypeOfError, crash or timeout"),
        (toml(when=None), "when is missing, and no kernel is excused as a whole"),
        (toml(when="{}"), "when is missing"),
        (toml(when="{ alpha = { between = 3 } }"), "LeakyRelu has no operand 'alpha'"),
        (toml(when="{ alpha = { '>' = 1, between = 3 } }"), "when: alpha: no operator between"),
        (toml(when="{ 'Q.rank' = 3 }"), "LeakyRelu has no operand 'Q'"),
        (toml(when="{ dtype = 'float64' }"), "when does not hold for it: needs dtype == 'float64', has 'float32'"),
        (toml(kernel="toy:LeakyRelu/z"), "backend toy has no kernel 'toy:LeakyRelu/z'; it has toy:LeakyRelu/k"),
        (toml(kernel="tyo:LeakyRelu/k"), "is of backend 'tyo', which is not installed"),
        (toml(witness="{"), "witness: not a case: the line is not JSON"),
        (toml(witness=LINE.replace("LeakyRelu\"", "Leaky\"", 1)), "there is no operator Leaky"),
        (toml(witness=LINE.replace("toy:", "numpy:")), "is a case of kernel numpy:LeakyRelu/k"),
        (toml(witness=LINE.replace('"exact"', '"speed"')), "no tier of generated cases is called 'speed'"),
        (toml() + toml(kind="x"), "expect 2: kind cannot be 'x'"),
    ],
)  # fmt: skip
def test_a_malformed_file_ends_with_2_and_names_file_and_entry(leaky, orpheus, tmp_path, text, says):
    file = tmp_path / "known.toml"
    file.write_text(text)
    code, _, err = orpheus("conform", "toy", "--expectations", file)
    assert code == 2
    assert str(file) in err
    assert says in err


def test_names_with_a_dot_need_no_quotes(leaky, conform, tmp_path):
    (tmp_path / "conformance.toml").write_text(toml(when="{ X.rank = 1, alpha = { '>' = 1 } }"))
    code, out, _ = conform("toy", "--json", examples=60)
    found = json.loads(out)
    assert found["expectations"]
    assert code == 1  # other ranks are judged


def test_entries_of_other_backends_are_theirs(toy, conform, tmp_path):
    toy("LeakyRelu", "wrong_kernels:leaky")
    toy("Relu", "wrong_kernels:relu", name="other")
    (tmp_path / "conformance.toml").write_text(toml())
    assert conform("other")[0] == 0


def test_the_file_is_found_in_the_checkout_of_the_backend(tmp_path, monkeypatch):
    from orpheus_conformance import expect

    package = tmp_path / "checkout" / "src" / "orpheus_hidden"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (tmp_path / "checkout" / "pyproject.toml").write_text("")
    info = tmp_path / "site" / "orpheus_hidden-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: orpheus-hidden\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[orpheus.backends]\nhidden = orpheus_hidden\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(package.parent)
    assert expect.find_file("hidden") is None
    packaged = package / "conformance.toml"
    packaged.write_text("")
    assert expect.find_file("hidden") == packaged
    root = tmp_path / "checkout" / "conformance.toml"
    root.write_text("")
    assert expect.find_file("hidden") == root
    monkeypatch.chdir(tmp_path)
    here = tmp_path / "conformance.toml"
    here.write_text("")
    assert expect.find_file("hidden") == here
    assert re.search("conformance.toml$", str(here))
