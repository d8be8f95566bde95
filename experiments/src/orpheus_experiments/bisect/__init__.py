"""Where two backends part: the first layer whose results differ by more than rounding explains."""

from orpheus_experiments.bisect.found import Bisection, Boundary, SideFact
from orpheus_experiments.bisect.repro import Repro, write_repro
from orpheus_experiments.bisect.search import bisect

__all__ = ["Bisection", "Boundary", "Repro", "SideFact", "bisect", "write_repro"]
