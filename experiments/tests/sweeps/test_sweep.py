"""Sweeps: what they keep, what they go on with, and that nothing is lost when they are killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from orpheus_experiments.results import Name, Results
from orpheus_experiments.sweeps import Cell, Plan, sweep
from orpheus_experiments.sweeps.command import _stoppable
from orpheus_experiments.sweeps.remaining import Remaining, duration
from orpheus_experiments.sweeps.run import Listener
from orpheus_experiments.trial import Failure, Record
from orpheus_experiments.trial.together import Outcome

from orpheus_core.errors import UsageError

from .conftest import failed, make_record, make_trial, quick


def make_plan(count: int = 6, engines: tuple[str, ...] = ("a", "b"), **more) -> Plan:
    trials = [make_trial(e, threads=t) for t in range(1, count // len(engines) + 1) for e in engines]
    return Plan("test", tuple(Cell(t.engine, t) for t in trials), **more, data={"name": "test"})


class Heard(Listener):
    def __init__(self) -> None:
        self.steps: list[tuple] = []
        self.notes: list[str] = []

    def step(self, text, done, of, left) -> None:
        self.steps.append((text, done, of, left))

    def note(self, text) -> None:
        self.notes.append(text)


def test_every_trial_is_run_once_and_kept(tmp_path, counting) -> None:
    run, ran = counting
    plan, heard = make_plan(), Heard()
    found = sweep(plan, tmp_path / "r", run=run, listener=heard)
    assert not found.interrupted and found.total == 6 and len(found.new) == 6
    assert sorted(ran) == sorted(c.trial.key for c in plan.cells)
    records = Results.open(tmp_path / "r").records()
    assert {r.trial.key for r in records.values()} == {c.trial.key for c in plan.cells}
    assert [(done, of) for _, done, of, _ in heard.steps] == [(0, 6), (2, 6), (4, 6)]
    assert all(left is not None and left >= 0 for *_, left in heard.steps)
    with sqlite3.connect(tmp_path / "r" / "index.sqlite") as data:
        assert data.execute("SELECT count(*) FROM trials").fetchone() == (6,)


def test_going_on_runs_what_is_missing(tmp_path, counting) -> None:
    run, ran = counting
    plan = make_plan()
    sweep(plan, tmp_path, run=run)
    with pytest.raises(UsageError, match=r"has results.*--resume.*-o"):
        sweep(plan, tmp_path, run=run)
    gone = plan.cells[3].trial
    (tmp_path / "trials" / Name(gone.key).file).unlink()
    ran.clear()
    sweep(plan, tmp_path, resume=True, run=run)
    assert ran == [gone.key]
    heard = Heard()
    ran.clear()
    sweep(make_plan(2), tmp_path, resume=True, run=run, listener=heard)  # another plan
    assert not ran and "4 records" in heard.notes[0] and len(Results.open(tmp_path).names()) == 6


def test_a_new_folder_may_be_resumed_too(tmp_path, counting) -> None:
    run, ran = counting
    sweep(make_plan(), tmp_path / "new", resume=True, run=run)
    assert len(ran) == 6


def test_failures_are_records_and_run_again_only_when_asked(tmp_path, counting) -> None:
    run, ran = counting
    plan = make_plan()

    def bad(trials, **_) -> Outcome:
        return Outcome(tuple(failed(t) if t.engine == "b" else make_record(t) for t in trials))

    found = sweep(plan, tmp_path, run=bad)
    assert sum(not r.is_ok for r in found.new) == 3
    sweep(plan, tmp_path, resume=True, run=run)
    assert not ran
    sweep(plan, tmp_path, resume=True, retry=True, run=run)
    assert len(ran) == 3 and all(r.is_ok for r in Results.open(tmp_path).records().values())


def test_a_group_that_cannot_be_measured_harms_no_other(tmp_path) -> None:
    def bad(trials, **_) -> Outcome:
        if trials[0].threads == 2:
            raise RuntimeError("no such luck")
        return quick(trials)

    found = sweep(make_plan(), tmp_path, run=bad)
    kinds = Counter(r.failure.kind if r.failure else "ok" for r in found.new)
    assert kinds == {"ok": 4, "failed": 2} and "no such luck" in str([r.failure for r in found.new])


def test_what_an_interruption_leaves_is_gone_on_with(tmp_path, counting) -> None:
    run, ran = counting
    plan = make_plan()

    def stop(trials, **_) -> Outcome:
        if trials[0].threads < 2:
            return quick(trials)
        half = make_record(trials[0])
        half = Record(trial=half.trial, metrics=half.metrics, processes=half.processes[:2])
        never = Record(trial=trials[1], failure=Failure("interrupted", "before it began"))
        return Outcome((half, never), interrupted=True)

    found = sweep(plan, tmp_path, run=stop)
    assert found.interrupted and len(found.new) == 2 == len(Results.open(tmp_path).names())

    def raising(trials, **_) -> Outcome:
        raise KeyboardInterrupt

    assert sweep(plan, tmp_path, resume=True, run=raising).interrupted
    sweep(plan, tmp_path, resume=True, run=run)
    assert len(ran) == 4 and len(Results.open(tmp_path).names()) == 6


def _run_until_killed(folder: str, log: str, plan: Plan) -> None:
    def run(trials, **_) -> Outcome:
        with open(log, "a") as file:
            file.write("".join(f"{t.key}\n" for t in trials))
        time.sleep(0.004)
        return quick(trials)

    sweep(plan, Path(folder), resume=True, run=run)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="starts sweeps by fork")
@pytest.mark.parametrize("engines", [("a",), ("a", "b", "c")])
def test_kill_9_at_any_moment_loses_nothing(tmp_path, engines) -> None:
    plan = make_plan(120, engines)
    folder, log = tmp_path / "r", tmp_path / "log"
    log.touch()
    chance = random.Random(len(engines))
    context = multiprocessing.get_context("fork")
    kills, kept = 0, {}
    while True:
        process = context.Process(target=_run_until_killed, args=(str(folder), str(log), plan))
        process.start()
        process.join(chance.uniform(0.005, 0.08) if kills < 30 else None)
        if process.exitcode is not None:
            assert process.exitcode == 0
            break
        process.kill()
        process.join()
        kills += 1
        if (folder / "results.json").exists():  # whole at every moment, and never less than before
            now = {p.name: p.read_bytes() for p in (folder / "trials").glob("*.json")}
            assert kept.items() <= now.items()
            kept = now
            Results.open(folder).records()
    assert kills >= 15
    records = Results.open(folder).records()
    assert {n.key for n in records} == {c.trial.key for c in plan.cells}
    ran = Counter(log.read_text().split())
    again = sum(n - 1 for n in ran.values())  # under way when it was killed
    assert again <= kills * len(engines)
    assert Results.open(folder).index.rows("SELECT count(*) FROM trials") == [(len(plan.cells),)]
    assert not list(folder.rglob("*.part"))


def test_the_rest_is_told_from_what_it_took() -> None:
    now = [0.0]
    clock = Remaining(10, lambda: now[0])
    assert clock.left() is None
    now[0] = 6.0
    clock.finished(2)
    assert clock.left() == 24 and clock.left(1) == 14
    assert [duration(s) for s in (7.2, 600, 7500)] == ["7 s", "10 min", "2 h 05 min"]


PLAN = """
[grid]
models = ["small.onnx"]
engines = ["numpy", {engines}]
optional = ["peer:nowhere"]
[settings]
processes = {processes}
min_time = 0.1
min_runs = 4
warm_limit = 0.2
time_limit = {limit}
metrics = ["latency"]
memory_limit = 6442450944
{more}
"""


@pytest.fixture
def written(tmp_path, model):
    def write(*engines: str, processes: int = 1, limit: float = 60, more: str = "") -> Path:
        (tmp_path / "small.onnx").write_bytes(model.read_bytes())
        path = tmp_path / "plan.toml"
        names = ", ".join(f'"{e}"' for e in engines)
        path.write_text(PLAN.format(engines=names, processes=processes, limit=limit, more=more))
        return path

    return write


def orpheus(*arguments: object, environment, cwd) -> subprocess.Popen:
    command = [sys.executable, "-c", "import sys; from orpheus_core.cli import main; sys.exit(main())"]
    return subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, cwd=cwd,
    )  # fmt: skip


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits address space")
def test_hostile_engines_are_rows_and_all_others_are_intact(written, environment, tmp_path) -> None:
    kinds = {
        "peer:segfault": "crashed", "peer:abort": "crashed", "peer:spin": "timed out", "peer:exits": "crashed",
        "peer:hog": "out of memory", "peer:flood": None, "peer:shape": "wrong shape", "peer:raises": "failed",
        "peer:right": None, "numpy": None, "peer:nowhere": "refused",
    }  # fmt: skip
    spin = '[[include]]\nmodel = "small.onnx"\nengine = "peer:spin"\ntime_limit = 4'
    plan = written(*(k for k in kinds if k not in ("numpy", "peer:nowhere", "peer:spin")), more=spin)
    done = orpheus("sweep", plan, "-o", "out", "--no-report", environment=environment, cwd=tmp_path)
    out, err = done.communicate(timeout=300)
    assert done.returncode == 4, err
    records = {r.trial.engine: r for r in Results.open(tmp_path / "out").records().values()}
    assert {k: r.failure and r.failure.kind for k, r in records.items()} == kinds
    assert records["peer:spin"].seconds < 5
    assert "11 records in out" in out and "8 without a result" in out
    assert "peer:segfault, threads 1, batch 1: crashed" in out and "numpy, threads 1, batch 1: done" in err


def test_sigterm_does_what_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), _stoppable():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_leaves_a_folder_to_go_on_with(written, environment, tmp_path) -> None:
    plan = written("peer:right", processes=2, more="together = false")
    given = {"environment": environment, "cwd": tmp_path}
    running = orpheus("sweep", plan, "--no-report", **given)
    trials = tmp_path / "plan-results" / "trials"
    for _ in range(6000):
        if trials.is_dir() and any(p.suffix == ".json" for p in trials.iterdir()):
            break
        time.sleep(0.01)
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130 and "--resume" in err and "interrupted" in err, err
    kept = {p.name: p.read_bytes() for p in trials.glob("*.json")}
    assert 1 <= len(kept) < 3
    refused = orpheus("sweep", plan, **given)
    assert "--resume" in refused.communicate(timeout=60)[1] and refused.returncode == 2
    again = orpheus("sweep", plan, "--resume", "--no-report", **given)
    _, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    now = {p.name: p.read_bytes() for p in trials.glob("*.json")}
    assert len(now) == 3 and kept.items() <= now.items()


def test_a_plan_is_listed_without_measuring(written, environment, tmp_path) -> None:
    done = orpheus("sweep", written("peer:right"), "--dry-run", environment=environment, cwd=tmp_path)
    out, _ = done.communicate(timeout=60)
    assert done.returncode == 0 and "3 trials in 1 groups" in out and not (tmp_path / "plan-results").exists()
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("[grid]\nmodles = 1")
    done = orpheus("sweep", wrong, environment=environment, cwd=tmp_path)
    _, err = done.communicate(timeout=60)
    assert done.returncode == 2 and "did you mean 'models'?" in err and "Traceback" not in err
