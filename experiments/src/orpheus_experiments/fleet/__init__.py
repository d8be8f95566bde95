"""The same sweep on other machines, by Dask distributed: each board a worker, each task one trial as JSON."""

from __future__ import annotations

from orpheus_experiments.fleet.settings import SETTINGS
from orpheus_experiments.fleet.sweep import sweep_fleet

__all__ = ["SETTINGS", "sweep_fleet"]
