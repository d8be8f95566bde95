"""Profiles: the time of every step of one run, as rows and as a Chrome/Perfetto trace."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Union

from orpheus_core.graph import Node
from orpheus_core.ops.macs import macs
from orpheus_core.plan.context import StepTime
from orpheus_core.types import TensorType


@dataclass(frozen=True)
class ProfileRow:
    """One step: its node, operator and kernel, when it began and how long it took, in seconds.

    ``device_seconds``: how long the device itself worked on it, None where that is not told.
    ``macs``: multiply-accumulates by the operator's definition, 0 for those without any, None when they cannot be
    counted. ``nbytes``: of all operands, read and written, weights included; None when one is of unknown size.
    """

    node: str
    op: str
    kernel: str
    start: float
    seconds: float
    outputs: tuple[str, ...]
    macs: int | None = None
    nbytes: int | None = None
    device_seconds: float | None = None


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
                    t.operation.late.latest if t.operation.late else t.operation.kernel_id,
                    t.start,
                    t.seconds,
                    tuple(str(o.type) for o in t.operation.writes),
                    macs(t.operation.node),
                    _nbytes(t.operation.node),
                    t.device_seconds,
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


def _nbytes(node: Node) -> int | None:
    sizes = [
        v.type.nbytes if isinstance(v.type, TensorType) else None
        for v in dict.fromkeys((*node.inputs, *node.outputs))
        if v is not None
    ]
    return None if None in sizes else sum(s or 0 for s in sizes)


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
            "args": _facts(row, run),
        }
        for run, profile in enumerate(profiles)
        for row in profile.rows
    ]
    Path(path).write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}), encoding="utf-8")


def _facts(row: ProfileRow, run: int) -> dict[str, Any]:
    facts: dict[str, Any] = {"kernel": row.kernel, "op": row.op, "outputs": list(row.outputs), "run": run}
    if row.device_seconds is not None:
        facts["device us"] = row.device_seconds * 1e6
    return facts
