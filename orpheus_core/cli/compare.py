"""``orpheus compare``: several backends, or kernels of one, on the same model and the same inputs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from functools import partial
from typing import Any

from orpheus_core import discovery
from orpheus_core.cli.comparison import Plan, Row, Variant, compare, parse_variant
from orpheus_core.cli.exits import Exit
from orpheus_core.cli.feeds import make_feeds
from orpheus_core.cli.machine import machine
from orpheus_core.cli.options import (
    add_feeds,
    add_json,
    add_model,
    names,
    pairs,
    positive,
    seconds,
    shapes,
    share,
)
from orpheus_core.cli.progress import progress
from orpheus_core.cli.table import quantity, size, table
from orpheus_core.cli.verdict import STATISTICS, Difference, Tolerance
from orpheus_core.errors import BackendError, UsageError
from orpheus_core.peers import PREFIX, absence, peer


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_model(parser, several=True)
    parser.add_argument(
        "-b",
        "--backends",
        metavar="LIST",
        help="what to compare, the reference first: backends, backend:Op/kernel to pin that kernel for all nodes "
        "of the operator, or peer:engine for a whole engine (default: all backends that are ready)",
    )
    parser.add_argument(
        "--shape", action="append", default=[], metavar='"NAME:[1,3,224,224]"', help="input shape"
    )
    parser.add_argument(
        "--threads", type=positive, metavar="N", help="threads to use (default: all available)"
    )
    add_feeds(parser)
    parser.add_argument(
        "--runs", type=positive, default=10, metavar="N", help="at least so many (default: 10)"
    )
    parser.add_argument(
        "--min-time", type=seconds, default=1.0, metavar="S", help="at least so long each (default: 1 second)"
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=600.0,
        metavar="S",
        help="give a backend up after this (default: 600 s)",
    )
    for option, text in (
        ("--rtol", "largest difference that passes, as a share of the magnitude (default: by element type)"),
        ("--atol", "largest difference that passes, on top of --rtol, which is 0 then unless given"),
    ):
        parser.add_argument(
            option,
            action="append",
            default=[],
            metavar="[OUTPUT=]R",
            help=f"{text}; with a name for one output",
        )
    parser.add_argument("--tolerance", type=share, metavar="R", help="the same as --rtol R")
    parser.add_argument(
        "--stat",
        action="append",
        default=[],
        metavar="[OUTPUT=]S",
        help="what the tolerances are for: the max (default), mean or median of the differences against that of the"
        " magnitudes, or elemwise: each difference against its own element",
    )
    parser.add_argument(
        "--nan",
        choices=("equal", "fail"),
        default="equal",
        help="NaN and infinity: equal in the same places (default), or a failure anywhere",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 5 when a measurement is unstable")
    add_json(parser)


def run(args: argparse.Namespace) -> int:
    """Compare on every model; the exit code is that of the worst row."""
    asked = names(args.backends)
    variants = [parse_variant(spec) for spec in asked] if asked else default_variants()
    skipped = not_ready(variants)
    if len(skipped) == len({v.backend for v in variants}):
        text = "; ".join(f"{name} is {reason}" for name, reason in skipped.items()) or "none is installed"
        raise BackendError(f"no backend to compare is ready: {text}. Try: pip install orpheus-numpy")
    sizes, files = shapes(args.shape), pairs(args.input, "-i")
    limits = tolerances(args)
    reports = []
    code = Exit.OK
    for model in args.models:
        plan = Plan(
            model=model,
            variants=variants,
            feeds=partial(make_feeds, files=files, shapes=sizes, seed=args.seed),
            shapes=sizes,
            threads=args.threads,
            runs=args.runs,
            min_time=args.min_time,
            timeout=args.timeout,
            tolerances=limits,
            skipped=skipped,
        )
        with progress() as line:
            rows = compare(plan, line)
        reports.append({"model": model, "variants": [as_data(row) for row in rows]})
        if not args.json:
            print(("\n" if len(reports) > 1 else "") + model)
            print(report(rows))
        code = max(code, exit_code(rows, asked is not None, args.strict))
    if args.json:
        print(json.dumps({"machine": machine(args.threads), "models": reports}, indent=2))
    return code


def tolerances(args: argparse.Namespace) -> dict[str, Tolerance]:
    """Limits by output, that of all others under the empty name; UsageError for what is no limit."""
    atol, rtol, stat = (_by_name(f"--{key}", getattr(args, key)) for key in ("atol", "rtol", "stat"))
    if args.tolerance is not None:
        if "" in rtol:
            raise UsageError("--tolerance and --rtol say the same; give one of them")
        rtol[""] = str(args.tolerance)
    found = {}
    for name in dict.fromkeys(("", *atol, *rtol, *stat)):
        statistic = stat.get(name, stat.get("", "max"))
        if statistic not in STATISTICS:
            raise UsageError(f"--stat {statistic}: it is one of {', '.join(STATISTICS)}")
        found[name] = Tolerance(
            _limit("--rtol", rtol.get(name, rtol.get(""))),
            _limit("--atol", atol.get(name, atol.get(""))),
            statistic,  # type: ignore[arg-type]
            finite=args.nan == "fail",
        )
    return found


def _by_name(option: str, texts: Sequence[str]) -> dict[str, str]:
    """``OUTPUT=value`` and plain values, these under the empty name."""
    found: dict[str, str] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        if name in found:
            raise UsageError(f"{option} is given twice for {f'output {name!r}' if name else 'all outputs'}")
        found[name] = value
    return found


def _limit(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return share(text)
    except (ValueError, argparse.ArgumentTypeError):
        raise UsageError(f"{option} {text}: must be a number from zero up, or OUTPUT=number") from None


def default_variants() -> list[Variant]:
    """Every installed backend, usable or not, the one that declares itself a reference first."""
    found = [row for row in discovery.backends() if row.kind != "extension"]
    found.sort(key=lambda row: (not row.ready, -(row.backend.rank if row.backend else 0), row.name))
    return [Variant(row.name, row.name) for row in found]


def not_ready(variants: list[Variant]) -> dict[str, str]:
    """What is not usable, with the reason; BackendError for a backend or an engine that no plugin offers."""
    asked = list(dict.fromkeys(v.backend for v in variants))
    rows = [discovery.row(name) for name in asked if not name.startswith(PREFIX)]
    found = {
        row.name: f"{row.status}: {row.reason}" for row in rows if not row.ready or row.kind != "backend"
    }
    engines = {name: absence(peer(name[len(PREFIX) :])) for name in asked if name.startswith(PREFIX)}
    return found | {name: reason for name, reason in engines.items() if reason is not None}


def exit_code(rows: list[Row], named: bool, strict: bool) -> Exit:
    """What the rows of one model amount to. A skipped backend is an error only when it was asked for by name."""
    states = {row.status for row in rows}
    if states & {"crashed", "timed out", "failed"}:
        return Exit.BACKEND
    if any(row.difference is not None and not row.difference.passed for row in rows):
        return Exit.MISMATCH
    if "unsupported" in states and states <= {"unsupported", "skipped"}:
        return Exit.MODEL
    if "refused" in states or (named and states & {"skipped", "unsupported"}):
        return Exit.USAGE
    return Exit.UNSTABLE if strict and any(row.unstable for row in rows) else Exit.OK


def report(rows: list[Row]) -> str:
    """The table, and a line that says which is fastest."""
    headers = (
        "backend", "load ms", "median ms", "p10", "p90", "runs", "weights", "arena", "peak", "max error", "mean",
        "ULPs", "verdict",
    )  # fmt: skip
    lines = [table(headers, [_cells(row) for row in rows])]
    several = [(row.spec, *_error_cells(name, d)) for row in rows if _is_judged(row) and len(row.outputs) > 1
               for name, d in row.outputs.items()]  # fmt: skip
    if several:
        of_output = ("backend", "output", "max error", "mean", "median", "of largest", "ULPs", "verdict")
        lines.append(table(of_output, several))
    timed = [(median, row.spec) for row in rows if (median := row.percentile(50)) is not None]
    if len(timed) > 1:
        (best, first), (slow, last) = min(timed), max(timed)
        lines.append(f"{first} is fastest: {slow / best:.2f}x as fast as {last}")
    lines += [f"{row.spec}: {row.first_run.plan}" for row in rows if row.first_run is not None]
    for row in rows:
        if row.unstable:
            lines.append(f"{row.spec}: unstable, the turns differ by over 10 %; is the machine busy?")
    return "\n".join(lines)


def _cells(row: Row) -> tuple[Any, ...]:
    load, first = row.load, row.first_run
    milliseconds = [None if s is None else s * 1e3 for s in (row.percentile(p) for p in (50, 10, 90))]
    return (
        row.spec,
        quantity(load.seconds * 1e3 if load else None, 3),
        *(quantity(ms) for ms in milliseconds),
        row.runs or "-",
        size(first.weight_bytes if first else None),
        size(first.arena_bytes if first else None),
        size(row.peak_bytes),
        *_summary(row),
        row.verdict + (" (unstable)" if row.unstable else ""),
    )


def _is_judged(row: Row) -> bool:
    return row.difference is not None and not row.is_reference


def _summary(row: Row) -> tuple[str, str, str]:
    """The worst output's errors."""
    if row.difference is None or row.is_reference:
        return "-", "-", "-"
    _, largest, mean, _, _, ulps, _ = _error_cells("", row.difference)
    return largest, mean, ulps


def _error_cells(name: str, found: Difference) -> tuple[str, ...]:
    errors = (found.largest, found.mean, found.median, found.relative)
    ulps = "-" if found.ulps is None else f"{found.ulps:.0f}" if found.ulps < 1e6 else f"{found.ulps:.0e}"
    return (name, *(f"{e:.1e}" for e in errors), ulps, "pass" if found.passed else f"FAIL: {found.reason}")


def as_data(row: Row) -> dict[str, Any]:
    """One row as plain data; times in seconds."""
    load, first, apart = row.load, row.first_run, row.difference
    return {
        "backend": row.spec,
        "status": row.status,
        "reason": row.reason,
        "verdict": row.verdict,
        "reference": row.is_reference,
        "runs": row.runs,
        "median": row.percentile(50),
        "p10": row.percentile(10),
        "p90": row.percentile(90),
        "unstable": row.unstable,
        "load": load.seconds if load else None,
        "weight_bytes": first.weight_bytes if first else None,
        "arena_bytes": first.arena_bytes if first else None,
        "peak_bytes": row.peak_bytes,
        "max_error": _json_number(apart.largest if apart else None),
        "relative_error": _json_number(apart.relative if apart else None),
        "outputs": [_output_data(name, found) for name, found in row.outputs.items()],
        "plan": first.plan if first else None,
    }


def _output_data(name: str, found: Difference) -> dict[str, Any]:
    """One output's errors as plain data."""
    return {
        "output": name,
        "passed": found.passed,
        "reason": found.reason,
        "max": _json_number(found.largest),
        "mean": found.mean,
        "median": found.median,
        "relative": _json_number(found.relative),
        "ulps": found.ulps,
    }


def _json_number(value: float | None) -> float | str | None:
    return str(value) if value is not None and value == float("inf") else value
