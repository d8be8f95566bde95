"""The result of a run as plain data, for ``--json``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from orpheus_conformance.conform.text import OUTCOMES
from orpheus_conformance.engine import Options, Row, is_green
from orpheus_conformance.expect import Expectation
from orpheus_core.ops import find_spec, latest_version
from orpheus_core.plugin import Backend


def result(
    backend: Backend, options: Options, rows: Sequence[Row], expectations: Sequence[Expectation] = ()
) -> dict[str, Any]:
    """Everything that a run has shown. ``matrix`` is {operator: {element type: {outcome: cases}}}."""
    outcomes = Counter(row.outcome for row in rows)
    return {
        "backend": backend.name,
        "version": backend.version,
        "green": is_green(rows),
        "options": {"examples": options.examples, "seed": options.seed, "oracle": options.oracle},
        "totals": {
            **{name: outcomes[name] for name in OUTCOMES},
            "executed": sum(row.executed for row in rows),
        },
        "matrix": matrix(backend, rows),
        "rows": [_row(row) for row in rows],
        "expectations": [
            {"kernel": e.kernel, "kind": e.kind, "outcome": e.outcome, "reason": e.reason, "issue": e.issue}
            for e in expectations
        ],
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "kernel": row.kernel,
        "tier": row.tier,
        "outcome": row.outcome,
        "kind": row.kind,
        "message": row.message,
        "case": row.case.line() if row.case is not None else None,
        "executed": row.executed,
        "passed": row.passed,
        "refused": dict(row.refused),
        "expected": dict(row.expected),
        "invalid": row.invalid,
        "unjudged": dict(row.unjudged),
        "dtypes": dict(row.dtypes),
        "seconds": round(row.seconds, 3),
    }


def matrix(backend: Backend, rows: Sequence[Row]) -> dict[str, dict[str, dict[str, int]]]:
    """Cases by operator, element type of the first tensor, and outcome.

    An element type that the operator allows for its first input and that met no case is there with no counts: untested.
    """
    operators = {f"{backend.name}:{k.op_id}/{k.name}": (k.domain, k.op, k.op_id) for k in backend.kernels}
    found: dict[str, dict[str, Counter[str]]] = {}
    for row in rows:
        if row.kernel not in operators:
            continue
        domain, op, name = operators[row.kernel]
        if name not in found:
            found[name] = {dtype: Counter() for dtype in _allowed(domain, op)}
        for (dtype, outcome), count in row.cells.items():
            found[name].setdefault(dtype, Counter())[outcome] += count
    return {name: {d: dict(c) for d, c in cells.items()} for name, cells in sorted(found.items())}


def _allowed(domain: str, op: str) -> list[str]:
    spec = find_spec(domain, op, latest_version(domain))
    constraint = spec.constraint_of_input(0) if spec is not None else None
    if spec is None or constraint is None:
        return []
    return sorted(d.value for d in spec.type_constraints[constraint])
