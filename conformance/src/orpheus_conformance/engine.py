"""The engine: every kernel of a backend through every tier, with typed results as they come.

Both the pytest plugin and the command line drive it. Generation, judging and reporting are apart: ``judge_for`` may
give a judge that works in another process.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, Phase, Verbosity, given, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import Draw, Unsteerable, rank_of
from orpheus_conformance.oracle import Oracle, oracle_for
from orpheus_conformance.recipe import Replayable
from orpheus_conformance.space import OMIT, Space, find_space
from orpheus_conformance.subject import Subject, subjects
from orpheus_conformance.tiers import STUDIES, SURVEYS, TIERS, Survey, Tier
from orpheus_conformance.tiers.contract import CONTRACT, import_faults, manifest_of
from orpheus_conformance.verdict import (
    EXPECTED,
    FAILED,
    INVALID,
    PASSED,
    REFUSED,
    UNFIT,
    UNJUDGED,
    Court,
    Judge,
    Verdict,
)  # fmt: skip
from orpheus_core.errors import UsageError
from orpheus_core.ops import OpSpec, find_spec, latest_version
from orpheus_core.plugin import Backend, Format, Rule, resolve

if TYPE_CHECKING:
    from orpheus_conformance.expect import Expectation


@dataclass(frozen=True)
class Options:
    """What to run: cases per kernel and tier, the seed, which operators, kernels and tiers (None: all), oracle.

    ``plan_seconds``: what the plan tier may take; None: by the number of kernels, at most 15; ``plan_spent`` is over
    already. ``aside``: surveys, whole graphs and ONNX's cases are run in a process of their own (:mod:`.aside`).
    ``manifest``: the module that offers the backend; None means that of the installed one of that name.
    ``expectations``: declared defects (:mod:`.expect`), whose cases are not run.
    ``time_limit``: seconds that a survey may take aside; whole graphs and ONNX's cases may take ten times as many.
    """

    examples: int = 40
    seed: int = 0
    ops: tuple[str, ...] | None = None
    kernels: tuple[str, ...] | None = None
    tiers: tuple[str, ...] | None = None
    oracle: str = "auto"
    shrink_seconds: float = 10.0
    manifest: str | None = None
    plan_seconds: float | None = None
    plan_spent: float = 0.0
    aside: bool = False
    expectations: tuple[Expectation, ...] = ()
    time_limit: float = 30.0


@dataclass
class Row:
    """The result of one kernel in one tier.

    ``outcome``: passed, failed, expected (a declared defect), refused (no case was accepted, each with a reason, in a
    tier that is not steered), inapplicable or untested (``message`` says why). ``executed`` counts cases that ran;
    ``refused`` the reasons of refusals; ``invalid`` layers that the operator forbids, ``unfit`` those
    that the tier has nothing to say of; ``unjudged`` cases that the
    oracle cannot compute, with its words; ``dtypes`` executed cases by element type.
    ``case`` is the shrunk failing case and ``kind`` how it fails (:class:`.verdict.Verdict`). ``expected`` counts cases
    that a declared defect covers, by its reason. ``cells`` counts cases by (element type, outcome).
    """

    kernel: str
    tier: str
    outcome: str = "passed"
    message: str = ""
    case: Replayable | None = None
    executed: int = 0
    passed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    invalid: int = 0
    unfit: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    kind: str = ""
    expected: Counter[str] = field(default_factory=Counter)
    cells: Counter[tuple[str, str]] = field(default_factory=Counter)

    @property
    def failed(self) -> bool:
        """Whether this makes the run red."""
        return self.outcome == "failed"


#: Gives the judge of a kernel's cases: in this process, or (``--isolate``) in another.
JudgeFor = Callable[[Subject, Oracle], Judge]
#: Is told of each whole graph that is about to run.
Note = Callable[[Replayable], object]


def ignore(_: Replayable) -> None:
    """The note of a run that needs none."""


@dataclass(frozen=True)
class Job:
    """One row that is still to come: of which kernel (or backend) and tier, and what makes it."""

    kernel: str
    tier: str
    run: Callable[[], Row]


def jobs(
    backend: Backend, options: Options | None = None, judge_for: JudgeFor = Court, note: Note = ignore
) -> list[Job]:
    """Every row to come, in order. Raises UsageError for an operator, kernel or tier that is not there."""
    options = options or Options()
    judge_for = excused(judge_for, options)
    chosen = select(backend, options)
    found: list[Job] = []
    for survey in _surveys(options):
        if options.aside:
            from orpheus_conformance.aside import jobs_aside

            found += jobs_aside(backend, options, survey.name, options.time_limit)
        else:
            found += survey_jobs(survey, backend, chosen)
    manifest = options.manifest or manifest_of(backend.name)
    if manifest is not None and CONTRACT in _surveys(options):
        found.append(Job(backend.name, CONTRACT.name, partial(_manifest_row, backend, manifest)))
    tiers = _tiers(options)
    oracle = oracle_for(backend.name, options.oracle)
    judges = {s.id: judge_for(s, oracle) for s in chosen}
    if backend.probe is not None and chosen and CONTRACT in _surveys(options):
        found.append(Job(backend.name, CONTRACT.name, partial(_probe_row, backend, chosen, judges, options)))
    for subject in chosen:
        judge = judges[subject.id]
        found += [Job(subject.id, t.name, partial(run_tier, subject, t, judge, options)) for t in tiers]
    for name in STUDIES:
        if options.tiers is not None and name not in options.tiers:
            continue
        if options.aside:
            from orpheus_conformance.aside import jobs_aside

            found += jobs_aside(backend, options, name, 10 * options.time_limit)
        else:
            found += resolve(STUDIES[name])(backend, chosen, options, judges, note)
    return found


def survey_jobs(survey: Survey, backend: Backend, chosen: Sequence[Subject]) -> list[Job]:
    """The rows of a survey: one of the backend, and one a kernel."""
    first = Job(backend.name, survey.name, partial(_survey_row, survey, backend.name, backend))
    return [first, *(Job(s.id, survey.name, partial(_survey_row, survey, s.id, s)) for s in chosen)]


def excused(judge_for: JudgeFor, options: Options) -> JudgeFor:
    """Judges that do not run what a declared defect covers."""
    if not options.expectations:
        return judge_for
    from orpheus_conformance.expect import excusing

    return excusing(judge_for, options.expectations)


def run(backend: Backend, options: Options | None = None, judge_for: JudgeFor = Court) -> Iterator[Row]:
    """Every row of a backend, as it comes. Raises UsageError for an operator, kernel or tier that is not there."""
    for job in jobs(backend, options, judge_for):
        yield job.run()


def is_green(rows: Sequence[Row]) -> bool:
    """Whether a run is a success: nothing failed, and at least one case was executed."""
    return not any(r.failed for r in rows) and any(r.executed for r in rows)


def select(backend: Backend, options: Options) -> tuple[Subject, ...]:
    """The kernels to judge; UsageError when a wanted operator or kernel is not there."""
    known = subjects(backend)
    for wanted, names in (
        (options.ops, {s.kernel.op for s in known} | {s.kernel.op_id for s in known}),
        (options.kernels, {s.id for s in known} | {f"{s.kernel.op_id}/{s.kernel.name}" for s in known}),
    ):
        missing = sorted(set(wanted or ()) - names)
        if missing:
            shown = ", ".join(sorted(names)[:40])
            raise UsageError(f"backend {backend.name} has no {', '.join(missing)}; it has {shown}")
    found = [s for s in known if options.ops is None or {s.kernel.op, s.kernel.op_id} & set(options.ops)]
    kernels = options.kernels
    return tuple(
        s for s in found if kernels is None or {s.id, f"{s.kernel.op_id}/{s.kernel.name}"} & set(kernels)
    )


def _tiers(options: Options) -> list[Tier]:
    _check_tiers(options)
    return [t for t in TIERS.values() if options.tiers is None or t.name in options.tiers]


def _surveys(options: Options) -> list[Survey]:
    _check_tiers(options)
    return [s for s in SURVEYS.values() if options.tiers is None or s.name in options.tiers]


def _check_tiers(options: Options) -> None:
    known = [*SURVEYS, *TIERS, *STUDIES]
    for name in options.tiers or ():
        if name not in known:
            raise UsageError(f"no tier is called {name!r}; there are {', '.join(known)}")


def _survey_row(survey: Survey, name: str, subject: Backend | Subject) -> Row:
    start = time.perf_counter()
    wrong = survey.backend(subject) if isinstance(subject, Backend) else survey.kernel(subject)
    row = Row(name, survey.name, "failed" if wrong else "passed", "; ".join(wrong))
    row.seconds = time.perf_counter() - start
    return row


def _manifest_row(backend: Backend, manifest: str) -> Row:
    start = time.perf_counter()
    wrong = import_faults(backend, manifest)
    row = Row(backend.name, CONTRACT.name, "failed" if wrong else "passed", "; ".join(wrong))
    row.seconds = time.perf_counter() - start
    return row


def _probe_row(
    backend: Backend, chosen: Sequence[Subject], judges: Mapping[str, Judge], options: Options
) -> Row:
    """Whether a probe that says Ready is true: of the first kernels, at least one must come back from a layer."""
    start = time.perf_counter()
    row = Row(backend.name, CONTRACT.name)
    raised: list[str] = []
    for subject in chosen[:_KERNELS_PROBED]:
        few = replace(options, examples=3, shrink_seconds=0.0)
        tried = run_tier(subject, TIERS["bounded"], judges[subject.id], few)
        if tried.failed and tried.kind not in ("", "wrong"):
            raised.append(f"{subject.id}: {tried.message}")
        elif tried.executed:
            raised.clear()
            break
    if raised:
        row.outcome = "failed"
        row.message = (
            f"the probe says Ready, but nothing runs: {'; '.join(raised)}; return Unavailable(reason, fix)"
        )
    row.seconds = time.perf_counter() - start
    return row


def run_tier(subject: Subject, tier: Tier, judge: Judge, options: Options) -> Row:
    """One kernel through one tier."""
    start = time.perf_counter()
    row = Row(subject.id, tier.name)
    space = find_space(subject.kernel.domain, subject.kernel.op)
    if space is None:
        row.outcome, row.message = "untested", f"operator {subject.kernel.op_id} has no problem space"
        return row
    reason = space.without.get(tier.name) or tier.applies(subject, space)
    if reason is not None:
        row.outcome, row.message = "inapplicable", reason
        return row
    specs = versions(subject, space)
    if not specs:
        row.outcome, row.message = "untested", f"the space describes {space.op} from version {space.since} on"
        return row
    try:
        _hunt(cases(subject, space, tier, specs), tier, judge, options, row)
    except Unsteerable as error:
        row.outcome, row.message = "failed", f"what the kernel declares leaves nothing to try: {error}"
    except Exception as error:  # the space's own defect: loud, but the other kernels are judged all the same
        row.outcome = "failed"
        row.message = f"the problem space of {space.op} failed: {type(error).__name__}: {error}"
    row.seconds = time.perf_counter() - start
    if row.outcome == "passed" and not row.executed:
        if not tier.steered and row.refused:
            row.outcome = "refused"
        elif row.expected:
            row.outcome, row.message = "expected", "; ".join(row.expected)
        elif row.unfit and not row.refused and not row.unjudged:
            row.outcome, row.message = "inapplicable", "no layer of this operator is a case of the tier"
        else:
            counted = row.refused.most_common(3) + row.unjudged.most_common(1)
            reasons = "; ".join(f"{text} ({n})" for text, n in counted) or "no layer was valid"
            row.outcome, row.message = "failed", f"nothing was executed: {reasons}"
    return row


def versions(subject: Subject, space: Space) -> list[OpSpec]:
    """The forms of the operator to draw: the newest that the kernel implements and the space describes.

    The importer makes older forms the newest one, so a kernel meets no other.
    """
    low, high = subject.kernel.opset
    for opset in range(min(latest_version(space.domain), high or 10**6), 0, -1):
        spec = find_spec(space.domain, space.op, opset)
        if spec is not None and not spec.schema.deprecated:
            return [spec] if spec.version >= max(low, space.since) else []
    return []


def cases(subject: Subject, space: Space, tier: Tier, specs: Sequence[OpSpec]) -> st.SearchStrategy[Case]:
    """Cases of one kernel in one tier."""
    kernel = subject.kernel
    formats = list(tier.formats(subject)) if tier.steered else list(kernel.formats)
    variants = list(tier.variants(subject))

    @st.composite
    def strategy(draw: Any) -> Case:
        spec = draw(st.sampled_from(specs))
        kind = draw(st.sampled_from(tier.kinds))
        fmt = draw(st.sampled_from(formats))
        variant = draw(st.sampled_from(variants))
        threads = draw(st.sampled_from(tier.threads))
        rules = [*kernel.where, *_layout_rules(fmt, spec)] if tier.steered else _layout_rules(fmt, spec)
        dtypes = kernel.dtypes if tier.steered else {}
        drawing = Draw(draw, spec, rules=rules, dtypes=dtypes, kind=kind, fmt=fmt)
        layer = space.draw(drawing)
        attributes = {k: v for k, v in layer.attributes.items() if v is not OMIT}
        number = draw(st.integers(0, 2**16))
        return Case(
            op=space.op, domain=space.domain, version=spec.version, attributes=attributes,
            inputs=_trimmed(layer.inputs), outputs=layer.outputs, seed=number, tier=tier.name, kernel=subject.id,
            inputs_layout=fmt.inputs, outputs_layout=fmt.outputs, threads=threads, variant=variant,
        )  # fmt: skip

    return strategy()


def _trimmed(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    while inputs and inputs[-1] is None:
        inputs = inputs[:-1]
    return inputs


def _layout_rules(fmt: Format, spec: OpSpec) -> list[Rule]:
    """A layout fixes the rank of its operand."""
    named = [(name, rank_of(fmt.input(n))) for n, name in enumerate(spec.input_names)]
    return [Rule(f"{name}.rank", "==", rank) for name, rank in named if rank is not None]


#: Kernels tried to see whether a probe is honest.
_KERNELS_PROBED = 3


class _Failed(Exception):
    pass


def _hunt(strategy: st.SearchStrategy[Case], tier: Tier, judge: Judge, options: Options, row: Row) -> None:
    """Judge generated cases; keep the simplest that fails."""
    deadline: list[float] = []

    @seed(options.seed)
    @settings(
        max_examples=options.examples, deadline=None, database=None, report_multiple_bugs=False, print_blob=False,
        suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink), verbosity=Verbosity.quiet,
    )  # fmt: skip
    @given(strategy)
    def examine(case: Case) -> None:
        if deadline and time.perf_counter() > deadline[0]:
            return  # shrunk long enough
        verdict = _verdict(judge, case)
        searching = not deadline
        if verdict.outcome == FAILED:
            if searching:
                row.executed += 1
                row.cells[dtype_of(case), FAILED] += 1
                deadline.append(time.perf_counter() + options.shrink_seconds)
            row.outcome, row.message, row.case, row.kind = "failed", verdict.message, case, verdict.kind
            raise _Failed
        if searching:
            _count(row, case, verdict)
        if verdict.outcome in (INVALID, UNJUDGED, EXPECTED) or (tier.steered and verdict.outcome == REFUSED):
            reject()

    # A failing run ends in _Failed, or in Flaky once the time for shrinking is over; what counts is kept in the row.
    # A space whose layers are all refused or invalid ends in Unsatisfied, which the row shows as nothing executed.
    with contextlib.suppress(_Failed, HypothesisException):
        examine()
    if isinstance(row.case, Case):
        _settle(row, row.case, judge)


def _verdict(judge: Judge, case: Case) -> Verdict:
    """The judge's verdict; a defect of the suite's own is a failure of this case, and the run goes on."""
    try:
        return judge(case)
    except Exception as error:
        return Verdict(FAILED, f"the suite itself failed here: {type(error).__name__}: {error}", kind="suite")


def _settle(row: Row, case: Case, judge: Judge) -> None:
    """A failure that does not come again depends on earlier calls: show it by calls in a row, if they do."""
    variants = [case.variant, *({**case.variant, "calls": n} for n in (2, 3))]
    for variant in variants:
        again = case.replace(variant=variant)
        verdict = _verdict(judge, again)
        if verdict.outcome == FAILED:
            row.case, row.message, row.kind = again, verdict.message, verdict.kind
            return
    row.message = f"comes and goes: {row.message}"


def dtype_of(case: Replayable) -> str:
    """The element type that a case is counted under: that of its first tensor, or ``none``."""
    if not isinstance(case, Case):
        return str(getattr(case, "dtype", "none"))
    first = next((o for o in case.inputs if isinstance(o, Operand)), None)
    return first.dtype if first is not None else "none"


def _count(row: Row, case: Case, verdict: Verdict) -> None:
    row.cells[dtype_of(case), verdict.outcome] += 1
    if verdict.outcome == PASSED:
        row.executed += 1
        row.passed += 1
        row.dtypes[dtype_of(case)] += 1
    elif verdict.outcome == EXPECTED:
        row.expected[verdict.message] += 1
    elif verdict.outcome == REFUSED:
        row.refused[verdict.message] += 1
    elif verdict.outcome == UNJUDGED:
        row.unjudged[verdict.message] += 1
    elif verdict.kind == UNFIT:
        row.unfit += 1
    else:
        row.invalid += 1
