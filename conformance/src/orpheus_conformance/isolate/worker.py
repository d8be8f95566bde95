"""The other process: it judges cases as lines come in, and answers each with a line.

Where the system can fork, this process itself never runs a kernel: it imports everything once and forks a child that
does. When the child dies, it says how and forks the next, which takes milliseconds instead of another start.
"""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import sys
import traceback
from dataclasses import dataclass
from typing import IO, Any

from orpheus_conformance.case import Case, CaseError
from orpheus_conformance.explain import explain
from orpheus_conformance.oracle import oracle_for
from orpheus_conformance.space import spaces
from orpheus_conformance.subject import find_subject
from orpheus_conformance.verdict import Court
from orpheus_core.plugin import Backend
from orpheus_core.types import CPU

#: What a child ends with when the host has closed the line; a kernel that leaves by itself will hardly pick it.
_DONE = 113


@dataclass(frozen=True)
class Setup:
    """What the host sends first: whose cases come, who is the oracle, bytes of memory that a kernel may take."""

    backend: Backend
    kernel: str
    oracle: str
    memory: int | None


def main() -> None:
    """Serve until the host closes the line."""
    # Whatever a kernel prints goes to stderr; answers have the old stdout to themselves.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    setup: Setup = pickle.load(sys.stdin.buffer)
    court = Court(find_subject(setup.backend, setup.kernel), oracle_for(setup.backend.name, setup.oracle))
    spaces()
    _say(answers, {"ready": True})
    if not hasattr(os, "fork"):
        _serve(court, setup, answers)
        return
    while True:
        child = os.fork()
        if child == 0:
            _serve(court, setup, answers)
            os._exit(_DONE)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == _DONE:
            return
        _say(answers, {"died": describe(code)})


def describe(code: int) -> str:
    """How a process ended, from its exit code as ``subprocess`` gives it."""
    if code < 0:
        try:
            return f"ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"ended by signal {-code}"
    return f"ended with exit code {code}"


def _serve(court: Court, setup: Setup, answers: IO[str]) -> None:
    _limit(setup)
    for line in iter(sys.stdin.buffer.readline, b""):
        asked = json.loads(line)
        _say(answers, {"id": asked["id"], **_answer(court, asked)})


def _answer(court: Court, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        case = Case.parse(asked["case"])
        verdict, told = explain(court, case) if asked["explain"] else (court(case), "")
    except CaseError as error:
        return {"unreadable": str(error)}
    except Exception:
        return {"defect": traceback.format_exc()}
    return {"outcome": verdict.outcome, "message": verdict.message, "kind": verdict.kind, "told": told}


def _say(answers: IO[str], what: dict[str, Any]) -> None:
    print(json.dumps(what), file=answers, flush=True)


def _limit(setup: Setup) -> None:
    """No core files, and a bound on memory where the system has one (a GPU's driver maps far more than it uses)."""
    if sys.platform == "win32":
        return
    import resource

    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if setup.memory is not None and setup.backend.device == CPU:
            most = _mapped() + setup.memory
            resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _mapped() -> int:
    """Bytes of address space that this process has already."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")
