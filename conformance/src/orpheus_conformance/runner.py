"""A whole run: kept cases first, then declared defects, then what the engine generates.

The command line and the pytest plugin both drive this.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from orpheus_conformance import regressions as kept
from orpheus_conformance.aside import judge_aside
from orpheus_conformance.case import Case
from orpheus_conformance.engine import Job, JudgeFor, Note, Options, Row, dtype_of, ignore, jobs, select
from orpheus_conformance.expect import Expectation
from orpheus_conformance.instance import instantiate
from orpheus_conformance.isolate import Isolation
from orpheus_conformance.oracle import oracle_for
from orpheus_conformance.recipe import Recipe, Replayable
from orpheus_conformance.subject import Subject, subjects
from orpheus_conformance.tiers import TIERS
from orpheus_conformance.verdict import FAILED, INVALID, PASSED, REFUSED, Court, Judge, Verdict
from orpheus_conformance.whole import judge_whole
from orpheus_core.plugin import Backend

REGRESSIONS, EXPECTATIONS = "regressions", "expectations"


class Run:
    """The rows of one backend; a context manager, because witnesses that crash or hang are run in other processes.

    ``judge_for`` and ``note`` as in :func:`.engine.jobs`; the caller closes it.
    """

    def __init__(
        self,
        backend: Backend,
        options: Options | None = None,
        *,
        judge_for: JudgeFor = Court,
        note: Note = ignore,
        expectations: Sequence[Expectation] = (),
        regressions: Sequence[kept.Regression] = (),
    ) -> None:
        self.backend, self.options = backend, options or Options()
        self._open = ExitStack()
        self._judge_for = judge_for
        self._oracle = oracle_for(backend.name, self.options.oracle)
        self._tried: dict[str, list[Row]] = {}
        chosen = {subject.id: subject for subject in select(backend, self.options)}
        self.expectations = [e for e in expectations if e.kernel in chosen]
        self.options = replace(self.options, expectations=tuple(self.expectations))
        self._note = note
        #: Every row to come.
        self.jobs: list[Job] = []
        for kept_ in regressions:
            case = kept_.case
            if not self._has(case.tier):
                continue
            if isinstance(case, Recipe):
                if set(case.kernels or (s.id for s in subjects(backend))) <= set(chosen):
                    self._add(case.kernel, REGRESSIONS, partial(self._whole, case, kept_.place))
            elif case.kernel in chosen:
                subject = chosen[case.kernel]
                self._add(subject.id, REGRESSIONS, partial(self._regression, subject, case, kept_.place))
        for entry in self.expectations:
            self._add(entry.kernel, EXPECTATIONS, partial(self._witness, chosen[entry.kernel], entry))
        generated = jobs(backend, self.options, self._judge_for, note)
        self.jobs += [Job(j.kernel, j.tier, partial(self._keep, j)) for j in generated]
        for name in dict.fromkeys(e.kernel for e in self.expectations):
            self._add(name, EXPECTATIONS, partial(self._left, name))

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the processes of witnesses."""
        self._open.close()

    def rows(self) -> Iterator[Row]:
        """Every row, as it comes."""
        for job in self.jobs:
            yield job.run()

    def _has(self, tier: str) -> bool:
        return self.options.tiers is None or tier in self.options.tiers

    def _add(self, kernel: str, tier: str, run: Callable[[], Row]) -> None:
        self.jobs.append(Job(kernel, tier, run))

    def _keep(self, job: Job) -> Row:
        row = job.run()
        if job.tier in TIERS:
            self._tried.setdefault(job.kernel, []).append(row)
        return row

    def _whole(self, recipe: Recipe, place: str) -> Row:
        row = Row(recipe.kernel, REGRESSIONS)
        start = time.perf_counter()
        if self.options.aside:
            verdict = judge_aside(recipe, self.backend, 10 * self.options.time_limit)
        else:
            self._note(recipe)
            verdict = judge_whole(recipe, self.backend)
        row.seconds = time.perf_counter() - start
        _record(row, recipe, verdict)
        _settled(row, verdict, place)
        return row

    def _regression(self, subject: Subject, case: Case, place: str) -> Row:
        row = Row(subject.id, REGRESSIONS)
        start = time.perf_counter()
        entry = self._covering(subject, case)
        if entry is not None:
            row.outcome, row.message = "expected", entry.reason
            row.expected[entry.reason] += 1
            return row
        verdict = self._judge_for(subject, self._oracle)(case)
        row.seconds = time.perf_counter() - start
        _record(row, case, verdict)
        _settled(row, verdict, place)
        return row

    def _covering(self, subject: Subject, case: Case) -> Expectation | None:
        mine = [e for e in self.expectations if e.kernel == subject.id]
        instance = instantiate(case) if mine else None
        return next((e for e in mine if instance is not None and e.covers(instance)), None)

    def _witness(self, subject: Subject, entry: Expectation) -> Row:
        row = Row(subject.id, EXPECTATIONS, case=entry.witness)
        start = time.perf_counter()
        verdict = self._judge_of(subject, entry)(entry.witness)
        row.seconds = time.perf_counter() - start
        _record(row, entry.witness, verdict)
        if verdict.outcome == FAILED and verdict.kind == entry.outcome:
            row.outcome, row.message, row.kind = "expected", entry.reason, verdict.kind
            row.expected[entry.reason] += 1
            return row
        row.outcome = "failed"
        if verdict.outcome == PASSED:
            row.message = f"the declared defect is gone ({entry.reason}): remove the entry, {entry.place}"
        elif verdict.outcome == FAILED:
            row.message = (
                f"the witness fails otherwise than declared, {verdict.kind} and not {entry.outcome}: "
                f"{verdict.message} ({entry.place})"
            )
        else:
            row.message = f"the witness is {verdict.outcome}: {verdict.message}; renew it, {entry.place}"
        return row

    def _judge_of(self, subject: Subject, entry: Expectation) -> Judge:
        if not isinstance(self._judge_for, Isolation) and entry.outcome in ("crash", "timeout"):
            return self._open.enter_context(Isolation(self.options.oracle))(subject)
        return self._judge_for(subject, self._oracle)

    def _left(self, kernel: str) -> Row:
        """Declared defects may not take all of a kernel's cases away."""
        tried = self._tried.get(kernel, [])
        row = Row(kernel, EXPECTATIONS)
        excused = sum(r.expected.total() for r in tried)
        if excused and not any(r.executed for r in tried):
            places = ", ".join(e.place for e in self.expectations if e.kernel == kernel)
            row.outcome = "failed"
            row.message = f"declared defects cover every case, and nothing was run; narrow them ({places})"
        return row


def _settled(row: Row, verdict: Verdict, place: str) -> None:
    """The outcome of a kept case."""
    if verdict.outcome == FAILED:
        row.outcome, row.message = "failed", f"{verdict.message} ({place})"
    elif verdict.outcome == REFUSED:
        row.outcome, row.message = "refused", verdict.message
    elif verdict.outcome != PASSED:
        why = "is no longer valid" if verdict.outcome == INVALID else "cannot be judged"
        row.outcome, row.message = "untested", f"{place}: {why}: {verdict.message}"


def _record(row: Row, case: Replayable, verdict: Verdict) -> None:
    row.case, row.kind = case, verdict.kind if verdict.outcome == FAILED else ""
    row.executed = int(verdict.outcome in (PASSED, FAILED))
    row.passed = int(verdict.outcome == PASSED)
    row.cells[dtype_of(case), verdict.outcome] += 1
    if verdict.outcome == PASSED:
        row.dtypes[dtype_of(case)] += 1
    elif verdict.outcome == REFUSED:
        row.refused[verdict.message] += 1
