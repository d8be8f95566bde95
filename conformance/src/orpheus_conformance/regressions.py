"""``regressions.jsonl``: cases that failed once, one a line, run before anything is generated."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orpheus_conformance.instance import instantiate
from orpheus_conformance.recipe import Recipe, Replayable, read_line
from orpheus_conformance.space import find_space
from orpheus_conformance.subject import find_subject
from orpheus_conformance.tiers import TIERS
from orpheus_conformance.whole import check as check_whole
from orpheus_core.discovery import split
from orpheus_core.errors import OrpheusError, UsageError
from orpheus_core.plugin import Backend

FILE = "regressions.jsonl"


@dataclass(frozen=True)
class Regression:
    """A kept case; ``place`` names file and line."""

    place: str
    case: Replayable


def read(path: Path, backend: Backend) -> tuple[Regression, ...]:
    """The cases of a backend's kernels; none when there is no such file, those of other backends left out.

    UsageError names the line that is no case, or of an operator or kernel that is gone.
    """
    if not path.exists():
        return ()
    found = []
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        try:
            case = read_line(line)
            if split(case.kernel)[0] != backend.name:
                continue
            check(case, backend)
        except OrpheusError as error:
            raise UsageError(f"{place}: {error}; mend the line or remove it") from error
        found.append(Regression(place, case))
    return tuple(found)


def check(case: Replayable, backend: Backend) -> None:
    """UsageError when a case cannot be judged: kernel, tier or operator is gone, or the layer is invalid."""
    if isinstance(case, Recipe):
        check_whole(case, backend)
        return
    find_subject(backend, case.kernel)
    if find_space(case.domain, case.op) is None:
        raise UsageError(f"operator {case.op_id} has no problem space")
    if case.tier not in TIERS:
        raise UsageError(f"no tier of generated cases is called {case.tier!r}; there are {', '.join(TIERS)}")
    instantiate(case)


def add(path: Path, cases: Iterable[Replayable]) -> int:
    """Append the cases that are not there yet; gives their number."""
    lines = _lines(path) if path.exists() else []
    known = {line.strip() for line in lines}
    fresh = [line for line in dict.fromkeys(case.line() for case in cases) if line not in known]
    if fresh:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("".join(f"{line}\n" for line in fresh))
    return len(fresh)


def _lines(path: Path) -> list[str]:
    try:
        # Not splitlines: U+2028 and the like may stand inside a JSON string.
        return path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 text: {error}") from error
