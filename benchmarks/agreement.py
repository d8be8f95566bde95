"""Does `orpheus bench` agree with the tools that come with other engines, on the same model and settings?

usage: python benchmarks/agreement.py [--networks wrn-40-2,mobilenet-v1] [--engines openvino,litert]
                                      [--rounds 7] [--seconds 2] [--json agreement.json]

Per network and engine, the engine's own tool and a process of `orpheus bench` take turns, in shuffled order and each in
a fresh process, once a round. Told are the medians over rounds, and the ratio with the 95 % interval of Student's t
over the rounds' differences. A tool that tells the mean only is held against the mean. With `--json` a run adds its
rows to those of the file, so that a long table can be made in pieces. Exit code 1 when a ratio is more than 5 % from
one.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import fmean, median

from orpheus_experiments.statistics.processes import compare
from orpheus_experiments.trial import ModelRef, Record, Trial, run
from orpheus_experiments.trial.models import locate

from orpheus_core.peers import PREFIX, absence, peer, source, version

_ALLOWED = 0.05
_LIMIT = 300.0


@dataclass(frozen=True)
class Task:
    """What a tool is to do: the model in the engine's own format, and how many runs make ``seconds``."""

    path: Path
    shape: tuple[int, ...]
    threads: int
    seconds: float
    runs: int
    folder: Path


@dataclass(frozen=True)
class Tool:
    """A tool of an engine's package. ``read`` gives seconds from its output, its ``statistic``."""

    engine: str
    name: str
    module: str
    command: Callable[[Task], list[str]]
    read: Callable[[str, Task], float]
    statistic: str = "median"


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", default="wrn-40-2,mobilenet-v1")
    parser.add_argument("--engines", default=",".join(_ENGINES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path, help="add the rows to this file, and print all that it has")
    args = parser.parse_args()
    kept = json.loads(args.json.read_text("utf-8")) if args.json and args.json.exists() else {}
    wanted = args.engines.split(",")
    unknown = [e for e in wanted if e not in _ENGINES]
    if unknown:
        parser.error(f"no tool of {unknown[0]!r} is known; there are those of {', '.join(_ENGINES)}")
    for network in args.networks.split(","):
        for tool in TOOLS:
            if tool.engine in wanted:
                found = measure(tool, network, args.threads, args.rounds, args.seconds)
                kept[f"{network} {tool.engine}"] = found
                print(_row(found), file=sys.stderr, flush=True)
                if args.json:
                    args.json.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    print("\n".join(_table(list(kept.values()))))
    return int(any("ratio" in row and _agrees(row) is False for row in kept.values()))


def measure(tool: Tool, network: str, threads: int, rounds: int, seconds: float) -> dict[str, object]:
    """A row: what both say, or why the tool says nothing."""
    spec = peer(tool.engine)
    reason = absence(spec) or (None if find_spec(tool.module) else f"its package has no {tool.module}")
    row: dict[str, object] = {
        "network": network,
        "engine": f"{tool.engine} {version(spec)}",
        "tool": tool.name,
    }
    if reason is not None:
        return {**row, "reason": reason}
    model = ModelRef(zoo=network)
    trial = Trial(
        model=model, engine=PREFIX + tool.engine, threads=threads, processes=1, min_time=seconds, metrics=("latency",)
    )  # fmt: skip
    theirs, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        made = source(spec, locate(model, 1), Path(folder))
        first = _bench(trial, tool)
        shape = tuple(int(d) for d in made.inputs[0].shape if isinstance(d, int))
        task = Task(made.path, shape, threads, seconds, max(5, round(seconds / first)), Path(folder))
        order = random.Random(f"{network} {tool.engine}")
        for _ in range(rounds):
            turns: list[Callable[[], None]] = [
                lambda: theirs.append(_their(tool, task)),
                lambda: ours.append(_bench(trial, tool)),
            ]
            order.shuffle(turns)
            for turn in turns:
                turn()
    found = compare(ours, theirs, paired=True).ratio
    return {
        **row, "threads": threads, "statistic": tool.statistic, "theirs": median(theirs), "ours": median(ours),
        "ratio": found.value, "low": found.low, "high": found.high, "rounds": rounds,
    }  # fmt: skip


def _bench(trial: Trial, tool: Tool) -> float:
    """Seconds by a process of `orpheus bench`, the tool's statistic."""
    record: Record = run(trial)
    if record.failure is not None:
        raise SystemExit(f"{trial.engine}: {record.failure.kind}: {record.failure.message}")
    samples = [s for p in record.processes for t in p.turns for row in t.samples for s in row]
    return median(samples) if tool.statistic == "median" else fmean(samples)


def _their(tool: Tool, task: Task) -> float:
    done = subprocess.run(
        tool.command(task), cwd=task.folder, capture_output=True, text=True, timeout=_LIMIT, check=False,
        env={**os.environ, "OMP_NUM_THREADS": str(task.threads)},
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{tool.name} failed: {(done.stderr or done.stdout)[-2000:]}")
    return tool.read(done.stdout, task)


def _openvino(task: Task) -> list[str]:
    # What the peer sets and the tool has no option for.
    rest = {
        "CPU": {
            "PERFORMANCE_HINT": "LATENCY",
            "ENABLE_HYPER_THREADING": True,
            "SCHEDULING_CORE_TYPE": "ANY_CORE",
        }
    }
    (task.folder / "config.json").write_text(json.dumps(rest), encoding="utf-8")
    return [
        sys.executable, "-c", "from openvino.tools.benchmark.main import main; main()", "-m", str(task.path),
        "-d", "CPU", "-hint", "none",
        "-api", "sync", "-nstreams", "1", "-nthreads", str(task.threads), "-pin", "YES", "-infer_precision", "f32",
        "-t", str(max(1, round(task.seconds))), "-load_config", "config.json",
    ]  # fmt: skip


def _onnxruntime(task: Task) -> list[str]:
    return [sys.executable, "-c", _SESSIONS, str(task.path), str(task.runs), str(task.threads)]


def _litert(task: Task) -> list[str]:
    return [
        sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model", f"--model={task.path}",
        f"--num_threads={task.threads}", f"--num_runs={task.runs}", "--warmup_runs=20",
    ]  # fmt: skip


# The tool has no option for threads: its sessions are given the number, all else is its own.
_SESSIONS = """
import sys
import onnxruntime
from onnxruntime.tools import onnxruntime_test
threads, make = int(sys.argv.pop()), onnxruntime.InferenceSession
def session(path, sess_options=None, **more):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return make(path, options, **more)
onnxruntime.InferenceSession = session
onnxruntime_test.main()
"""


_TIMER = """
import sys, torch
from torch.utils.benchmark import Timer
path, threads, seconds, *shape = sys.argv[1:]
torch.set_num_threads(int(threads))
module = torch.jit.optimize_for_inference(torch.jit.load(path).eval())
given = torch.rand([int(d) for d in shape])
with torch.inference_mode():
    for _ in range(20):
        module(given)
    timer = Timer("module(given)", globals={"module": module, "given": given}, num_threads=int(threads))
    print("median", timer.blocked_autorange(min_run_time=float(seconds)).median, "s")
"""


def _pytorch(task: Task) -> list[str]:
    return [
        sys.executable, "-c", _TIMER, str(task.path), str(task.threads), str(task.seconds), *map(str, task.shape)
    ]  # fmt: skip


def _found(pattern: str) -> Callable[[str, Task], float]:
    """Reads a number and its unit."""

    def read(text: str, _: Task) -> float:
        match = re.search(pattern, text)
        if match is None:
            raise SystemExit(f"the tool's output has no {pattern!r}:\n{text[-2000:]}")
        return float(match[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[match[2]]

    return read


TOOLS = (
    Tool(
        "openvino", "benchmark_app", "openvino.tools.benchmark", _openvino,
        _found(r"Median:\s+([\d.]+) (us|ms)"),
    ),
    Tool(
        "onnxruntime", "onnxruntime_test", "onnxruntime.tools.onnxruntime_test", _onnxruntime,
        _found(r"avg latency: ([\d.]+) (ms)"), "mean",
    ),
    Tool(
        "litert", "litert-benchmark", "ai_edge_litert.tools.benchmark_litert_model", _litert,
        _found(r"Inference \(median\):\s+([\d.]+) (ms)"),
    ),
    Tool("pytorch", "torch.utils.benchmark", "torch.utils.benchmark", _pytorch, _found(r"median (\S+) (s)")),
)  # fmt: skip
_ENGINES = [t.engine for t in TOOLS]
# Tools that one would ask for, and why they are not asked.
ABSENT = (
    ("onnxruntime", "onnxruntime_perf_test", "not in the wheel: it is built from the engine's sources"),
    (
        "ncnn",
        "benchncnn",
        "not in the wheel, which has the Python module alone: it is built from the engine's sources",
    ),
)


def _agrees(row: dict[str, object]) -> bool | None:
    """Whether the two are within 5 %; None where they are not, and the interval holds that they are equal."""
    ratio, low, high = (float(str(row[k])) if row[k] is not None else None for k in ("ratio", "low", "high"))
    assert ratio is not None
    if abs(ratio - 1) <= _ALLOWED:
        return True
    return None if low is None or high is None or low <= 1 <= high else False


def _row(row: dict[str, object]) -> str:
    return " | ".join(_cells(row))


def _cells(row: dict[str, object]) -> list[str]:
    named = [str(row[k]) for k in ("network", "engine", "tool")]
    if "reason" in row:
        return [*named, f"not measured: {row['reason']}", "", "", "", ""]
    low, high = (f"{row[k]:.3f}" if row[k] is not None else "?" for k in ("low", "high"))
    times = [f"{1e3 * float(str(row[k])):.3f}" for k in ("theirs", "ours")]
    within = {True: "yes", False: "no", None: "cannot be told"}[_agrees(row)]
    ratio = f"{row['ratio']:.3f} [{low}, {high}]"
    return [*named, str(row["threads"]), str(row["statistic"]), *times, f"{ratio}, {within}"]


def _table(rows: Sequence[dict[str, object]]) -> list[str]:
    heads = (
        "network",
        "engine",
        "its own tool",
        "threads",
        "of",
        "its tool, ms",
        "orpheus bench, ms",
        "ratio, within 5 %",
    )
    absent: list[dict[str, object]] = [
        {"network": "all", "engine": e, "tool": t, "reason": why} for e, t, why in ABSENT
    ]
    lines = [heads, ["---"] * len(heads), *map(_cells, (*rows, *absent))]
    return ["| " + " | ".join(line) + " |" for line in lines]


if __name__ == "__main__":
    sys.exit(main())
