"""``orpheus conform replay LINE``: one case again, told in full."""

from __future__ import annotations

import argparse
import sys

from orpheus_conformance.aside import judge_aside
from orpheus_conformance.case import CaseError
from orpheus_conformance.conform.command import MEBI, usable
from orpheus_conformance.conform.flight import Flight
from orpheus_conformance.explain import describe, describe_whole, explain
from orpheus_conformance.isolate import Isolation
from orpheus_conformance.oracle import oracle_for
from orpheus_conformance.recipe import Recipe, read_line
from orpheus_conformance.regressions import check
from orpheus_conformance.subject import find_subject
from orpheus_conformance.verdict import FAILED, PASSED, Court, Verdict
from orpheus_conformance.whole import judge_whole
from orpheus_core.cli.exits import Exit
from orpheus_core.discovery import split
from orpheus_core.errors import UsageError
from orpheus_core.plugin import Backend


def replay(args: argparse.Namespace) -> int:
    """Run the case of ``args.line`` (``-``: of stdin) and print what came of it; gives the exit code.

    0: it passes; 1: it fails, or is refused; 4: the kernel crashed or hung, or its backend cannot be used here.
    CaseError for a line that cannot be judged.
    """
    if args.line is None:
        raise UsageError("conform replay: the case is missing: orpheus conform replay 'LINE'")
    case = read_line(sys.stdin.read() if args.line == "-" else args.line)
    name = split(case.kernel)[0]
    if not name:
        raise CaseError("not a case to replay: it names no kernel (backend:Op/kernel)")
    backend = usable(name)
    if backend is None:
        return Exit.BACKEND
    check(case, backend)
    if isinstance(case, Recipe):
        return _whole(case, backend, args)
    subject = find_subject(backend, case.kernel)
    if args.isolate:
        with Isolation(args.oracle, time_limit=args.time_limit, memory=args.memory_limit * MEBI) as isolation:
            verdict, told = isolation.explain(subject, case)
        told = told or "\n".join(describe(case))
    else:
        court = Court(subject, oracle_for(backend.name, args.oracle))
        with Flight(backend.name) as flight:
            flight.note(case)
            verdict, told = explain(court, case)
    return _ended(told, verdict)


def _whole(recipe: Recipe, backend: Backend, args: argparse.Namespace) -> int:
    if args.isolate:
        verdict = judge_aside(recipe, backend, 10 * args.time_limit)
    else:
        with Flight(backend.name) as flight:
            flight.note(recipe)
            verdict = judge_whole(recipe, backend)
    return _ended("\n".join(describe_whole(recipe)), verdict)


def _ended(told: str, verdict: Verdict) -> int:
    print(told)
    print(_told(verdict))
    if verdict.kind in ("crash", "timeout"):
        return Exit.BACKEND
    return Exit.OK if verdict.outcome == PASSED else Exit.MISMATCH


def _told(verdict: Verdict) -> str:
    if verdict.outcome == PASSED:
        return "passed"
    kind = f" ({verdict.kind})" if verdict.outcome == FAILED and verdict.kind != "wrong" else ""
    word = "FAILED" if verdict.outcome == FAILED else verdict.outcome
    return f"{word}{kind}: {verdict.message}"
