"""``orpheus report``: a results folder as a page, tables, CSV or Parquet; and one folder held against another."""

from __future__ import annotations

from orpheus_experiments.report.against import Change, changes
from orpheus_experiments.report.write import FORMATS, write_report

__all__ = ["FORMATS", "Change", "changes", "write_report"]
