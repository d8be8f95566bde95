"""``orpheus sweep``: a declared grid of trials, which any kill leaves resumable."""

from __future__ import annotations

from orpheus_experiments.sweeps.plan import Cell, Plan, read_plan
from orpheus_experiments.sweeps.run import Swept, sweep

__all__ = ["Cell", "Plan", "Swept", "read_plan", "sweep"]
