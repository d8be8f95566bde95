"""The whole of a benchmark: every group in turn, and what came out."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from orpheus_core.errors import UsageError
from orpheus_experiments.benchmark.comparing import Comparison, again, fastest
from orpheus_experiments.benchmark.plan import AGAIN, Group, groups
from orpheus_experiments.benchmark.report import render
from orpheus_experiments.trial import SCHEMA, ModelRef, Record, Trial
from orpheus_experiments.trial.together import run_together

__all__ = ["Report", "bench"]

#: Told what is done next: a text, the share that is done, and the seconds that are left, or None while unknown.
Say = Callable[[str, float, float | None], None]


@dataclass(frozen=True)
class Report:
    """Groups, the records of each in the order of its labels, and who was faster. ``str`` gives the tables."""

    groups: tuple[Group, ...]
    records: tuple[tuple[Record, ...], ...]
    interrupted: bool = False

    @property
    def every(self) -> list[Record]:
        """All records."""
        return [record for row in self.records for record in row]

    @property
    def comparisons(self) -> list[list[Comparison]]:
        """Of each group: the fastest against the others; in an A/A run, each engine against itself."""
        found = []
        for group, records in zip(self.groups, self.records):
            own = again(group.labels, records, AGAIN)
            found.append(own or fastest(group.labels, records))
        return found

    def as_data(self) -> dict[str, Any]:
        """Plain data: the records as JSON documents, and the comparisons."""
        rows = []
        for group, records, compared in zip(self.groups, self.records, self.comparisons):
            rows.append(
                {
                    "title": group.title,
                    "labels": list(group.labels),
                    "records": [r.as_data() for r in records],
                    "comparisons": [{**asdict(c), "is_beyond_noise": c.difference.is_real} for c in compared],
                }
            )
        return {"schema": SCHEMA, "interrupted": self.interrupted, "groups": rows}

    def to_json(self) -> str:
        """The same as text."""
        return json.dumps(self.as_data(), indent=1, allow_nan=False)

    def __str__(self) -> str:
        parts = [render(g, r, c) for g, r, c in zip(self.groups, self.records, self.comparisons)]
        return "\n\n".join(parts)


def bench(
    models: str | os.PathLike[str] | ModelRef | Iterable[str | os.PathLike[str] | ModelRef],
    backends: Sequence[str] | str | None = None,
    *,
    threads: Sequence[int] | int = 1,
    batch: Sequence[int] | int = 1,
    pin: Sequence[int] | bool = False,
    cooldown: float = 0.0,
    aa: bool = False,
    say: Say | None = None,
    **settings: Any,
) -> Report:
    """Measure every model on every engine, thread count and batch, engines of one comparison in turns.

    ``models``: files, folders, or networks of the zoo. ``backends``: as ``-b`` of ``orpheus bench``; None takes all
    that are ready. ``pin``: processors, or True for as many as there are threads. ``aa`` enters each engine twice,
    which shows the machine's own noise. ``settings`` are fields of
    :class:`~orpheus_experiments.trial.Trial`: ``metrics``, ``min_time``, ``processes``, ``scenario`` and so on.
    Raises UsageError or BackendError for what does not exist; whatever fails while it runs is a record with its
    failure. After KeyboardInterrupt the report is of what was done.
    """
    if isinstance(models, (str, os.PathLike, ModelRef)):
        models = [models]
    names = [backends] if isinstance(backends, str) else backends
    fixed = {"model", "engine", "threads", "batch", "cpus"} & settings.keys()
    unknown = settings.keys() - Trial.__dataclass_fields__.keys()
    if fixed or unknown:
        raise UsageError(f"there is no setting {', '.join(sorted(fixed | unknown))} of bench")
    base = Trial(model=ModelRef(path="-"), engine="-", **settings)
    counts = [threads] if isinstance(threads, int) else list(threads)
    batches = [batch] if isinstance(batch, int) else list(batch)
    plan = groups(models, names, counts, batches, base, pin=pin, twice=aa)
    rows: list[tuple[Record, ...]] = []
    begun = time.monotonic()
    interrupted = False
    for number, group in enumerate(plan):

        def tell(text: str, share: float, number: int = number) -> None:
            done = (number + share) / len(plan)
            left = (time.monotonic() - begun) * (1 - done) / done if done > 0.05 else None
            if say is not None:
                say(text, done, left)

        try:
            outcome = run_together(
                group.trials, say=tell, cooldown=cooldown, substitute=group.trials[0].engine
            )
        except KeyboardInterrupt:  # between two trials
            interrupted = True
            break
        rows.append(outcome.records)
        if outcome.interrupted:
            interrupted = True
            break
    return Report(tuple(plan[: len(rows)]), tuple(rows), interrupted)
