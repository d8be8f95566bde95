"""A results folder: one JSON record for each trial, and an index of them that can be made anew at any time."""

from __future__ import annotations

from orpheus_experiments.results.folder import FORMAT, Results
from orpheus_experiments.results.name import Name

__all__ = ["FORMAT", "Name", "Results"]
