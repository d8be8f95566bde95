"""One graph through the executor: what ran, what was promised, and whether the results are right."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx

from orpheus_conformance.plan.reference import Expected, Reference
from orpheus_conformance.plan.witness import Record, witnessed
from orpheus_conformance.verdict import FAILED, PASSED, REFUSED, Verdict
from orpheus_core import discovery
from orpheus_core.errors import OrpheusError, SelectionError, UnsupportedModelError
from orpheus_core.importer import load
from orpheus_core.plan.context import Context
from orpheus_core.plugin import Backend
from orpheus_core.session import InferenceSession
from orpheus_core.session.explanation import PlanRow
from orpheus_core.types import CPU, Array

#: What the passes are set to: every one, and none.
PASSES: dict[str, Sequence[str] | None] = {"every pass": None, "no pass": ()}
_CALLERS = 2


@dataclass(frozen=True)
class Outcome:
    """``fault``: what is wrong, or empty. ``ran``: kernels of the backend that ran; ``alone``: no other's did."""

    fault: str
    ran: tuple[str, ...] = ()
    alone: bool = False


class Bench:
    """Tries graphs on one backend; where that leaves a node open, the reference backend takes it."""

    def __init__(self, backend: Backend) -> None:
        import orpheus_numpy

        self.backend = backend
        self.reference = Reference()
        self._record = Record()
        fill: Backend = orpheus_numpy.orpheus_backend()
        if backend.name == fill.name:  # of which perhaps a part is judged: the rest is another's
            judged = {(k.op_id, k.name) for k in backend.kernels}
            rest = tuple(k for k in fill.kernels if (k.op_id, k.name) not in judged)
            fill = replace(fill, name=f"{fill.name}-rest", kernels=rest)
        self._plain = (backend, fill) if fill.kernels else (backend,)
        self._noting = tuple(witnessed(b, self._record, watch=b is backend) for b in self._plain)
        self.factor = max((k.accuracy.factor for k in backend.kernels), default=1.0)

    def expect(self, model: onnx.ModelProto, feeds: Mapping[str, Array]) -> list[Expected]:
        """The right results, each with its bound. Raises :class:`.reference.Unjudged`."""
        return self.reference.expect(load(model).graph, feeds, factor=self.factor)

    def attempt(
        self,
        model: onnx.ModelProto,
        feeds: Mapping[str, Array],
        expected: Sequence[Expected],
        passes: Sequence[str] | None,
        *,
        together: bool = False,
        threads: int = 1,
    ) -> Outcome:
        """Judge one graph on so many ``threads``. ``together``: also call it from several at once."""
        with _these(self._noting):
            session, alone = self._open(model, passes, threads)
            self._record.clear()
            first = session.run(None, feeds)
            ran, faults = list(self._record.ran), list(self._record.faults)
            fault = "; ".join(faults) or _broken_promise(session, ran, feeds) or _difference(expected, first)
        mine = tuple(k for k in ran if k.startswith(f"{self.backend.name}:"))
        if not fault:
            with _these(self._plain):
                fault = self._plainly(model, feeds, expected, passes, together, threads)
        return Outcome(fault, mine, alone)

    def _open(
        self, model: onnx.ModelProto, passes: Sequence[str] | None, threads: int
    ) -> tuple[InferenceSession, bool]:
        def session(*providers: str) -> InferenceSession:
            return InferenceSession(
                model, providers=providers, fallback="error", enable_passes=passes, threads=threads
            )

        name = self.backend.name
        if len(self._plain) == 1:
            return session(name), True
        try:
            return session(name), True
        except (SelectionError, UnsupportedModelError):
            return session(*(b.name for b in self._plain)), False

    def _plainly(
        self,
        model: onnx.ModelProto,
        feeds: Mapping[str, Array],
        expected: Sequence[Expected],
        passes: Sequence[str] | None,
        together: bool,
        threads: int,
    ) -> str:
        """The backend as it is, sealed steps and all, on memory that held nothing but NaN."""
        session, _ = self._open(model, passes, threads)
        before = {name: array.copy() for name, array in feeds.items()}
        first = _poisoned(session, feeds)
        second = _poisoned(session, feeds)
        fault = _difference(expected, first)
        if not fault and not _same(first, second):
            fault = "two runs on the same inputs differ"
        if not fault and any(not np.array_equal(before[n], a, equal_nan=True) for n, a in feeds.items()):
            fault = "a run changed what it was fed"
        return fault or (_together(session, feeds, first) if together else "")


def attempted(bench: Bench, *given: Any, together: bool = False, threads: int = 1) -> Outcome:
    """:meth:`Bench.attempt`; what it raises is a fault."""
    try:
        return bench.attempt(*given, together=together, threads=threads)
    except (
        OrpheusError,
        ArithmeticError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
        OSError,
    ) as error:
        return Outcome(f"raised {type(error).__name__}: {' '.join(str(error).split())[:400]}")


def verdict_of(outcome: Outcome, what: str) -> Verdict:
    """An outcome as the verdict on one replayed graph or network."""
    if outcome.fault:
        return Verdict(FAILED, outcome.fault)
    return (
        Verdict(PASSED) if outcome.ran else Verdict(REFUSED, f"its kernels refuse every node of the {what}")
    )


def _these(backends: Sequence[Backend]) -> AbstractContextManager[None]:
    return discovery.override(*backends)


def _broken_promise(session: InferenceSession, ran: Sequence[str], feeds: Mapping[str, Array]) -> str:
    """What explain() and kernel_plan() say must be what ran, in that order; the profile tells what ran.

    A layer whose shapes only the run shows may then need another kernel than was planned.
    """
    rows = session.kernel_plan()
    planned = [row for row in rows if not row.kernel_id.startswith("core:")]
    steps = [row.kernel_id for row in planned]
    kept = len(ran) == len(planned) and all(
        kernel == row.kernel_id or (_is_open(row) and _operator(kernel) == _operator(row.kernel_id))
        for kernel, row in zip(ran, planned)
    )
    if not kept:
        return f"other kernels ran than planned: {_apart(steps, ran)}"
    # A node that only shares memory needs no step, whichever kernel was chosen for it.
    shared = {row.node for row in rows if row.kernel_id.startswith("core:") and row.why != "conversion"}
    decided = Counter(d.chosen.partition("[")[0] for d in session.explain().decisions if d.node not in shared)
    promised = Counter(row.kernel_id for row in rows if row.node not in shared and row.why != "conversion")
    if decided != promised:
        return f"other kernels are planned than explained: {_apart(decided.elements(), promised.elements())}"
    profiled = [row.kernel for row in session.profile(feeds, warmup=0).rows]
    told = [k for k in profiled if not k.startswith("core:")]
    return "" if told == list(ran) else f"the profile tells of other kernels than ran: {_apart(ran, told)}"


def _is_open(row: PlanRow) -> bool:
    return any("?" in type_ for type_ in (*row.inputs, *row.outputs))


def _operator(kernel: str) -> str:
    return kernel.rpartition("/")[0].rpartition(":")[2]


def _apart(wanted: Any, found: Any) -> str:
    """Two lists of kernels, only what differs."""
    a, b = Counter(wanted), Counter(found)
    missing, extra = sorted((a - b).elements()), sorted((b - a).elements())
    if not missing and not extra:
        return "in another order"
    return f"{', '.join(extra) or 'nothing'} in place of {', '.join(missing) or 'nothing'}"


def _difference(expected: Sequence[Expected], got: Sequence[Any]) -> str:
    for index, (right, mine) in enumerate(zip(expected, got)):
        if mine.shape != right.value.shape:
            return f"output {index} has shape {list(mine.shape)}, expected {list(right.value.shape)}"
        if right.value.dtype.kind != "f":
            if not np.array_equal(mine, right.value):
                return f"output {index} differs from the reference's"
            continue
        error = np.abs(mine.astype(np.float64) - right.value)
        if error.size and not error.max() <= right.bound:
            place = np.unravel_index(int(np.argmax(np.nan_to_num(error, nan=np.inf))), error.shape)
            return (
                f"output {index}: [{','.join(map(str, place))}] is {mine[place]!s}, expected {right.value[place]!s}, "
                f"allowed error {right.bound:.3g}"
            )
    return ""


def _poisoned(session: InferenceSession, feeds: Mapping[str, Array]) -> list[Any]:
    """A run on memory of 0xFF, which is NaN in every float type: a value read before it is written shows."""
    executable = session.executable
    if executable.plans:
        inputs = session.ordered(feeds)
        for context in executable.ready(inputs).resting:
            for device, arena in context.frame.arenas.items():
                if device == CPU:
                    arena.fill(0xFF)
    return session.run(None, feeds)


def _same(a: Sequence[Array], b: Sequence[Array]) -> bool:
    return all(x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in zip(a, b))


def _together(session: InferenceSession, feeds: Mapping[str, Array], right: Sequence[Array]) -> str:
    """Several callers at once, on data of their own; each must get what it gets alone."""
    data = [dict(feeds)]
    data += [{n: a * a.dtype.type(0.5 / k) for n, a in feeds.items()} for k in range(1, _CALLERS)]
    alone = [right, *(session.run(None, d) for d in data[1:])]
    if not all(map(_same, _in_turn(session, data), alone)):
        return "runs of two callers disturb each other: what one binds or feeds reaches the other"
    found: list[str] = []
    gate = threading.Barrier(_CALLERS)

    def call(number: int) -> None:
        try:
            gate.wait()
            if not all(_same(session.run(None, data[number]), alone[number]) for _ in range(3)):
                found.append("runs from several threads disturb each other")
        except Exception as error:
            found.append(f"a run from several threads raised {type(error).__name__}: {error}")

    threads = [threading.Thread(target=call, args=(n,)) for n in range(_CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found[0] if found else ""


def _in_turn(session: InferenceSession, data: Sequence[Mapping[str, Array]]) -> list[list[Any]]:
    """The callers' runs on contexts of their own, all bound and fed before the first computes."""
    inputs = [session.ordered(d) for d in data]
    plan = session.executable.ready(inputs[0]).plan
    contexts = [Context(plan) for _ in data]
    for context, given in zip(contexts, inputs):
        context.take(given)
    with np.errstate(all="ignore"):
        for context in contexts:
            context.compute()
    return [context.take_outputs(given) for context, given in zip(contexts, inputs)]
