"""The results folder: whole at all times, one writer, an index that is a copy."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from orpheus_experiments.results import Name, Results, atomic
from orpheus_experiments.results.folder import FORMAT

from orpheus_core.errors import UsageError

from .conftest import failed, make_record, make_trial


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results.create(tmp_path / "r", {"name": "a plan"})


def test_records_come_back_as_they_were(results: Results) -> None:
    good, bad = make_record(make_trial()), failed(make_trial("peer:x"))
    results.add([(Name(good.trial.key), good), (Name(bad.trial.key, "rpi-5"), bad)])
    again = Results.open(results.folder)
    assert again.plan == {"name": "a plan"}
    assert again.records() == {Name(good.trial.key): good, Name(bad.trial.key, "rpi-5"): bad}
    assert not list(results.folder.rglob("*.part"))


def test_the_index_tells_what_the_files_tell_and_is_made_anew(results: Results) -> None:
    good, bad = make_record(make_trial()), failed(make_trial("peer:x"))
    results.add([(Name(good.trial.key), good), (Name(bad.trial.key, "b"), bad)])

    def told() -> list:
        rows = results.index.rows("SELECT model, engine, board, status, failure FROM trials ORDER BY engine")
        median = results.index.rows(
            "SELECT value FROM metrics WHERE metric = 'latency' AND value_name = 'median'"
        )
        return [*rows, *median]

    wanted = [
        ("net", "numpy", None, "ok", None), ("net", "peer:x", "b", "failed", "crashed"),
        (good.value("latency", "median"),),
    ]  # fmt: skip
    assert told() == wanted
    index = results.folder / "index.sqlite"
    for damage in (b"", b"no database at all" * 100, index.read_bytes()[:5000]):
        index.write_bytes(damage)
        assert results.follow() is None and told() == wanted
    with sqlite3.connect(index) as data:
        data.execute("PRAGMA user_version = 99")
    assert results.follow() is None and told() == wanted
    (results.folder / "trials" / Name(bad.trial.key, "b").file).unlink()
    results.follow()
    assert told() == [wanted[0], wanted[2]]


def test_another_format_is_refused(results: Results) -> None:
    header = results.folder / "results.json"
    for form in (FORMAT + 1, 0, True, "1", None):
        header.write_text(json.dumps({"format": form, "plan": {}}))
        with pytest.raises(UsageError, match=rf"format {form!r}.*reads {FORMAT}"):
            Results.open(results.folder)
    header.write_text("{")
    with pytest.raises(UsageError, match="not JSON"):
        Results.open(results.folder)
    header.write_text("[1]")
    with pytest.raises(UsageError, match="format"):
        Results.open(results.folder)


def test_what_is_no_results_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no results folder.*orpheus sweep"):
        Results.open(tmp_path)
    (tmp_path / "something").write_text("of mine")
    for make in (lambda: Results.create(tmp_path, {}), lambda: Results.lock(tmp_path)):
        with pytest.raises(UsageError, match="no results folder"):
            make()
    assert [p.name for p in tmp_path.iterdir()] == ["something"]


def test_one_writer_at_a_time(results: Results) -> None:
    code = "import sys; from pathlib import Path; from orpheus_experiments.results import Results\n"
    code += "with Results.lock(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(results.folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None and holder.stdout.readline() == "held\n"
    with pytest.raises(UsageError, match=f"process {holder.pid} on"), Results.lock(results.folder):
        pass
    holder.kill()  # a lock is gone with its process, however that ends
    holder.wait()
    with Results.lock(results.folder):
        pass


def test_a_full_disk_costs_nothing(results: Results, monkeypatch, tmp_path: Path) -> None:
    first, second, third = (make_record(make_trial(threads=n)) for n in (1, 2, 3))
    results.add([(Name(first.trial.key), first)])
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "elsewhere"))

    def write(path: Path, text: str) -> None:
        if path.parent.name == "trials" and third.trial.key in path.name:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        real_write(path, text)

    real_write = atomic.write
    monkeypatch.setattr(atomic, "write", write)
    with pytest.raises(UsageError, match="the disk is full") as found:
        results.add([(Name(r.trial.key), r) for r in (second, third)])
    assert list(results.records().values()).count(second) == 1 and len(results.records()) == 2
    kept = list((tmp_path / "elsewhere").rglob("*.json"))
    assert len(kept) == 1 and str(kept[0].parent) in str(found.value)
    kept[0].rename(results.folder / "trials" / kept[0].name)
    assert results.records()[Name(third.trial.key)] == third


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "a"
    atomic.write(path, "before")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        atomic.write(path, "after")
    assert path.read_text() == "before" and [p.name for p in tmp_path.iterdir()] == ["a"]


def test_too_little_room_is_said_before_measuring(results: Results, monkeypatch) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 5 << 20})())
    with pytest.raises(UsageError, match=r"only 5 MiB are free.*--resume"):
        results.demand_space()


def test_what_a_killed_writer_left_is_finished_or_taken_away(results: Results) -> None:
    done, torn, damaged = (make_record(make_trial(threads=n)) for n in (1, 2, 3))
    trials = results.folder / "trials"
    (trials / f".{done.trial.key}.json.77.part").write_text(done.to_json())
    (trials / f".{torn.trial.key}.json.77.part").write_text(torn.to_json()[:-40])
    (trials / f"{damaged.trial.key}.json").write_text(damaged.to_json()[:1000])
    (results.folder / ".results.json.77.part").write_text("{")
    (told,) = results.mend()
    assert "damaged" in told and "put aside" in told
    assert results.records() == {Name(done.trial.key): done}
    assert not list(results.folder.rglob("*.part"))
    assert sorted(p.name for p in trials.iterdir()) == sorted(
        [f"{done.trial.key}.json", f"{damaged.trial.key}.json.damaged"]
    )


def test_a_record_under_another_trials_name_is_damage(results: Results) -> None:
    record, other = make_record(make_trial()), make_trial(threads=2)
    (results.folder / "trials" / Name(other.key).file).write_text(record.to_json())
    with pytest.raises(UsageError, match="holds the trial"):
        results.records()


def test_what_a_sweep_that_was_killed_at_its_start_left_is_a_free_place(tmp_path: Path) -> None:
    (tmp_path / "r" / "trials").mkdir(parents=True)
    (tmp_path / "r" / "lock").touch()
    (tmp_path / "r" / ".results.json.77.part").write_text("{")
    with Results.lock(tmp_path / "r"):
        found = Results.create(tmp_path / "r", {"name": "again"})
    assert Results.open(found.folder).plan == {"name": "again"} and not list(tmp_path.rglob("*.part"))
