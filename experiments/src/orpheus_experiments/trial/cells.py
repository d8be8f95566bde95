"""A record's figures as the cells of a table: a dash for what was not measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from orpheus_core.cli.table import quantity, size
from orpheus_experiments.trial.record import Record

__all__ = ["Cell", "figure", "nbytes"]

Cell: TypeAlias = Callable[[Record], str]


def figure(metric: str, name: str, scale: float = 1.0, digits: int = 4) -> Cell:
    """``name`` of a metric, times ``scale``, with so many digits."""

    def cell(record: Record) -> str:
        found = record.value(metric, name)
        return quantity(None if found is None else found * scale, digits)

    return cell


def nbytes(metric: str, name: str) -> Cell:
    """``name`` of a metric, which counts bytes."""
    return lambda record: size(record.value(metric, name))
