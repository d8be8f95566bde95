"""A fleet: every trial ends once, whatever dies; nothing is run twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from orpheus_experiments.fleet import work
from orpheus_experiments.fleet.sweep import sweep_fleet
from orpheus_experiments.results import Results
from orpheus_experiments.sweeps import Cell, Plan
from orpheus_experiments.trial import ModelRef, Record, Trial

from orpheus_core.errors import BackendError, UsageError

from .conftest import make_trial

TASK = """
import os, time
from orpheus_experiments.trial import Record, Trial
def measure(text):
    trial = Trial.from_json(text)
    with open(os.environ["FLEET_LOG"], "a") as file:
        file.write(f"{trial.key} {os.getpid()}\\n")
    if trial.engine == "raises":
        raise RuntimeError("no luck today")
    if trial.engine == "nonsense":
        return "{}"
    time.sleep(0.1)
    return Record(trial=trial).to_json()
"""


def plan(count: int, engine: str = "a") -> Plan:
    return Plan(
        "fleet", tuple(Cell(engine, make_trial(engine, threads=n + 1)) for n in range(count)), data={}
    )


@pytest.fixture
def fleet(tmp_path, monkeypatch):
    """``fleet(labels)``: a scheduler's address and the boards' processes by label."""
    distributed = pytest.importorskip("distributed", reason="a fleet needs Dask distributed (extra fleet)")
    (tmp_path / "fleet_task_of_test.py").write_text(TASK)
    (tmp_path / "log").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "FLEET_LOG": str(tmp_path / "log")}
    cluster = distributed.LocalCluster(
        n_workers=0, processes=False, dashboard_address=":0", worker_dashboard_address=None, protocol="tcp://",
        silence_logs=50,
    )  # fmt: skip
    started: dict[str, subprocess.Popen] = {}

    def start(labels: str) -> tuple[str, dict[str, subprocess.Popen]]:
        command = [sys.executable, "-m", "orpheus_experiments.fleet", cluster.scheduler_address]
        for label in labels:
            started[label] = subprocess.Popen(
                [*command, label], env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL
            )
        end = time.monotonic() + 60
        while len(cluster.scheduler.workers) < len(started) and time.monotonic() < end:
            time.sleep(0.05)
        assert len(cluster.scheduler.workers) == len(started)
        return cluster.scheduler_address, started

    yield start
    for process in started.values():
        process.kill()
        process.wait()
    cluster.close()


def task():
    import importlib

    return importlib.import_module("fleet_task_of_test").measure


def test_two_of_four_boards_die_and_every_trial_ends_once(fleet, tmp_path) -> None:
    address, processes = fleet("abcd")
    log = tmp_path / "log"

    def kill() -> None:
        for count, label in ((8, "b"), (14, "d")):
            while len(log.read_text().split("\n")) < count:
                time.sleep(0.01)
            processes[label].kill()

    killer = threading.Thread(target=kill)
    killer.start()
    wanted = plan(8)
    found = sweep_fleet(wanted, tmp_path / "r", address, task=task(), patience=1.0)
    killer.join()
    records = Results.open(tmp_path / "r").records()
    assert len(records) == len(found.new) == found.total == 32 and not found.interrupted
    assert Counter(n.board for n in records) == dict.fromkeys("abcd", 8)
    ran = Counter(log.read_text().split("\n")[:-1])
    assert max(ran.values()) == 1  # none twice on a board
    kinds = {
        b: Counter(r.failure.kind if r.failure else "ok" for n, r in records.items() if n.board == b)
        for b in "abcd"
    }
    assert kinds["a"] == kinds["c"] == {"ok": 8}
    for label in "bd":  # what was done, at most the one under way, and those that found nobody
        assert kinds[label]["crashed"] <= 1 and kinds[label]["ok"] >= 1 and kinds[label]["refused"] >= 1
        assert sum(kinds[label].values()) == 8
    # The boards are back: what failed is run, and nothing else.
    before = {n: r for n, r in records.items() if r.is_ok}
    done = len(ran)
    fleet("bd")
    again = sweep_fleet(wanted, tmp_path / "r", address, resume=True, retry=True, task=task(), patience=30)
    after = Results.open(tmp_path / "r").records()
    assert len(again.new) == 32 - len(before) and all(r.is_ok for r in after.values()) and len(after) == 32
    assert len(log.read_text().split("\n")) - 1 - done == len(again.new)


def test_a_task_that_fails_is_a_row(fleet, tmp_path) -> None:
    address, _ = fleet("a")
    cells = (*plan(1).cells, *plan(1, "raises").cells, *plan(1, "nonsense").cells)
    with pytest.raises(UsageError, match="no board with the label 'z'"):
        sweep_fleet(plan(1), tmp_path / "r", address, boards=["z"])
    found = sweep_fleet(Plan("x", cells, data={}), tmp_path / "r", address, task=task())
    told = {r.trial.engine: r.failure and (r.failure.kind, r.failure.message) for r in found.new}
    assert told["a"] is None and told["raises"][0] == told["nonsense"][0] == "failed"
    assert "no luck today" in told["raises"][1] and "no record" in told["nonsense"][1]
    with pytest.raises(UsageError, match="--resume"):
        sweep_fleet(plan(1), tmp_path / "r", address, task=task())


def test_no_scheduler_no_board_no_dask(fleet, tmp_path, monkeypatch) -> None:
    address, _ = fleet("")
    with pytest.raises(BackendError, match=r"python -m orpheus_experiments.fleet"):
        sweep_fleet(plan(1), tmp_path / "r", address)
    monkeypatch.setattr("orpheus_experiments.fleet.sweep._CONNECT", "1s")
    with pytest.raises(BackendError, match=r"no Dask scheduler at tcp://127.0.0.1:9"):
        sweep_fleet(plan(1), tmp_path / "r", "tcp://127.0.0.1:9")
    assert not (tmp_path / "r").exists()


def test_what_is_not_installed_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"orpheus-experiments\[fleet\]"):
        sweep_fleet(plan(1), tmp_path / "r", "tcp://127.0.0.1:9")


def test_a_trial_on_a_board_is_json_to_json(model: Path, environment, monkeypatch) -> None:
    for key in ("ORPHEUS_CACHE", "ORPHEUS_BACKENDS"):
        monkeypatch.setenv(key, environment[key])
    trial = Trial(
        model=ModelRef(path=str(model)), engine="numpy", metrics=("latency",), processes=1, min_time=0.05, min_runs=3,
        warm_limit=0.1, time_limit=60,
    )  # fmt: skip
    record = Record.from_json(work.measure(trial.to_json()))
    assert record.is_ok and record.trial == trial and record.value("latency", "median") > 0


def test_a_board_must_be_of_the_same_version(fleet, tmp_path, monkeypatch) -> None:
    address, _ = fleet("a")
    mine = {**work.facts(), "orpheus-experiments": "99.0"}
    monkeypatch.setattr("orpheus_experiments.fleet.sweep.facts", lambda: mine)
    with pytest.raises(BackendError, match="no board that could be used"):
        sweep_fleet(plan(1), tmp_path / "r", address, task=task())
