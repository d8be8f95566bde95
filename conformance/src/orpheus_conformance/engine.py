"""The engine: every kernel of a backend through every tier, with typed results as they come.

Both the pytest plugin and the command line drive it. Generation, judging and reporting are apart: ``judge_for`` may
give a judge that works in another process.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, given, reject, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import HypothesisException

from orpheus_conformance.case import Case, Operand
from orpheus_conformance.draw import Draw, Unsteerable
from orpheus_conformance.oracle import Oracle, oracle_for
from orpheus_conformance.space import OMIT, Space, find_space
from orpheus_conformance.subject import Subject, subjects
from orpheus_conformance.tiers import SURVEYS, TIERS, Survey, Tier
from orpheus_conformance.verdict import FAILED, INVALID, PASSED, REFUSED, UNJUDGED, Court, Judge, Verdict
from orpheus_core.errors import UsageError
from orpheus_core.ops import OpSpec, find_spec, latest_version
from orpheus_core.plugin import Backend, Format, Rule


@dataclass(frozen=True)
class Options:
    """What to run: cases per kernel and tier, the seed, which operators, kernels and tiers (None: all), the oracle."""

    examples: int = 40
    seed: int = 0
    ops: tuple[str, ...] | None = None
    kernels: tuple[str, ...] | None = None
    tiers: tuple[str, ...] | None = None
    oracle: str = "auto"
    shrink_seconds: float = 10.0


@dataclass
class Row:
    """The result of one kernel in one tier.

    ``outcome``: passed, failed, expected (a declared defect), refused (no case was accepted, each with a reason, in a tier
    that is not steered), inapplicable (``message`` says why). ``executed`` counts cases that ran; ``refused`` the
    reasons of refusals; ``invalid`` layers that the operator forbids; ``unjudged`` cases that the oracle cannot compute, with
    its words; ``dtypes`` executed cases by element type.
    ``case`` is the shrunk failing case.
    """

    kernel: str
    tier: str
    outcome: str = "passed"
    message: str = ""
    case: Case | None = None
    executed: int = 0
    passed: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    invalid: int = 0
    unjudged: Counter[str] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether this makes the run red."""
        return self.outcome == "failed"


#: Gives the judge of a kernel's cases: in this process, or (``--isolate``) in another.
JudgeFor = Callable[[Subject, Oracle], Judge]


def run(backend: Backend, options: Options | None = None, judge_for: JudgeFor = Court) -> Iterator[Row]:
    """Every row of a backend, as it comes. Raises UsageError for an operator, kernel or tier that is not there."""
    options = options or Options()
    chosen = select(backend, options)
    for survey in _surveys(options):
        yield _survey_row(survey, backend.name, lambda s=survey: s.backend(backend))
        for subject in chosen:
            yield _survey_row(survey, subject.id, lambda s=survey, k=subject: s.kernel(k))
    oracle = oracle_for(backend.name, options.oracle)
    for subject in chosen:
        judge = judge_for(subject, oracle)
        for tier in _tiers(options):
            yield run_tier(subject, tier, judge, options)


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
    known = [*SURVEYS, *TIERS]
    for name in options.tiers or ():
        if name not in known:
            raise UsageError(f"no tier is called {name!r}; there are {', '.join(known)}")


def _survey_row(survey: Survey, name: str, look: Callable[[], Sequence[str]]) -> Row:
    start = time.perf_counter()
    wrong = look()
    return Row(
        name, survey.name, "failed" if wrong else "passed", "; ".join(wrong), seconds=time.perf_counter() - start
    )


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
    row.seconds = time.perf_counter() - start
    if row.outcome == "passed" and not row.executed:
        if not tier.steered and row.refused:
            row.outcome = "refused"
        else:
            counted = row.refused.most_common(3) + row.unjudged.most_common(1)
            reasons = "; ".join(f"{text} ({n})" for text, n in counted) or "no layer was valid"
            row.outcome, row.message = "failed", f"nothing was executed: {reasons}"
    return row


def versions(subject: Subject, space: Space) -> list[OpSpec]:
    """The forms of the operator that a kernel implements and the space describes, newest first."""
    low, high = subject.kernel.opset
    found: dict[int, OpSpec] = {}
    for opset in range(latest_version(space.domain), 0, -1):
        spec = find_spec(space.domain, space.op, opset)
        if spec is None or spec.schema.deprecated:
            continue
        if spec.version >= max(low, space.since) and (high is None or spec.version <= high):
            found.setdefault(spec.version, spec)
    return list(found.values())


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
        drawing = Draw(draw, spec, rules=rules, dtypes=dtypes, kind=kind)
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
    ranks = {"NWC": 3, "NHWC": 4, "NDHWC": 5}
    found = []
    for index, name in enumerate(spec.input_names):
        layout = fmt.input(index)
        if layout != "plain":
            rank = ranks.get(layout) or len(layout.rstrip("c").rstrip("0123456789"))
            found.append(Rule(f"{name}.rank", "==", rank))
    return found


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
        verdict = judge(case)
        searching = not deadline
        if verdict.outcome == FAILED:
            if searching:
                row.executed += 1
                deadline.append(time.perf_counter() + options.shrink_seconds)
            row.outcome, row.message, row.case = "failed", verdict.message, case
            raise _Failed
        if searching:
            _count(row, case, verdict)
        if verdict.outcome in (INVALID, UNJUDGED) or (tier.steered and verdict.outcome == REFUSED):
            reject()

    # A failing run ends in _Failed, or in Flaky once the time for shrinking is over; what counts is kept in the row.
    # A space whose layers are all refused or invalid ends in Unsatisfied, which the row shows as nothing executed.
    with contextlib.suppress(_Failed, HypothesisException):
        examine()


def _count(row: Row, case: Case, verdict: Verdict) -> None:
    if verdict.outcome == PASSED:
        row.executed += 1
        row.passed += 1
        first = next((o for o in case.inputs if isinstance(o, Operand)), None)
        row.dtypes[first.dtype if first is not None else "none"] += 1
    elif verdict.outcome == REFUSED:
        row.refused[verdict.message] += 1
    elif verdict.outcome == UNJUDGED:
        row.unjudged[verdict.message] += 1
    else:
        row.invalid += 1
