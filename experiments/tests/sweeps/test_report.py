"""Reports: what they say, that they need nothing, and that what comes from files stays text."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from orpheus_experiments.report import changes, write_report
from orpheus_experiments.report.against import holm
from orpheus_experiments.report.command import configure, run
from orpheus_experiments.report.flat import flat
from orpheus_experiments.report.row import engine_label, rows
from orpheus_experiments.report.write import held_against, text_of
from orpheus_experiments.results import Name, Results
from orpheus_experiments.trial import ModelRef, Record

from orpheus_core.errors import UsageError

from .conftest import failed, make_record, make_trial

METRICS = ("latency", "throughput", "load", "memory", "size", "error", "flops", "layers", "energy")
EVIL = "<script>alert('x')</script> | $x$ `=1+1`"


def fill(folder: Path, seed: int = 0, slow: float = 1.0, **extra: Record) -> Path:
    found = []
    for net, base in (("small", 0.01), ("large", 0.03)):
        for engine, factor in (("openmp", 1.0 * slow), ("numpy", 20.0), ("peer:x", 1.2)):
            trial = make_trial(engine, f"/models/{net}.onnx", metrics=METRICS)
            found.append(make_record(trial, base * factor, seed=seed))
        found.append(failed(make_trial("peer:evil", f"/models/{net}.onnx"), "crashed", EVIL))
    results = Results.create(folder, {"name": f"Plan {EVIL}"})
    results.add([(Name(r.trial.key), r) for r in (*found, *extra.values())])
    return folder


@pytest.fixture
def folder(tmp_path) -> Path:
    return fill(tmp_path / "new")


class Tags(HTMLParser):
    """Elements with their attributes, and all text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.text.append(data)


def page(folder: Path) -> str:
    pytest.importorskip("jinja2", reason="the page needs Jinja2 (extra report)")
    pytest.importorskip("matplotlib", reason="the page needs matplotlib (extra report)")
    return write_report(folder, "html").read_text()


def test_the_page_holds_everything_and_asks_for_nothing(folder) -> None:
    text = page(folder)
    tags = Tags(text)
    kinds = {tag for tag, _ in tags.found}
    assert "svg" in kinds and not kinds & {"script", "iframe", "object", "img", "base"}
    assert all(a.get("href", "").startswith(("#", "data:")) for t, a in tags.found if t in ("link", "a"))
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", text) and "@import" not in text
    assert not [k for _, a in tags.found for k in a if k.startswith("on")]
    ids = [a["id"] for _, a in tags.found if "id" in a]
    assert len(ids) == len(set(ids))
    for used in re.findall(r"url\(#([^)]+)\)", text) + re.findall(r'href="#([^"]+)"', text):
        assert used in ids, used
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text and "#010203" not in text
    # of each network: latency, spread, error, layers, roofline, load, memory, roof
    assert sum(t == "svg" for t, _ in tags.found) == 2 * 8
    shown = " ".join(tags.text)
    for part in (
        "small",
        "large",
        "openmp",
        "crashed",
        "Test CPU",
        "not measured",
        "times the fastest",
        "l0: openmp:ai.orpheus:FusedConv/k, ",
    ):
        assert part.lower() in shown.lower(), part
    assert EVIL in shown  # as text


def test_markdown_and_csv_say_the_same(folder) -> None:
    text = text_of(folder, "md")
    assert "<script>" not in text and "\\<script\\>" in text and "openmp" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert all(len(re.findall(r"(?<!\\)\|", line)) >= 3 for line in tables)
    found = list(csv.DictReader(io.StringIO(text_of(folder, "csv"))))
    assert len(found) == 8 and {r["status"] for r in found} == {"ok", "failed"}
    records = Results.open(folder).records()
    by_key = {n.key: r for n, r in records.items()}
    for row in found:
        record = by_key[row["key"]]
        if record.is_ok:
            assert float(row["latency.median"]) == record.value("latency", "median")
        else:
            assert row["latency.median"] == "" and row["message"] == EVIL
    formula = failed(make_trial("peer:evil"), "crashed", "=HYPERLINK(1)")
    from orpheus_experiments.report.flat import to_csv

    assert ",'=HYPERLINK(1)," in to_csv({Name(formula.trial.key): formula})


def test_parquet(folder) -> None:
    arrow = pytest.importorskip("pyarrow.parquet", reason="Parquet needs pyarrow (extra parquet)")
    table = arrow.read_table(write_report(folder, "parquet"))
    columns, found = flat(Results.open(folder).records())
    assert table.column_names == columns and table.num_rows == len(found)
    medians = table.column("latency.median").to_pylist()
    assert medians == [r.get("latency.median") for r in found] and any(medians)


@pytest.mark.parametrize(
    ("form", "module", "extra"),
    [("html", "jinja2", "report"), ("html", "matplotlib", "report"), ("parquet", "pyarrow", "parquet")],
)
def test_what_is_not_installed_is_said(folder, monkeypatch, form, module, extra) -> None:
    if module == "matplotlib":
        pytest.importorskip("jinja2", reason="comes before matplotlib")
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(UsageError, match=rf"orpheus-experiments\[{extra}\]"):
        write_report(folder, form)
    assert not (folder / f"report.{form}").exists()


def test_rows_are_told_apart(tmp_path) -> None:
    digests = ["a" * 64, "b" * 64]
    trials = [
        make_trial("a,b", threads=n).__class__(
            model=ModelRef(path=f"/m{i}/net.onnx", sha256=d),
            engine="a,b",
            threads=n,
            kernels={"Conv": "a:Conv/x"},
        )
        for i, d in enumerate(digests)
        for n in (1, 2)
    ]
    found = rows({Name(t.key): make_record(t) for t in trials})
    assert {r.network for r in found} == {"net (aaaaaaaa)", "net (bbbbbbbb)"}
    assert {r.setting for r in found} == {"threads 1", "threads 2"}
    assert {r.engine for r in found} == {"a+b:Conv/x"} == {engine_label(trials[0])}


def test_a_regression_is_found_and_noise_is_none(tmp_path) -> None:
    old, same, slow = (fill(tmp_path / n, s, f) for n, s, f in (("o", 1, 1), ("a", 2, 1), ("s", 3, 1.06)))
    assert not held_against(same, old).worse
    found = held_against(slow, old)
    assert [(c.trial.engine, c.verdict) for c in found.worse] == [("openmp", "slower")] * 2
    for change in found.worse:
        assert change.difference is not None and change.confidence is not None and change.confidence > 0.95
        assert change.difference.ratio.low > 1 and abs(change.difference.ratio.value - 1.06) < 0.02
    assert [c.verdict for c in held_against(old, slow).changed].count("faster") == 2
    assert not held_against(slow, old, least=0.2).worse


def test_what_broke_is_a_regression(tmp_path) -> None:
    good, bad = make_record(make_trial()), failed(make_trial())
    name = Name(good.trial.key)
    assert [c.verdict for c in changes({name: bad}, {name: good})[0]] == ["broke"]
    assert [c.verdict for c in changes({name: good}, {name: bad})[0]] == ["mended"]
    assert [c.verdict for c in changes({name: bad}, {name: bad})[0]] == ["broken in both"]
    alone = make_record(make_trial(processes=1))
    found, mine, theirs = changes({name: alone}, {name: good})
    assert [c.verdict for c in found] == ["untold"] and (mine, theirs) == (0, 0)
    other = make_record(make_trial(threads=2))
    assert changes({name: good}, {Name(other.trial.key): other})[1:] == (1, 1)


def test_the_file_may_lie_elsewhere_and_be_measured_longer(tmp_path) -> None:
    def record(path: str, **more) -> Record:
        trial = make_trial(**more)
        model = ModelRef(path=path, sha256="c" * 64)
        return make_record(type(trial)(**{**trial.__dict__, "model": model}))

    a, b = record("/here/net.onnx"), record("/there/net.onnx", min_time=9.0, processes=7)
    assert [c.verdict for c in changes({Name(a.trial.key): a}, {Name(b.trial.key): b})[0]] == ["same"]


def test_holms_correction() -> None:
    # By hand: 0.01 x 3; 0.02 x 2; 0.5 x 1; and none before may be larger
    assert holm([0.02, None, 0.5, 0.01]) == [0.04, None, 0.5, 0.03]
    assert holm([0.03, 0.03]) == [0.06, 0.06] and holm([]) == []


def test_the_command(tmp_path, capsys) -> None:
    import argparse

    parser = argparse.ArgumentParser()
    configure(parser)

    def call(*arguments: object) -> int:
        return run(parser.parse_args(list(map(str, arguments))))

    old, slow = fill(tmp_path / "o", 1), fill(tmp_path / "s", 2, 1.06)
    assert call(old, "--against", slow) == 0
    assert call(slow, "--against", old) == 1
    assert "SLOWER" in capsys.readouterr().out
    assert call(slow, "--against", old, "--format", "md") == 1
    assert "Against the other run" in capsys.readouterr().out
    assert call(old, "--format", "csv", "-o", tmp_path / "x.csv") == 0 and (tmp_path / "x.csv").exists()
    with pytest.raises(UsageError, match="cannot write"):
        call(old, "--format", "csv", "-o", tmp_path / "none" / "x.csv")
    with pytest.raises(UsageError, match="no results folder"):
        call(tmp_path, "--format", "md")
    empty = Results.create(tmp_path / "empty", {})
    with pytest.raises(UsageError, match="no records yet"):
        call(empty.folder, "--format", "md")
    with pytest.raises(UsageError, match="no trial in common"):
        call(old, "--against", empty.folder)
