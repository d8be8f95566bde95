"""``orpheus sweep``: the command line."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orpheus_core.cli.exits import Exit
from orpheus_core.cli.progress import Progress, progress
from orpheus_core.cli.table import quantity, table
from orpheus_core.errors import UsageError
from orpheus_experiments.benchmark.comparing import is_wrong
from orpheus_experiments.sweeps.plan import Plan, read_plan
from orpheus_experiments.sweeps.remaining import duration
from orpheus_experiments.sweeps.run import Listener, Swept, sweep
from orpheus_experiments.trial import Record

__all__ = ["configure", "exit_code", "run"]

_INTERRUPTED = 130


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``orpheus sweep``."""
    parser.add_argument(
        "plan", metavar="PLAN.toml", help="what to measure: models x engines x threads x batch"
    )
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="results folder (default: the plan's name with -results)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with a folder: measure what it lacks")
    parser.add_argument("--retry", action="store_true", help="with --resume: measure again what failed")
    parser.add_argument("--dry-run", action="store_true", help="list the trials and measure nothing")
    parser.add_argument(
        "--fleet",
        metavar="ADDRESS",
        help="on the boards of a Dask scheduler (tcp://host:8786), each trial on each",
    )
    parser.add_argument(
        "--boards", metavar="LIST", help="labels of the boards, with --fleet (default: all there are)"
    )
    parser.add_argument("--no-report", action="store_true", help="write no report.html at the end")


def run(args: argparse.Namespace) -> int:
    """Read the plan, measure what is missing, write the page; Ctrl-C and SIGTERM leave a folder to go on with."""
    plan = read_plan(args.plan, elsewhere=args.fleet is not None)
    folder = Path(args.output or f"{Path(args.plan).stem}-results")
    if args.retry and not args.resume:
        raise UsageError("--retry goes with --resume")
    if args.boards and not args.fleet:
        raise UsageError("--boards goes with --fleet")
    if args.dry_run:
        print(_listing(plan))
        return Exit.OK
    with progress() as line, _stoppable():
        try:
            found: Swept | None = _sweep(args, plan, folder, _Teller(line))
        except KeyboardInterrupt:  # while nothing was being measured
            found = None
    if found is None or found.interrupted:
        return _say_resume(args, folder, found)
    records = found.results.records()
    failed = {name: r for name, r in records.items() if r.failure is not None}
    print(f"{len(records)} records in {folder}, {len(found.new)} of them new, {len(failed)} without a result")
    for name, record in failed.items():
        assert record.failure is not None
        t = record.trial
        where = f"{t.model.name}, {t.engine}, threads {t.threads}, batch {t.batch}"
        where += f", on {name.board}" if name.board else ""
        print(f"  {where}: {record.failure.kind}: {record.failure.message}")
    if not args.no_report:
        print(_page(folder))
    return exit_code(list(records.values()))


def _say_resume(args: argparse.Namespace, folder: Path, found: Swept | None) -> int:
    again = ["orpheus", "sweep", args.plan, "-o", str(folder), "--resume"]
    again += ["--fleet", args.fleet] if args.fleet else []
    again += ["--boards", args.boards] if args.boards else []
    new = "" if found is None else f" {len(found.new)} trials of this call are kept."
    print(
        f"interrupted: all finished trials are in {folder}.{new} Go on with: {shlex.join(again)}",
        file=sys.stderr,
    )
    return _INTERRUPTED


def exit_code(records: list[Record]) -> int:
    """What records amount to: an engine that is not installed, or refuses, is a row that was to be expected."""
    kinds = {r.failure.kind for r in records if r.failure is not None}
    if kinds & {"crashed", "timed out", "failed", "out of memory", "wrong shape"}:
        return Exit.BACKEND
    if any(is_wrong(r) for r in records if r.is_ok):
        return Exit.MISMATCH
    return Exit.MODEL if "model" in kinds else Exit.OK


class _Teller(Listener):
    """One line that changes for what is going on, and one that stays for each record, both on stderr."""

    def __init__(self, line: Progress) -> None:
        self._line = line

    def step(self, text: str, done: int, of: int, left: float | None) -> None:
        rest = "" if left is None else f", about {duration(left)} left"
        self._line.say(f"{done} of {of} trials{rest}: {text} ...")

    def kept(self, label: str, record: Record) -> None:
        if record.failure is not None:
            what = f"{record.failure.kind}: {record.failure.message}"
        else:
            median = record.value("latency", "median")
            what = f"done in {duration(record.seconds)}"
            what += "" if median is None else f", median {quantity(1e3 * median)} ms"
        trial = record.trial
        self.note(f"{trial.model.name}, {label}, threads {trial.threads}, batch {trial.batch}: {what}")

    def note(self, text: str) -> None:
        self._line.clear()
        print(text, file=sys.stderr, flush=True)


def _sweep(args: argparse.Namespace, plan: Plan, folder: Path, teller: Listener) -> Swept:
    if args.fleet is None:
        return sweep(plan, folder, resume=args.resume, retry=args.retry, listener=teller)
    from orpheus_experiments.fleet.sweep import sweep_fleet

    boards = [b.strip() for b in args.boards.split(",")] if args.boards else None
    return sweep_fleet(
        plan, folder, args.fleet, boards=boards, resume=args.resume, retry=args.retry, listener=teller
    )


def _listing(plan: Plan) -> str:
    rows = [
        (t.key, t.model.name, c.label, t.threads, t.batch, t.scenario) for c in plan.cells for t in [c.trial]
    ]
    count = f"{len(rows)} trials in {len(plan.groups(plan.cells))} groups"
    return f"{table(('key', 'model', 'engine', 'threads', 'batch', 'scenario'), rows)}\n{count}"


def _page(folder: Path) -> str:
    from orpheus_experiments.report import write_report

    try:
        return f"report: {write_report(folder, 'html')}"
    except UsageError as error:
        return f"no report.html: {error}. `orpheus report {folder} --format md` needs nothing more"


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM does what Ctrl-C does."""

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    try:
        before = signal.signal(signal.SIGTERM, stop)
    except ValueError:  # not the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
