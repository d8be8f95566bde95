"""Time to make a session from a file: Orpheus, untuned, and ONNX Runtime, in turns, each in fresh processes.

Each process makes a session of a tiny model first, so that the start of a library is not counted, then several of the
model: ``first`` is the first one, ``later`` the median of the others. A virtual machine's host takes free pages back
and finds them anew at some milliseconds a megabyte, which would be most of what is seen. So each process touches and
frees ``--found`` MiB before its first session, that both engines find pages that are there; ``--found 0``: none.
Installed packages come with their bytecode; that those from a checkout have it, too, each engine has a round that does
not count, and what is compiled in it is kept in a folder of this run.

usage: python benchmarks/session_creation.py [--models wrn-40-2,resnet-50] [--threads 1] [--rounds 7] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import onnx
from orpheus_experiments.timing.host_memory import find_memory
from orpheus_experiments.timing.prime import prime
from orpheus_experiments.zoo import build

MODELS = "wrn-40-2,mobilenet-v1,resnet-18,inception-v3,resnet-50,mobilenet-v2"
ENGINES = ("orpheus", "onnxruntime")
_LATER = 4


def maker(engine: str, threads: int, backends: list[str]) -> Callable[[str], object]:
    """Makes a session of a file; the engine is imported here."""
    if engine == "onnxruntime":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        return lambda path: onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    from orpheus_core.session import InferenceSession, SessionOptions

    untuned = SessionOptions(measurements="")
    return lambda path: InferenceSession(path, untuned, providers=backends, threads=threads)


def child(
    engine: str, folder: Path, model: str, threads: int, backends: list[str], found: int
) -> list[float]:
    """Seconds of each session of ``model`` in this process."""
    make = maker(engine, threads, backends)
    make(str(folder / "prime.onnx"))
    find_memory(found)
    times = []
    for _ in range(1 + _LATER):
        start = time.perf_counter()
        made = make(str(folder / f"{model}.onnx"))
        times.append(time.perf_counter() - start)
        del made
    return times


def in_process(engine: str, folder: str, model: str, options: dict[str, object]) -> list[float]:
    """What :func:`child` says in a fresh process, whose bytecode is kept in ``folder``."""
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, __file__, "--child", engine, folder, model, *flags],
        check=True, capture_output=True, text=True,
        env={**environment, "PYTHONPYCACHEPREFIX": str(Path(folder) / "bytecode")},
    )  # fmt: skip
    seconds: list[float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backends", default="openmp,numpy")
    parser.add_argument(
        "--found", type=int, default=1024, metavar="MIB", help="memory that a process finds first"
    )
    parser.add_argument("--raw", action="store_true", help="BatchNormalization not folded yet")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", nargs=3, metavar=("ENGINE", "FOLDER", "MODEL"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        engine, folder, model = args.child
        print(
            json.dumps(child(engine, Path(folder), model, args.threads, args.backends.split(","), args.found))
        )
        return
    found: dict[str, dict[str, list[list[float]]]] = {}
    with tempfile.TemporaryDirectory(prefix="orpheus-sessions-") as folder:
        onnx.save(prime(), Path(folder) / "prime.onnx")
        for model in args.models.split(","):
            onnx.save(build(model, raw=args.raw), Path(folder) / f"{model}.onnx")
            times = found[model] = {engine: [] for engine in ENGINES}
            for number in range(args.rounds + 1):
                for engine in ENGINES:
                    options = {"threads": args.threads, "found": args.found, "backends": args.backends}
                    seconds = in_process(engine, folder, model, options)
                    if number:
                        times[engine].append(seconds)
            if not args.json:
                print(line(model, times), flush=True)
    if args.json:
        print(json.dumps({"threads": args.threads, "seconds": found}))


def line(model: str, times: dict[str, list[list[float]]]) -> str:
    """Medians over the processes, in milliseconds, and Orpheus's share of ONNX Runtime's."""
    words = [f"{model:14}"]
    for name, part in (("first", slice(1)), ("later", slice(1, None))):
        both = [[1e3 * statistics.median(t[part]) for t in times[engine]] for engine in ENGINES]
        ours, theirs = map(statistics.median, both)
        spans = " / ".join(f"{min(b):.1f}-{max(b):.1f}" for b in both)
        words.append(f"{name} {ours:6.1f} / {theirs:6.1f} ms = {ours / theirs:.2f} ({spans})")
    return "  ".join(words)


if __name__ == "__main__":
    main()
