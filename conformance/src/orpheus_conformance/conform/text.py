"""The summary on the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from orpheus_conformance.engine import Row
from orpheus_core.cli.table import table
from orpheus_core.plugin import Backend

#: Outcomes of rows, in the order they are told.
OUTCOMES = ("passed", "failed", "refused", "expected", "inapplicable", "untested")


def summary(backend: Backend, rows: Sequence[Row]) -> str:
    """A table of kernels, then each failure with the command that replays it, then what is open, then the totals."""
    parts = [table(("kernel", *OUTCOMES, "cases", "element types"), list(map(_line, *_by_kernel(rows))))]
    told = [_failure(row) for row in rows if row.failed]
    told += [f"expected  {row.kernel}: {row.message}" for row in rows if _is_declared(row)]
    told += [
        f"untested  {row.kernel}, {row.tier}: {row.message}" for row in rows if row.outcome == "untested"
    ]
    told += [f"unjudged  {text} ({n} cases)" for text, n in _unjudged(rows).items()]
    if told:
        parts.append("\n".join(dict.fromkeys(told)))
    parts.append(_totals(backend, rows))
    return "\n\n".join(parts)


def _by_kernel(rows: Sequence[Row]) -> tuple[list[str], list[list[Row]]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row.kernel, []).append(row)
    return list(grouped), list(grouped.values())


def _line(kernel: str, rows: Sequence[Row]) -> tuple[object, ...]:
    outcomes = Counter(row.outcome for row in rows)
    dtypes: Counter[str] = sum((row.dtypes for row in rows), Counter())
    counts = [outcomes[name] or "-" for name in OUTCOMES]
    return (kernel, *counts, sum(r.executed for r in rows) or "-", " ".join(sorted(dtypes)))


def _is_declared(row: Row) -> bool:
    return row.outcome == "expected" and row.tier == "expectations"


def _failure(row: Row) -> str:
    kind = f" ({row.kind})" if row.kind in ("crash", "timeout") else ""
    text = f"FAILED  {row.kernel}, {row.tier}{kind}: {row.message}"
    if row.case is None:
        return text
    isolate = " --isolate" if kind else ""
    return f"{text}\n  orpheus conform replay '{row.case.quoted()}'{isolate}"


def _unjudged(rows: Sequence[Row]) -> Counter[str]:
    return sum((row.unjudged for row in rows), Counter())


def _totals(backend: Backend, rows: Sequence[Row]) -> str:
    outcomes = Counter(row.outcome for row in rows)
    executed = sum(row.executed for row in rows)
    refused = sum(row.refused.total() for row in rows)
    counts = ", ".join(f"{outcomes[name]} {name}" for name in OUTCOMES if outcomes[name])
    seconds = sum(row.seconds for row in rows)
    text = (
        f"{backend.name}: {counts or 'no rows'}; {executed} cases executed, {refused} refused with a reason"
    )
    text += f"; {seconds:.1f} s"
    if not executed:
        text += "\nno case was executed, so nothing is shown: this is a failure"
    return text
