"""Several variants on one model: load each, check each against the first, time them in turns."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from orpheus_core.cli.feeds import Input
from orpheus_core.cli.progress import Progress
from orpheus_core.cli.trial import LoadFact, RunFact, Setting, Trial, TrialError
from orpheus_core.cli.verdict import Difference, Tolerance, difference, worst
from orpheus_core.discovery import split
from orpheus_core.errors import InputError, ModelError, UsageError
from orpheus_core.peers import PREFIX
from orpheus_core.types import Array

#: Turns that the timing is split into, so that a disturbance meets every variant alike.
ROUNDS = 5
#: Medians of the turns that lie further apart than this share make a measurement unstable.
UNSTABLE = 0.10


@dataclass(frozen=True)
class Variant:
    """A backend, and the kernels of it that are pinned: ``numpy:Conv/direct`` pins Conv.

    Or a whole engine, ``peer:onnxruntime``, which is then what ``backend`` says.
    """

    spec: str
    backend: str
    pins: Mapping[str, str] = field(default_factory=dict)


def parse_variant(spec: str) -> Variant:
    """``backend``, ``backend:Op/kernel+Op/kernel`` or ``peer:engine``; UsageError for any other form."""
    if spec.startswith(PREFIX):
        return Variant(spec, spec)
    backend, rest = split(spec)
    pins: dict[str, str] = {}
    for part in rest.split("+") if spec != backend else ():
        op, slash, kernel = part.rpartition("/")
        if not (op and slash and kernel) or op in pins:
            raise UsageError(f"{spec}: after the backend comes Op/kernel, once an operator, joined by +")
        pins[op] = f"{backend}:{part}"
    if not backend:
        raise UsageError(f"{spec!r} names no backend")
    return Variant(spec, backend, pins)


@dataclass
class Row:
    """What was found out about one variant. ``status`` is ok, skipped, or the kind of a TrialError."""

    spec: str
    status: str = "ok"
    reason: str = ""
    load: LoadFact | None = None
    first_run: RunFact | None = None
    samples: list[list[float]] = field(default_factory=list)
    peak_bytes: int | None = None
    difference: Difference | None = None
    outputs: dict[str, Difference] = field(default_factory=dict)
    is_reference: bool = False

    def percentile(self, percent: float) -> float | None:
        """Seconds below which ``percent`` of the inferences stayed; None when none was timed."""
        every = [s for batch in self.samples for s in batch]
        return float(np.percentile(every, percent)) if every else None

    @property
    def runs(self) -> int:
        """How many inferences were timed."""
        return sum(map(len, self.samples))

    @property
    def unstable(self) -> bool:
        """Whether the medians of the turns lie too far apart to trust the figure."""
        medians = [float(np.median(batch)) for batch in self.samples if batch]
        return len(medians) > 1 and max(medians) - min(medians) > UNSTABLE * float(np.median(medians))

    @property
    def verdict(self) -> str:
        """``reference``, ``pass``, ``FAIL``, or why there is no result."""
        if self.status != "ok":
            return f"{self.status}: {self.reason}"
        if self.is_reference:
            return "reference"
        if self.difference is None:
            return "not compared"
        if self.difference.passed:
            return "pass"
        failed = [name for name, found in self.outputs.items() if not found.passed]
        where = f"{failed[0]}: " if failed and len(self.outputs) > 1 else ""
        return f"FAIL: {where}{self.difference.reason}"


@dataclass(frozen=True)
class Plan:
    """What to compare and how long to measure. ``feeds`` makes the inputs once they are known.

    ``tolerances`` holds the limits of single outputs by name, that of all others under the empty name.
    """

    model: str
    variants: Sequence[Variant]
    feeds: Callable[[Sequence[Input]], dict[str, Array]]
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    threads: int | None = None
    runs: int = 10
    min_time: float = 1.0
    timeout: float = 600.0
    tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)


def compare(plan: Plan, line: Progress) -> list[Row]:
    """One row a variant, in their order.

    The first variant that gives a result is the reference. Raises ModelError when the model itself is refused, and
    InputError when the inputs are.
    """
    rows = [Row(v.spec) for v in plan.variants]
    trials: dict[int, Trial] = {}
    try:
        _check(plan, rows, trials, line)
        for turn in range(ROUNDS):
            line.say(f"{plan.model}: timing, turn {turn + 1} of {ROUNDS} ...")
            order = sorted(trials)
            first = turn % len(order) if order else 0
            for index in order[first:] + order[:first]:
                with _noting(rows[index], trials, index):
                    batch = trials[index].times(math.ceil(plan.runs / ROUNDS), plan.min_time / ROUNDS)
                    rows[index].samples.append(batch)
        for index in [*trials]:
            with _noting(rows[index], trials, index):
                rows[index].peak_bytes = trials[index].peak_bytes()
    finally:
        for trial in trials.values():
            trial.close()
    return rows


def _check(plan: Plan, rows: list[Row], trials: dict[int, Trial], line: Progress) -> None:
    """Load every variant, run it once, and compare its results with the first's."""
    feeds: dict[str, Array] | None = None
    reference: list[Any] | None = None
    for index, variant in enumerate(plan.variants):
        row = rows[index]
        if variant.backend in plan.skipped:
            row.status, row.reason = "skipped", plan.skipped[variant.backend]
            continue
        line.say(f"{plan.model}: loading with {variant.spec} ...")
        setting = Setting(plan.model, variant.backend, variant.pins, plan.shapes, plan.threads)
        trials[index] = Trial(setting, plan.timeout)
        with _noting(row, trials, index):
            row.load = trials[index].load()
            if feeds is None:
                _check_names(plan.tolerances, row.load.outputs)
                feeds = plan.feeds(row.load.inputs)
            row.first_run = trials[index].first_run(feeds)
            if reference is None:
                reference, row.is_reference = row.first_run.outputs, True
            row.outputs = _by_output(row.load.outputs, row.first_run.outputs, reference, plan.tolerances)
            row.difference = worst(list(row.outputs.values()))


def _check_names(tolerances: Mapping[str, Tolerance], outputs: Sequence[str]) -> None:
    unknown = sorted({*tolerances} - {"", *outputs})
    if unknown:
        raise UsageError(
            f"the model has no output {unknown[0]!r} to set a tolerance for; it has {', '.join(outputs)}"
        )


def _by_output(
    names: Sequence[str], got: Sequence[Any], wanted: Sequence[Any], tolerances: Mapping[str, Tolerance]
) -> dict[str, Difference]:
    """The difference of each output by its name; of all together when their number is not the model's."""
    general = tolerances.get("", Tolerance())
    if not len(names) == len(got) == len(wanted):
        return {"": difference(list(got), list(wanted), general)}
    return {n: difference(g, w, tolerances.get(n, general)) for n, g, w in zip(names, got, wanted)}


@contextlib.contextmanager
def _noting(row: Row, trials: dict[int, Trial], index: int) -> Iterator[None]:
    """Turn a failed trial into its row's state."""
    try:
        yield
    except TrialError as error:
        trials.pop(index).close()
        if error.kind in ("model", "input"):  # the same for every backend
            raise (ModelError if error.kind == "model" else InputError)(str(error)) from None
        row.status, row.reason = error.kind, str(error)
