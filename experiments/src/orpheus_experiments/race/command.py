"""The command line of the race."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from orpheus_core.cli.exits import Exit, code_for
from orpheus_core.cli.options import positive, seconds, whole
from orpheus_core.cli.progress import progress
from orpheus_core.errors import OrpheusError, UsageError
from orpheus_experiments.race.entrant import ORPHEUS, hindrance, known
from orpheus_experiments.race.environment import environment
from orpheus_experiments.race.goals import check, read
from orpheus_experiments.race.race import Heat, Plan, run
from orpheus_experiments.race.report import PAPER, brief, record, tables, verdicts
from orpheus_experiments.zoo import build

__all__ = ["main"]

_NETWORKS = (*PAPER, "mobilenet-v2")


def main(argv: Sequence[str] | None = None, goals: Path | None = None) -> int:
    """Race, print, and give the exit code; ``goals`` is the file that a bare ``--check`` reads."""
    parser = _parser(goals)
    args = parser.parse_args(argv)
    try:
        return _run(args)
    except OrpheusError as error:
        parser.exit(code_for(error), f"error: {error}\n")


_OPTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--networks", {"default": ",".join(_NETWORKS), "metavar": "LIST", "help": "of the zoo"}),
    ("--model", {"action": "append", "default": [], "metavar": "FILE", "help": "an ONNX file instead of the zoo"}),
    ("--engines", {"metavar": "LIST", "help": "peers (default: all; those that are not installed are rows)"}),
    ("--orpheus", {"default": ",".join(ORPHEUS), "metavar": "LIST", "help": "Orpheus's own entrants"}),
    ("--backends", {"default": "openmp,numpy", "metavar": "LIST", "help": "Orpheus's backends"}),
    ("--threads", {"default": "1,2", "metavar": "LIST", "help": "thread counts"}),
    ("--runs", {"type": positive, "default": 30, "metavar": "N", "help": "at least so many of each"}),
    ("--rounds", {"type": positive, "default": 20, "metavar": "N", "help": "turns that each has"}),
    ("--turn", {"type": seconds, "default": 0.05, "metavar": "S", "help": "a turn lasts at least so long"}),
    ("--warm", {"type": seconds, "default": 5.0, "metavar": "S", "help": "longest warm-up of each"}),
    ("--loads", {"type": positive, "default": 3, "metavar": "N", "help": "fresh processes for load and memory"}),
    ("--tune", {"type": seconds, "default": 0.05, "metavar": "S", "help": "time for each kernel in tuning"}),
    ("--again", {"action": "store_true", "help": "tune anew what has been tuned before"}),
    ("--isa", {"choices": ("avx2",), "help": "confine everybody to it; who cannot be is left out"}),
    ("--seed", {"type": whole, "default": 0, "metavar": "N", "help": "of inputs and of the order"}),
    ("--timeout", {"type": seconds, "default": 900.0, "metavar": "S", "help": "give up on an answer"}),
    ("--json", {"metavar": "FILE", "help": "write the whole record there, every sample included"}),
    ("--strict", {"action": "store_true", "help": "with --check: exit with 1 unless every goal is met"}),
)  # fmt: skip


def _parser(goals: Path | None) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Orpheus against other engines: batch 1, float32.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    for flag, facts in _OPTIONS:
        parser.add_argument(flag, **facts)
    parser.add_argument(
        "--check",
        nargs="?",
        const=goals,
        type=Path,
        metavar="FILE",
        help="hold the result against these goals",
    )
    return parser


def _run(args: argparse.Namespace) -> int:
    goals = read(args.check) if args.check is not None else None
    if args.strict and goals is None:
        raise UsageError("--strict goes with --check")
    backends = tuple(_list(args.backends))
    peers = _list(args.engines) if args.engines else [n for n in known() if n not in ORPHEUS]
    entrants = [*_list(args.orpheus), *peers]
    for name in entrants:
        hindrance(name, backends, args.isa)  # an unknown name is an error before anything starts
    before = environment(entrants)
    with tempfile.TemporaryDirectory(prefix="orpheus-zoo-") as folder, progress() as line:
        models = {Path(m).stem: Path(m) for m in args.model}
        for name in [] if models else _list(args.networks):
            line.say(f"{name}: building ...")
            models[name] = Path(folder) / f"{name}.onnx"
            onnx.save(build(name), models[name])
        plan = Plan(
            models, entrants, tuple(_count(t) for t in _list(args.threads)), backends, args.runs, args.rounds,
            args.turn, args.warm, args.loads, args.tune, args.again, args.isa, args.seed, args.timeout,
        )  # fmt: skip

        def ended(heat: Heat) -> None:
            line.clear()
            print(brief(heat), file=sys.stderr, flush=True)

        heats = run(plan, line.say, ended)
    data = record(plan, heats, before)
    print(tables(data))
    found = check(goals, data) if goals is not None else []
    if goals is not None:
        print("\n" + verdicts(found))
        data["goals"] = [{"what": v.what, "wanted": v.wanted, "got": v.got, "met": v.met} for v in found]
    if args.json:
        Path(args.json).write_text(json.dumps(data, indent=1), encoding="utf-8")
    reasons = [lane.reason for heat in heats for lane in heat.lanes if lane.reason]
    unexpected = [r for r in reasons if not r.startswith(("not installed", "left out"))]
    if any(not r.startswith("wrong") for r in unexpected):
        return Exit.BACKEND
    return Exit.MISMATCH if unexpected or (args.strict and not all(v.met for v in found)) else Exit.OK


def _list(text: str) -> list[str]:
    found = [part.strip() for part in text.split(",") if part.strip()]
    if len(set(found)) != len(found):
        raise UsageError(f"{text}: a name is given twice")
    return found


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f"--threads {text}: must be whole numbers above zero")
    return int(text)
