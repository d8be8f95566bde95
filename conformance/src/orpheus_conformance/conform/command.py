"""``orpheus conform NAME`` and ``orpheus conform replay LINE``."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from orpheus_core import discovery
from orpheus_core.cli.exits import Exit
from orpheus_core.cli.progress import progress
from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend

if TYPE_CHECKING:
    from orpheus_conformance.engine import Row

MEBI = 1 << 20


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    parser.add_argument("name", metavar="NAME", help="the backend to judge; or: replay")
    parser.add_argument("line", metavar="LINE", nargs="?", help="with replay, the case to run again")
    parser.add_argument(
        "--examples", type=_positive, default=40, metavar="N", help="cases per kernel and tier (default: 40)"
    )
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="where generation starts (default: 0)"
    )
    for flag, what in (("op", "operator"), ("kernel", "kernel"), ("tier", "tier")):
        parser.add_argument(
            f"--{flag}", action="append", metavar=flag.upper(), help=f"this {what} only (repeatable)"
        )
    parser.add_argument(
        "--oracle",
        choices=("auto", "numpy", "onnx"),
        default="auto",
        help="who knows the right results: orpheus-numpy, onnx.reference, or the one that is not judged (auto)",
    )
    parser.add_argument(
        "--isolate", action="store_true", help="judge in another process, which may die or hang"
    )
    parser.add_argument(
        "--time-limit",
        type=_seconds,
        default=30.0,
        metavar="SECONDS",
        help="for a case, with --isolate (default: 30)",
    )
    parser.add_argument(
        "--memory-limit",
        type=_positive,
        default=4096,
        metavar="MIB",
        help="that a kernel may take, with --isolate, on Linux (default: 4096)",
    )
    parser.add_argument(
        "--plan-time",
        type=_seconds,
        metavar="SECONDS",
        help="for the random graphs and networks of tier plan (default: by the number of kernels, at most 15)",
    )
    parser.add_argument(
        "--expectations",
        type=Path,
        metavar="FILE",
        help="declared defects (default: conformance.toml here, in the backend's checkout or in its package)",
    )
    parser.add_argument(
        "--regressions",
        type=Path,
        metavar="FILE",
        help="cases to run first, to which failures are added (default: regressions.jsonl beside "
        "conformance.toml, or here, when it exists)",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report, one page")
    parser.add_argument(
        "--json", nargs="?", const="-", metavar="FILE", help="write the result as JSON (default: to stdout)"
    )


def _whole(text: str, least: int) -> int:
    if not text.strip().isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, a whole number; got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    return _whole(text, 1)


def _seed(text: str) -> int:
    return _whole(text, 0)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"must be a positive number; got {text!r}")
    return value


def run(args: argparse.Namespace) -> int:
    """Judge a backend or replay a case; gives the exit code."""
    if args.name == "replay":
        from orpheus_conformance.conform.replay import replay

        return replay(args)
    if args.line is not None:
        raise UsageError(
            f"conform: what is {args.line[:40]!r}? A case is run by: orpheus conform replay 'LINE'"
        )
    backend = usable(args.name)
    return Exit.BACKEND if backend is None else _conform(args, backend)


def usable(name: str) -> Backend | None:
    """The backend, or None once it has been told why it cannot be used here; BackendError when there is none."""
    row = discovery.row(name)
    if row.ready and row.backend is not None:
        return row.backend
    if row.ready:
        raise UsageError(f"{name!r} ({row.distribution}) is an extension; it offers no kernels to judge")
    fix = f"; to fix: {row.fix}" if row.fix else ""
    print(f"orpheus: error: backend {name!r} is {row.status}: {row.reason}{fix}", file=sys.stderr)
    return None


def _conform(args: argparse.Namespace, backend: Backend) -> int:
    from orpheus_conformance import expect, regressions
    from orpheus_conformance.conform import page, record, text
    from orpheus_conformance.conform.flight import Flight
    from orpheus_conformance.engine import JudgeFor, Note, Options, ignore
    from orpheus_conformance.isolate import Isolation
    from orpheus_conformance.runner import Run

    # Hypothesis tells at length of spaces that it could not fill; the rows say so.
    logging.getLogger("hypothesis").setLevel(logging.ERROR)
    options = Options(
        args.examples,
        args.seed,
        _some(args.op),
        _some(args.kernel),
        _some(args.tier),
        args.oracle,
        plan_seconds=args.plan_time,
        aside=args.isolate,
        time_limit=args.time_limit,
    )
    for report in (args.html, None if args.json in (None, "-") else Path(args.json)):
        if report is not None and (report.is_dir() or not report.parent.is_dir()):
            raise UsageError(f"cannot write {report}: no such folder, or it is one")
    declared = expect.chosen(args.expectations, backend.name)
    kept = args.regressions or regressions_beside(declared)
    limits = {"time_limit": args.time_limit, "memory": args.memory_limit * MEBI}
    entries = expect.read(declared, backend) if declared is not None else ()
    cases = regressions.read(kept, backend) if kept is not None else ()
    rows: list[Row] = []
    with ExitStack() as open_:
        judge_for: JudgeFor
        note: Note = ignore
        if args.isolate:
            judge_for = open_.enter_context(Isolation(args.oracle, **limits))
        else:
            judge_for = flight = open_.enter_context(Flight(backend.name))
            note = flight.note
        judged = open_.enter_context(
            Run(backend, options, judge_for=judge_for, note=note, expectations=entries, regressions=cases)
        )
        line = open_.enter_context(progress())
        for number, job in enumerate(judged.jobs):
            failed = sum(r.failed for r in rows)
            line.say(
                f"{number}/{len(judged.jobs)} {job.kernel}, {job.tier}{f', {failed} failed' if failed else ''}"
            )
            rows.append(job.run())
    added = regressions.add(kept, [r.case for r in rows if r.failed and r.case]) if kept is not None else 0
    if args.html is not None:
        args.html.write_text(page.html(backend, options, rows, judged.expectations), encoding="utf-8")
    if args.json is not None:
        result = json.dumps(
            record.result(backend, options, rows, judged.expectations), indent=2, allow_nan=False
        )
        if args.json == "-":
            print(result)
        else:
            Path(args.json).write_text(result + "\n", encoding="utf-8")
    if args.json != "-":
        print(text.summary(backend, rows))
    if added:
        print(f"{added} case{'s' if added > 1 else ''} added to {kept}", file=sys.stderr)
    return exit_code(rows)


def _some(names: Sequence[str] | None) -> tuple[str, ...] | None:
    return tuple(names) if names else None


def regressions_beside(declared: Path | None) -> Path | None:
    """The ``regressions.jsonl`` in use: beside ``conformance.toml``, or in the current folder; None without one."""
    from orpheus_conformance.regressions import FILE

    places = [folder / FILE for folder in ((declared.parent,) if declared is not None else ()) + (Path(),)]
    return next((place for place in places if place.is_file()), None)


def exit_code(rows: Sequence[Row]) -> Exit:
    """4 when a kernel crashed or hung, else 1 when something failed or nothing was executed, else 0."""
    from orpheus_conformance.engine import is_green

    if any(row.failed and row.kind in ("crash", "timeout") for row in rows):
        return Exit.BACKEND
    return Exit.OK if is_green(rows) else Exit.MISMATCH
