"""``orpheus bench`` as a user runs it, and the Python behind it."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace

import orpheus_experiments
import pytest
from orpheus_experiments.benchmark.bench import Report
from orpheus_experiments.benchmark.command import exit_code
from orpheus_experiments.benchmark.comparing import (
    compare_records,
    fastest,
    instability,
    is_wrong,
    times,
)
from orpheus_experiments.benchmark.plan import groups, processors
from orpheus_experiments.benchmark.report import render
from orpheus_experiments.statistics.processes import centre
from orpheus_experiments.trial import Failure, Measurement, ModelRef, Process, Record, Trial, Turn

from orpheus_core.errors import BackendError, UsageError

QUICK = ("--processes", "2", "--min-time", "0.1", "--min-runs", "8", "--warm", "0.3")


@pytest.fixture
def bench(model, environment, tmp_path):
    """``bench(...)``: the exit code, the written JSON, and what was printed."""

    def run(*arguments: object, quick: bool = True):
        target = tmp_path / "out.json"
        done = subprocess.run(
            [sys.executable, "-m", "orpheus_core", "bench", *map(str, arguments), *(QUICK if quick else ()),
             "--json", str(target)],
            capture_output=True, text=True, timeout=300, check=False, env=environment,
        )  # fmt: skip
        data = json.loads(target.read_text()) if target.exists() else None
        return done.returncode, data, done.stdout + done.stderr

    return run


def test_two_engines_on_one_model(bench, model) -> None:
    code, data, text = bench(model, "-b", "numpy,peer:right", "--metrics", "all", "--images", "2")
    assert code == 0, text
    (group,) = data["groups"]
    assert (
        group["labels"] == ["numpy", "peer:right"]
        and group["title"] == "small, threads 1, batch 1, single-stream"
    )
    records = [Record.from_data(r) for r in group["records"]]
    assert all(r.is_ok and len(r.processes) == 2 for r in records)
    (compared,) = group["comparisons"]
    assert {compared["fast"], compared["slow"]} == set(group["labels"])
    ratio = compared["difference"]["ratio"]
    assert ratio["value"] >= 1 and ratio["low"] <= ratio["value"] <= ratio["high"]
    for word in (
        "median ms",
        "as fast as",
        "noise",
        "items/s",
        "cold",
        "% of peak",
        "plan of peer:right not measured",
    ):
        assert word in text, text


def test_hostile_engines_cost_their_rows_only(bench, model) -> None:
    bad = "peer:segfault,peer:abort,peer:exits,peer:shape,peer:raises,peer:absent,peer:later"
    code, data, text = bench(model, "-b", f"numpy,{bad},peer:flood,peer:right", "--min-runs", "100")
    assert code == 4, text
    records = dict(zip(data["groups"][0]["labels"], data["groups"][0]["records"]))
    kinds = {k: r["failure"] and r["failure"]["kind"] for k, r in records.items()}
    assert kinds == {
        "numpy": None, "peer:segfault": "crashed", "peer:abort": "crashed", "peer:exits": "crashed",
        "peer:shape": "wrong shape", "peer:raises": "failed", "peer:absent": "not installed",
        "peer:later": "crashed", "peer:flood": None, "peer:right": None,
    }  # fmt: skip
    assert all(len(r["processes"]) == 2 for k, r in records.items() if kinds[k] is None)
    assert "wrong shape: result 0 has the shape [1, 4]" in text and "SIGSEGV" in text


def test_a_wrong_result_wins_nothing(bench, model) -> None:
    code, data, text = bench(model, "-b", "numpy,peer:wrong", "--metrics", "latency,error")
    assert code == 1 and "wrong: its results are not the reference's" in text
    assert not data["groups"][0]["comparisons"]


def test_a_grid(bench, model) -> None:
    code, data, text = bench(
        model,
        "-b",
        "numpy",
        "--batch",
        "1,2",
        "--threads",
        "1,2",
        "--metrics",
        "throughput",
        "--processes",
        "1",
    )
    assert code == 0, text
    settings = [
        (r["trial"].get("threads", 1), r["trial"].get("batch", 1))
        for g in data["groups"]
        for r in g["records"]
    ]
    assert settings == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_against_itself(bench, model) -> None:
    code, data, text = bench(model, "-b", "numpy", "--aa", "--metrics", "latency")
    assert code == 0 and "A/A: the gaps are up to" in text
    assert data["groups"][0]["labels"] == ["numpy", "numpy (again)"]


def test_a_folder_and_offline(bench, model) -> None:
    code, data, text = bench(
        model.parent,
        "-b",
        "numpy+hurt",
        "--scenario",
        "offline",
        "--streams",
        "2",
        "--metrics",
        "throughput,latency",
    )
    assert code == 0, text  # numpy comes first, so hurt is not used
    assert data["groups"][0]["title"].endswith("offline, 2 streams")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system cannot pin")
def test_pinned(bench, model) -> None:
    cpu = min(os.sched_getaffinity(0))
    code, data, text = bench(model, "-b", "numpy", f"--pin={cpu}", "--metrics", "latency")
    assert (
        code == 0
        and data["groups"][0]["records"][0]["trial"]["cpus"] == [cpu]
        and f"pinned to [{cpu}]" in text
    )


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("resnet-19", "-b", "numpy"), 2, "did you mean 'resnet-18'?"),
        (("no/such.onnx", "-b", "numpy"), 2, "no/such.onnx is neither a file"),
        (("MODEL", "-b", "nonesuch"), 2, "'nonesuch' is not installed"),
        (("MODEL", "-b", "peer:nonesuch"), 2, "no plugin offers the engine peer:nonesuch"),
        (("MODEL", "-b", "numpy,numpy"), 2, "twice"),
        (("MODEL", "-b", "numpy", "--metrics", "latency,speed"), 2, "there is no 'speed'; there are latency"),
        (("MODEL", "-b", "numpy", "--threads", "0"), 2, "--threads 0"),
        (("MODEL", "-b", "numpy", "--threads", "many"), 2, "--threads many"),
        (("MODEL", "-b", "numpy", "--streams", "2"), 2, "offline"),
        (("MODEL", "-b", "numpy", "--pin=99999"), 2, "trial.cpus"),
        (("MODEL", "-b", "numpy", "--json", "no/folder/x.json"), 2, "no folder"),
        (("BAD", "-b", "numpy"), 3, "model:"),
    ],
)
def test_bad_input(bench, model, tmp_path, arguments, code, part) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"not a model")
    given = [{"MODEL": str(model), "BAD": str(bad)}.get(a, a) for a in arguments]
    if "--json" in given:  # the later of two counts
        got = subprocess.run(
            [sys.executable, "-m", "orpheus_core", "bench", *given],
            capture_output=True,
            text=True,
            check=False,
        )
        assert got.returncode == code and part in got.stderr
        return
    found = bench(*given)
    assert found[0] == code and part in found[2], found[2]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.skipif(os.name != "posix", reason="needs a terminal of its own")
def test_ctrl_c_leaves_what_was_measured(model, environment, tmp_path) -> None:
    import pty

    target = tmp_path / "out.json"
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "orpheus_core", "bench", str(model), "-b", "numpy", "--processes", "500",
         "--min-time", "1", "--warm", "0", "--metrics", "latency", "--json", str(target)],
        stdout=subprocess.PIPE, stderr=theirs, text=True, env=environment,
    )  # fmt: skip
    os.close(theirs)
    shown = b""
    while b"process 3 of 500" not in shown:
        shown += os.read(ours, 1000)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=100)
    os.close(ours)
    assert process.returncode == 130, text
    assert b"%" in shown and b"small, numpy: preparing" in shown
    (record,) = json.loads(target.read_text())["groups"][0]["records"]
    found = Record.from_data(record)
    assert found.is_ok and 2 <= len(found.processes) < 500 and "of 500 processes were finished" in text


def test_interrupted_before_anything_was_done(model) -> None:
    def stop(_text: str, share: float, _left: float | None) -> None:
        raise KeyboardInterrupt

    report = orpheus_experiments.bench(model, "numpy", say=stop)
    assert report.interrupted and report.records[0][0].failure.kind == "interrupted"
    assert "interrupted: " in str(report)


def test_in_python(model) -> None:
    report = orpheus_experiments.bench(
        model,
        "numpy",
        batch=[1, 2],
        metrics=("latency",),
        processes=1,
        min_time=0.05,
        min_runs=4,
        warm_limit=0.1,
    )
    assert [r.trial.batch for r in report.every] == [1, 2] and all(r.is_ok for r in report.every)
    assert "small, threads 1, batch 2" in str(report) and json.loads(report.to_json())["schema"] == 1
    with pytest.raises(UsageError, match="no setting speed"):
        orpheus_experiments.bench(model, speed=1)
    with pytest.raises(UsageError, match="neither a file"):
        orpheus_experiments.bench("no/such")
    with pytest.raises(AttributeError):
        orpheus_experiments.nonesuch  # noqa: B018


def test_names_of_engines(model, tmp_path) -> None:
    base = Trial(model=ModelRef(path="-"), engine="-")
    specs = ["numpy", "numpy:Conv/direct", "peer:onnxruntime"]
    (group,) = groups([model], specs, [2], [1], base)
    assert [t.engine for t in group.trials] == ["numpy", "numpy", "peer:onnxruntime"]
    assert group.trials[1].kernels == {"Conv": "numpy:Conv/direct"} and group.labels == tuple(specs)
    assert all(t.model.sha256 and t.threads == 2 for t in group.trials)
    with pytest.raises(UsageError, match="Op/kernel"):
        groups([model], ["numpy:Conv"], [1], [1], base)
    with pytest.raises(BackendError, match="nonesuch"):
        groups([model], ["numpy+nonesuch"], [1], [1], base)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"no \.onnx file"):
        groups([tmp_path / "empty"], ["numpy"], [1], [1], base)


def test_processors() -> None:
    assert processors(2, False) is None and processors(1, [3, 5]) == (3, 5)
    usable = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if usable:
        assert processors(len(usable), True) is not None
    with pytest.raises(UsageError, match="cannot pin"):
        processors(len(usable) + 1, True)


def made(medians: list[float], **more) -> Record:
    turns = [(Turn(samples=((m,) * 3,), wall=3 * m, cpu=3 * m),) for m in medians]
    processes = tuple(Process(load=1.0, steady=True, warm_runs=3, turns=t) for t in turns)
    return Record(trial=Trial(model=ModelRef(path="m"), engine="numpy"), processes=processes, **more)


def test_who_is_fastest() -> None:
    wrong = {"error": Measurement("of range", {"error": 0.5}, "a test")}
    records = [
        made([2.0, 2.1, 1.9]),
        made([1.0, 1.05, 0.95]),
        made([0.1] * 3, metrics=wrong),
        made([0.2] * 3, failure=Failure("crashed", "")),
        made([1.001, 1.04, 0.96]),
    ]
    assert is_wrong(records[2]) and not is_wrong(records[0])
    found = fastest(list("abcde"), records)
    assert [(c.fast, c.slow) for c in found] == [("b", "e"), ("b", "a")]
    assert found[0].difference.is_real is False and found[1].difference.is_real is True
    assert fastest(["a"], records[:1]) == []


def turns(*processes: list[float]) -> Record:
    taken = [tuple(Turn(samples=((t,),), wall=t, cpu=t) for t in process) for process in processes]
    return replace(
        made([]), processes=tuple(Process(load=1.0, steady=True, warm_runs=3, turns=t) for t in taken)
    )


def test_engines_are_compared_turn_by_turn() -> None:
    # Half of the turns met a neighbour; of the second engine one more, so that its median is the larger one.
    first = turns([1.0, 1.0, 1.0, 1.0, 2.0], [1.0, 1.0, 1.0, 2.0, 2.0])
    second = turns([0.9, 0.9, 1.9, 0.9, 1.8], [0.9, 0.9, 1.9, 1.8, 1.8])
    assert centre(times(first)).value < centre(times(second)).value
    (found,) = fastest(["a", "b"], [first, second])
    assert (found.fast, found.slow) == ("b", "a")
    assert found.difference.ratio.value == pytest.approx(1 / 0.9)
    # Those that were interrupted, or had their time after fewer turns, are compared as far as they went.
    fewer = turns([2.0, 2.0])
    for paired in (compare_records(fewer, first, paired=True), compare_records(first, fewer, paired=True)):
        assert abs(math.log2(paired.ratio.value)) == pytest.approx(1)


def test_what_is_doubtful() -> None:
    assert instability(made([1.0, 1.05])) == []
    assert instability(made([1.0, 1.2])) == ["its processes' medians are up to 20% apart"]
    assert instability(made([1.0], notes=("throttled",))) == ["throttled"]


def failed(kind: str) -> Record:
    return made([1.0, 1.01], failure=Failure(kind, ""))


@pytest.mark.parametrize(
    ("records", "code"),
    [
        ([made([1.0, 1.01])], 0),
        ([made([1.0, 1.3])], 5),
        ([made([1.0], notes=("throttled",))], 5),
        ([made([1.0, 1.01]), failed("not installed")], 2),
        ([failed("refused")], 2),
        ([failed("model"), failed("model")], 3),
        ([failed("unsupported")], 3),
        ([made([1.0, 1.01]), failed("unsupported")], 2),
        ([made([1.0, 1.01]), failed("wrong shape")], 4),
        ([failed("model"), failed("out of memory")], 4),
        ([made([1.0], metrics={"error": Measurement("of range", {"error": 0.1}, "a test")})], 1),
    ],
)
def test_exit_codes(records, code) -> None:
    report = Report((), (tuple(records),))
    assert exit_code(report, strict=True) == code
    assert exit_code(report, strict=False) == (0 if code == 5 else code)
    assert exit_code(Report((), (tuple(records),), interrupted=True), strict=True) == 130


def test_another_reference_than_was_asked_for_is_told(model) -> None:
    (group,) = groups(
        [model], ["numpy", "numpy:Conv/direct"], [1], [1], Trial(model=ModelRef(path="-"), engine="-")
    )
    own = Measurement("of range", {"error": 1e-6}, "against float64")
    other = Measurement("of range", {"error": 1e-6}, "against numpy (float64: no such kernel)")
    records = [made([1.0, 1.0], metrics={"error": m}) for m in (own, other)]
    text = render(group, records, [])
    assert "error of numpy:Conv/direct: against numpy (float64: no such kernel)" in text
    assert "error of numpy:" not in text.replace("error of numpy:Conv", "")
