"""The rows of the corpus: one a kernel, of its operator's one-node cases, and one of graphs that the backend covers.

Counted as what they are: passed, failed, refused (by the kernel, with its reason), impossible for anyone (``expected``,
with a reason), unfit (the core needs no kernel). Nothing that did not run the kernel is counted as passed.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

from orpheus_conformance.case import CaseError
from orpheus_conformance.corpus.cases import find_case, find_cases, impossible, values
from orpheus_conformance.corpus.compare import difference
from orpheus_conformance.corpus.written import as_case
from orpheus_conformance.engine import Job, Note, Options, Row, ignore
from orpheus_conformance.plan.witness import Record, witnessed
from orpheus_conformance.recipe import CorpusRecipe
from orpheus_conformance.subject import Subject, is_broken
from orpheus_conformance.verdict import EXPECTED, FAILED, INVALID, PASSED, REFUSED, UNJUDGED, Judge, Verdict
from orpheus_core import discovery
from orpheus_core.errors import OrpheusError, SelectionError, UnsupportedModelError
from orpheus_core.graph import Graph, Node
from orpheus_core.importer import load
from orpheus_core.onnx_backend import OrpheusRep
from orpheus_core.ops.macs import macs
from orpheus_core.plugin import Backend
from orpheus_core.selection.candidates import problem_of
from orpheus_core.session import InferenceSession
from orpheus_core.types import TensorType

TIER = "corpus"
#: Failures told by name in a row's message.
_TOLD = 5


def jobs(
    backend: Backend,
    subjects: Sequence[Subject],
    options: Options,
    judges: Mapping[str, Judge],
    note: Note = ignore,
) -> list[Job]:
    """The rows to come. ``judges``, by kernel id, make a failing case a layer of its own."""
    if not subjects:
        return []
    some = tuple(s.id for s in subjects) if len(subjects) < len(backend.kernels) else ()
    backend = replace(backend, kernels=tuple(s.kernel for s in subjects))
    shelf = _Shelf(backend)
    found = [Job(s.id, TIER, partial(_kernel_row, s, shelf, judges.get(s.id), note)) for s in subjects]
    return [*found, Job(backend.name, TIER, partial(_whole_row, backend, shelf, some, note))]


@dataclass(frozen=True)
class _Read:
    """A case and its graph."""

    case: Any
    graph: Graph

    @cached_property
    def nodes(self) -> int:
        return sum(1 for _ in self.graph.walk())


class _Shelf:
    """The cases of a backend's operators, read when they are first asked for."""

    def __init__(self, backend: Backend) -> None:
        self._ops = {k.op for k in backend.kernels}
        self._read: list[_Read] | None = None
        self.unreadable: dict[str, str] = {}

    def cases(self) -> list[_Read]:
        if self._read is None:
            self._read = []
            for case in find_cases(self._ops):
                try:
                    self._read.append(_Read(case, load(case.model).graph))
                except OrpheusError as error:
                    self.unreadable[case.name] = f"Orpheus cannot read it: {_brief(error)}"
        return self._read

    def single(self, op_id: str) -> list[_Read]:
        """Those whose one node is of that operator."""
        return [r for r in self.cases() if r.nodes == 1 and r.graph.nodes[0].op_id == op_id]

    def several(self) -> list[_Read]:
        """Those of several nodes, subgraphs counted."""
        return [r for r in self.cases() if r.nodes > 1]


def _kernel_row(subject: Subject, shelf: _Shelf, judge: Judge | None, note: Note) -> Row:
    row, start = Row(subject.id, TIER), time.perf_counter()
    mine = shelf.single(subject.kernel.op_id)
    record = Record()
    solo = witnessed(replace(subject.backend, kernels=(subject.kernel,)), record, watch=True)
    wrong: dict[str, str] = {}
    for read in mine:
        node = read.graph.nodes[0]
        if read.case.name in impossible():
            row.expected[impossible()[read.case.name]] += 1
            continue
        found, refusal = subject.answer(problem_of(node, threads=1))
        if refusal is not None and is_broken(refusal):
            wrong[read.case.name] = f"refused without a reason: {refusal.text or 'empty text'}"
        elif not found:
            row.refused[refusal.text if refusal is not None else "no format fits"] += 1
        else:
            recipe = CorpusRecipe(subject.backend.name, (subject.id,), read.case.name, True)
            note(recipe)
            fault = _run(read, solo, record, subject.kernel.accuracy.factor)
            if fault is None:
                row.unfit += 1
                continue
            if fault and judge is not None and _declared(row, read, subject, judge):
                continue
            _count(row, read.graph, fault)
            if fault:
                wrong[read.case.name] = fault
                row.case = row.case or recipe
    return _ended(row, wrong, len(mine), start)


def _whole_row(backend: Backend, shelf: _Shelf, kernels: tuple[str, ...], note: Note) -> Row:
    row, start = Row(backend.name, TIER), time.perf_counter()
    record = Record()
    noting = witnessed(backend, record, watch=True)
    factor = max((k.accuracy.factor for k in backend.kernels), default=1.0)
    wrong: dict[str, str] = {}
    several = shelf.several()
    for read in several:
        if read.case.name in impossible():
            row.expected[impossible()[read.case.name]] += 1
            continue
        recipe = CorpusRecipe(backend.name, kernels, read.case.name)
        note(recipe)
        try:
            fault = _run(read, noting, record, factor)
        except (SelectionError, UnsupportedModelError) as error:
            row.refused[_brief(error)] += 1
            continue
        if fault is None:
            row.unfit += 1
            continue
        _count(row, read.graph, fault)
        if fault:
            wrong[read.case.name] = fault
            row.case = row.case or recipe
    row.unjudged.update(shelf.unreadable.values())
    return _ended(row, wrong, len(several) + len(shelf.unreadable), start)


def again(recipe: CorpusRecipe, backend: Backend) -> Verdict:
    """The verdict on one case, of a recipe that :func:`..whole.check` let through."""
    case, record = find_case(recipe.name, {k.op for k in backend.kernels}), Record()
    if case is None:
        return Verdict(INVALID, "ONNX has no such case here")
    try:
        read = _Read(case, load(case.model).graph)
    except OrpheusError as error:
        return Verdict(UNJUDGED, f"Orpheus cannot read it: {_brief(error)}")
    factor = max((k.accuracy.factor for k in backend.kernels), default=1.0)
    try:
        fault = _run(read, witnessed(backend, record, watch=True), record, factor)
    except (SelectionError, UnsupportedModelError) as error:
        return Verdict(REFUSED, _brief(error))
    if fault is None:
        return Verdict(INVALID, "the core needs no kernel for it")
    return Verdict(FAILED, fault) if fault else Verdict(PASSED)


def _ended(row: Row, wrong: dict[str, str], count: int, start: float) -> Row:
    row.seconds = time.perf_counter() - start
    refused = sum(row.refused.values())
    counts = f"{row.passed} passed, {len(wrong)} failed, {refused} not supported of {count} cases"
    if wrong:
        told = "; ".join(f"{name}: {fault}" for name, fault in list(wrong.items())[:_TOLD])
        row.outcome, row.message = "failed", f"{counts}: {told}"
    elif row.passed:
        row.message = counts
    elif refused:
        row.outcome, row.message = "refused", counts
    elif row.expected:
        row.outcome, row.message = "expected", "; ".join(row.expected)
    else:
        row.outcome, row.message = "inapplicable", "ONNX has no such case that a kernel has to run for"
    return row


def _run(read: _Read, backend: Backend, record: Record, factor: float) -> str | None:
    """What is wrong with the backend's results; None when the core needs no kernel to give them.

    Raises SelectionError or UnsupportedModelError where the backend does not take a node.
    """
    terms = max((_terms(n) for n in read.graph.walk()), default=1)
    case = read.case
    with discovery.override(backend):
        try:
            session = InferenceSession(
                case.model, providers=[backend.name], fallback="error", enable_passes=(), threads=1
            )
            record.clear()
            for inputs, outputs in case.data_sets:
                got = OrpheusRep(session).run(values(inputs))
                for index, (mine, right) in enumerate(zip(got, values(outputs))):
                    words = difference(mine, right, case.rtol, case.atol, terms=terms, factor=factor)
                    if words:
                        return f"output {index}: {words}"
        except (SelectionError, UnsupportedModelError):
            raise
        except Exception as error:
            return f"raised {type(error).__name__}: {_brief(error)}"
    if record.faults:
        return "; ".join(record.faults)
    return "" if record.ran else None


def _terms(node: Node) -> int:
    result = node.results[0].type if node.results else None
    size = result.size if isinstance(result, TensorType) else None
    first = node.inputs[0].type if node.inputs and node.inputs[0] is not None else None
    given = first.size if isinstance(first, TensorType) else None
    return max(1, (macs(node) or 0) // (size or 1), (given or 0) // (size or 1))


def _count(row: Row, graph: Graph, fault: str) -> None:
    first = next((v.type.dtype.value for v in graph.inputs if isinstance(v.type, TensorType)), "none")
    row.executed += 1
    row.cells[first, "failed" if fault else "passed"] += 1
    if not fault:
        row.passed += 1
        row.dtypes[first] += 1


def _declared(row: Row, read: _Read, subject: Subject, judge: Judge) -> bool:
    """Whether a failing case is covered by a declared defect. One that is not is kept in the row when it replays."""
    case = as_case(read.graph, read.case.data_sets[0][0], subject.id)
    if case is None:
        return False
    try:
        verdict = judge(case)
    except CaseError:
        return False
    if verdict.outcome == EXPECTED:
        row.expected[verdict.message] += 1
        return True
    if verdict.outcome == FAILED and row.case is None:
        row.case, row.kind = case, verdict.kind
    return False


def _brief(error: object) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else text[:197] + "..."
