"""Profiles: the time of every step of one run, as rows and as a Chrome/Perfetto trace."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Union

from orpheus_core.plan.context import StepTime


@dataclass(frozen=True)
class ProfileRow:
    """One step: its node, operator and kernel, when it began and how long it took, in seconds."""

    node: str
    op: str
    kernel: str
    start: float
    seconds: float
    outputs: tuple[str, ...]


@dataclass(frozen=True)
class Profile:
    """Rows in the order they ran. Profiling slows a run, so its total is not the model's latency."""

    rows: tuple[ProfileRow, ...]

    @classmethod
    def of(cls, times: Iterable[StepTime]) -> Profile:
        """From the times a context took."""
        return cls(
            tuple(
                ProfileRow(
                    t.operation.node.name or next((v.name for v in t.operation.node.results), ""),
                    t.operation.node.op_id,
                    t.operation.kernel_id,
                    t.start,
                    t.seconds,
                    tuple(str(o.type) for o in t.operation.writes),
                )
                for t in times
            )
        )

    @property
    def seconds(self) -> float:
        """The sum over all steps."""
        return sum(row.seconds for row in self.rows)

    def to_json(self) -> list[dict[str, Any]]:
        """Rows as plain data."""
        return [asdict(row) for row in self.rows]

    def save_chrome_trace(self, path: Union[str, os.PathLike[str]]) -> None:
        """Write the trace-event JSON that chrome://tracing and ui.perfetto.dev open; times in microseconds."""
        save_chrome_trace([self], path)


def save_chrome_trace(profiles: Sequence[Profile], path: Union[str, os.PathLike[str]]) -> None:
    """One trace of several runs, one after the other."""
    events = [
        {
            "name": row.node or row.op,
            "cat": row.op,
            "ph": "X",
            "ts": row.start * 1e6,
            "dur": row.seconds * 1e6,
            "pid": os.getpid(),
            "tid": 0,
            "args": {"kernel": row.kernel, "op": row.op, "outputs": list(row.outputs), "run": run},
        }
        for run, profile in enumerate(profiles)
        for row in profile.rows
    ]
    Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}), encoding="utf-8")
