"""``orpheus bench``: the command line."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from orpheus_core.cli.exits import Exit
from orpheus_core.cli.options import add_shape, names, positive, seconds, shapes, whole
from orpheus_core.cli.progress import progress
from orpheus_core.errors import UsageError
from orpheus_experiments.benchmark.bench import Report, bench
from orpheus_experiments.benchmark.comparing import instability, is_wrong
from orpheus_experiments.benchmark.report import circumstances
from orpheus_experiments.trial import METRICS, Trial

__all__ = ["configure", "exit_code", "run"]

_DEFAULT = "latency,throughput,load,memory,error"
_INTERRUPTED = 130


def _default(name: str) -> Any:
    return Trial.__dataclass_fields__[name].default


_OPTIONS: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = (
    (("--threads",), {"default": "1", "metavar": "LIST", "help": "thread counts, of one stream (default: 1)"}),
    (("--batch",), {"default": "1", "metavar": "LIST", "help": "items in one inference (default: 1)"}),
    (("--scenario",), {"choices": ("single-stream", "offline"), "default": "single-stream",
      "help": "one inference after another, or --streams at once for throughput (default: single-stream)"}),
    (("--streams",), {"type": positive, "default": 1, "metavar": "N", "help": "sessions at once, with offline"}),
    (("--metrics",), {"default": _DEFAULT, "metavar": "LIST",
      "help": f"of {', '.join(METRICS)}, or all (default: {_DEFAULT})"}),
    (("--min-time",), {"type": seconds, "default": _default("min_time"), "metavar": "S",
      "help": "measure at least so long, over all processes (default: 3 s)"}),
    (("--min-runs",), {"type": positive, "default": _default("min_runs"), "metavar": "N",
      "help": "and at least so many inferences (default: 10)"}),
    (("--processes",), {"type": positive, "default": _default("processes"), "metavar": "N",
      "help": "fresh processes of each engine (default: 5)"}),
    (("--warm",), {"type": seconds, "default": _default("warm_limit"), "metavar": "S",
      "help": "longest warm-up of a process (default: 5 s)"}),
    (("--pin",), {"nargs": "?", "const": "auto", "metavar": "CPUS",
      "help": "keep to these processors (0,2), or to as many as there are threads. After the models, or as --pin=0,2"}),
    (("--cooldown",), {"type": seconds, "default": 0.0, "metavar": "S", "help": "rest between rounds"}),
    (("--isa",), {"metavar": "NAME", "help": "confine every engine to an instruction set, such as avx2"}),
    (("--reference",), {"default": "float64", "metavar": "ENGINE",
      "help": "what errors are against (default: float64, else the first engine)"}),
    (("--images",), {"type": positive, "default": _default("images"), "metavar": "N",
      "help": "inputs whose classes are compared, for agreement (default: 16)"}),
    (("--policy",), {"choices": ("order", "cost"), "help": "how backends choose kernels (default: order)"}),
    (("--tuned",), {"action": "store_true", "help": "let the times that `orpheus tune` has kept choose"}),
    (("--seed",), {"type": whole, "default": 0, "metavar": "N", "help": "of the random inputs (default: 0)"}),
    (("--timeout",), {"type": seconds, "default": _default("time_limit"), "metavar": "S",
      "help": "for all of one engine's processes (default: 600 s)"}),
    (("--memory-limit",), {"type": positive, "metavar": "MIB", "help": "address space of each process"}),
    (("--aa",), {"action": "store_true", "help": "enter each engine twice: shows the machine's own noise"}),
    (("--strict",), {"action": "store_true", "help": "exit with 5 when a measurement is doubtful"}),
    (("--json",), {"metavar": "FILE", "help": "write all records there, every sample included; - prints them"}),
)  # fmt: skip


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``orpheus bench``."""
    parser.add_argument(
        "models", metavar="MODEL", nargs="+", help="ONNX files, folders of them, or networks of the zoo"
    )
    parser.add_argument(
        "-b", "--backends", metavar="LIST",
        help="engines: a backend, several in order of preference (openmp+numpy), one with a kernel pinned "
        "(openmp:Conv/direct), or peer:onnxruntime (default: all ready backends)",
    )  # fmt: skip
    add_shape(parser)
    for flags, facts in _OPTIONS:
        parser.add_argument(*flags, **facts)


def run(args: argparse.Namespace) -> int:
    """Measure, print, write; the exit code is that of the worst record."""
    report = _measure(args)
    if not report.every:
        return _INTERRUPTED
    text = report.to_json() if args.json else ""
    if args.json == "-":
        print(text)
    else:
        print(circumstances(report.every[0]) + "\n\n" + str(report))
    if args.json and args.json != "-":
        try:
            Path(args.json).write_text(text + "\n", encoding="utf-8")
        except OSError as error:
            raise UsageError(f"cannot write {args.json}: {error.strerror}") from error
    return exit_code(report, strict=args.strict)


def exit_code(report: Report, *, strict: bool) -> int:
    """What the records amount to; 130 when the user interrupted."""
    if report.interrupted:
        return _INTERRUPTED
    kinds = {r.failure.kind for r in report.every if r.failure is not None}
    if kinds & {"crashed", "timed out", "failed", "out of memory", "wrong shape"}:
        return Exit.BACKEND
    if any(is_wrong(r) for r in report.every if r.is_ok):
        return Exit.MISMATCH
    if "model" in kinds or (kinds == {"unsupported"} and not any(r.is_ok for r in report.every)):
        return Exit.MODEL
    if kinds:
        return Exit.USAGE
    return Exit.UNSTABLE if strict and any(instability(r) for r in report.every) else Exit.OK


def _measure(args: argparse.Namespace) -> Report:
    metrics = METRICS if args.metrics == "all" else _list(args.metrics, "--metrics")
    unknown = [m for m in metrics if m not in METRICS]
    if unknown:
        raise UsageError(f"--metrics: there is no {unknown[0]!r}; there are {', '.join(METRICS)}, or all")
    if args.json and args.json != "-" and not Path(args.json).absolute().parent.is_dir():
        raise UsageError(f"--json: there is no folder {Path(args.json).absolute().parent}")
    pin: bool | list[int] = args.pin == "auto"
    if args.pin not in (None, "auto"):
        pin = _numbers(args.pin, "--pin", 0)
    with progress() as line:

        def say(text: str, done: float, left: float | None) -> None:
            rest = "" if left is None else f", about {_duration(left)} left"
            line.say(f"{done:.0%}{rest}: {text} ...")

        return bench(
            args.models, names(args.backends), threads=_numbers(args.threads, "--threads"),
            batch=_numbers(args.batch, "--batch"), pin=pin, cooldown=args.cooldown, aa=args.aa, say=say,
            scenario=args.scenario, streams=args.streams, metrics=tuple(metrics), min_time=args.min_time,
            min_runs=args.min_runs, processes=args.processes, warm_limit=args.warm, seed=args.seed, images=args.images,
            reference=args.reference, time_limit=args.timeout, isa=args.isa, policy=args.policy, tuned=args.tuned,
            memory_limit=args.memory_limit and args.memory_limit * 2**20, shapes=shapes(args.shape),
        )  # fmt: skip


def _duration(length: float) -> str:
    return f"{length:.0f} s" if length < 100 else f"{length / 60:.0f} min"


def _list(text: str, option: str) -> list[str]:
    found = [part.strip() for part in text.split(",") if part.strip()]
    if not found or len(set(found)) != len(found):
        raise UsageError(f"{option} {text}: must name at least one, and none twice")
    return found


def _numbers(text: str, option: str, least: int = 1) -> list[int]:
    parts = _list(text, option)
    if not all(p.isdecimal() and p.isascii() and int(p) >= least for p in parts):
        raise UsageError(f"{option} {text}: must be whole numbers from {least} up, joined by commas")
    return [int(p) for p in parts]
