"""All figures as flat rows: CSV and Parquet."""

from __future__ import annotations

import csv
import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orpheus_core.errors import UsageError
from orpheus_experiments.report.row import engine_label
from orpheus_experiments.results import Name
from orpheus_experiments.trial import METRICS, Record

__all__ = ["flat", "to_csv", "write_parquet"]

_FACTS = (
    "key", "board", "model", "model_sha256", "engine", "threads", "batch", "scenario", "streams", "status", "failure",
    "message", "notes", "processor", "started", "seconds",
)  # fmt: skip
_INSTALL = "pip install 'orpheus-experiments[parquet]'"


def flat(records: Mapping[Name, Record]) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns, and a row of plain values for each record; a metric's values are ``latency.median`` and so on."""
    found = []
    values: dict[str, None] = {}
    for name, record in records.items():
        trial, failure = record.trial, record.failure
        facts = (
            trial.key, name.board, trial.model.name, trial.model.sha256, engine_label(trial), trial.threads,
            trial.batch, trial.scenario, trial.streams, "ok" if failure is None else "failed", failure and failure.kind,
            failure and failure.message, "; ".join(record.notes), str(record.environment.get("processor", "")),
            record.started, record.seconds,
        )  # fmt: skip
        row = dict(zip(_FACTS, facts))
        for metric in METRICS:
            if metric in record.metrics:
                row.update({f"{metric}.{k}": v for k, v in record.metrics[metric].values.items()})
        values.update(dict.fromkeys(k for k in row if k not in _FACTS))
        found.append(row)
    order = sorted(values, key=lambda v: METRICS.index(v.partition(".")[0]))
    return [*_FACTS, *order], found


def to_csv(records: Mapping[Name, Record]) -> str:
    """CSV with a header; times in seconds, sizes in bytes. Texts that a spreadsheet would run get a '."""
    columns, found = flat(records)
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(c)) for c in columns] for row in found)
    return target.getvalue()


def write_parquet(records: Mapping[Name, Record], path: Path) -> None:
    """The same as a Parquet file; UsageError where pyarrow is not installed."""
    try:
        arrow: Any = importlib.import_module("pyarrow")
        parquet: Any = importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError(
            f"Parquet needs pyarrow, which cannot be imported ({error}); try: {_INSTALL}"
        ) from None
    columns, found = flat(records)
    whole = ("threads", "batch", "streams")
    kinds = [
        arrow.int64() if c in whole else arrow.float64() if "." in c or c == "seconds" else arrow.string()
        for c in columns
    ]
    data = {c: arrow.array([row.get(c) for row in found], kind) for c, kind in zip(columns, kinds)}
    parquet.write_table(arrow.table(data), path)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return "'" + value if isinstance(value, str) and value[:1] in _FORMULA else value


_FORMULA: Sequence[str] = ("=", "+", "-", "@", "\t", "\r")
